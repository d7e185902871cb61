// Redis as one lane sees it, whatever its shape: the one door that all stores go through.

import Core

/// Redis behind one lane. Used on its lane only.
public final class Redis {
    private let connection: RedisConnection

    /// A Redis that is reached through one connection.
    init(_ connection: RedisConnection) { self.connection = connection }

    /// Connects, and from then on again after each loss.
    public func start() { connection.start() }

    /// Closes for good; commands under way fail.
    public func close() { connection.close() }

    /// Sends one command to the server that has `slot`; without it, to the one that has the key behind the command's name.
    /// `then` hears the reply within `timeout` (the command timeout unless told), an error reply as a `StoreError`.
    public func send(
        _ command: RedisCommand, slot: RedisSlot? = nil, timeout: Duration? = nil,
        then: @escaping RedisConnection.Completion
    ) {
        connection.send(command, timeout: timeout, then: then)
    }

    /// Calls a script where its keys are.
    func send(_ call: some ScriptCall) { connection.send(call) }

    /// Called each time it becomes usable; true when its data may be older than what it confirmed before: another server answers.
    public var onReady: ((_ identityChanged: Bool) -> Void)? {
        get { connection.onReady }
        set { connection.onReady = newValue }
    }

    /// True when shared state must not be relied upon: no ready connection, or several timeouts in a row.
    public var isDegraded: Bool { connection.isDegraded }

    /// Why it cannot be used; nil while it can.
    public var lastFailure: String? { connection.lastFailure }

    /// What its connections counted.
    public var metrics: RedisMetrics { connection.metrics }
}
