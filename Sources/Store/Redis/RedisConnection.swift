// A lane's connection to Redis: made ready, kept alive, made again; commands go out in order, each with a deadline.

import Core
import Net
import Telemetry

/// One connection of one lane, over its whole life. Used on its lane only.
///
/// Life: idle → connecting → preparing (AUTH, INFO, SCRIPT LOAD) → ready → waiting (after a loss, with growing pauses) → connecting …;
/// closed from anywhere. Commands are accepted only while it is ready: without Redis the caller must know at once.
public final class RedisConnection {
    /// Where the connection is in its life.
    public enum State: Hashable, Sendable {
        /// `start` was not called yet.
        case idle
        /// A socket is being opened.
        case connecting
        /// Credentials and scripts are on their way.
        case preparing
        /// Commands are accepted.
        case ready
        /// The next attempt comes after a pause.
        case waiting
        /// `close` was called.
        case closed
    }

    /// A function that hears the reply to one command, exactly once, on the lane.
    public typealias Completion = (Result<RedisReply, StoreError>) -> Void

    struct Pending {
        let sentAt: Instant
        let deadline: Instant
        let listener: Listener
    }

    /// What it is for, and so what must be done before it is ready.
    public enum Duty: Hashable, Sendable {
        /// Keeps shared state: loads the scripts.
        case store
        /// The same where sentinels choose the primary: the server must say that it is one.
        case electedStore
        /// Only asks about others: a sentinel, or a cluster's server.
        case scout
    }

    /// Who hears the reply.
    enum Listener {
        case function(Completion)
        /// Can write itself again with the script's source, should Redis have forgotten it.
        case call(any ScriptCall)
        /// The same in a cluster: another server may have to answer.
        case routed(RoutedCall)

        func hear(_ result: Result<RedisReply, StoreError>) {
            switch self {
            case .function(let then): then(result)
            case .call(let call): call.finish(result)
            case .routed(let call): call.hear(result)
            }
        }
    }

    let configuration: RedisConfiguration
    let duty: Duty
    let dialer: any RedisDialer
    var link: (any RedisLink)?
    var chance: UInt64
    var attempts = 0
    /// The key that tells whether the data are those of before, and its value when it was last seen.
    var markerKey: [UInt8]?
    var marker: [UInt8]?
    var cancelMarker: (() -> Void)?
    var cancelPause: (() -> Void)?
    var cancelProbe: (() -> Void)?
    /// The digest of each script as a command part, by the scripts' numbers; nil until Redis has told it.
    var digests = [[UInt8]?](repeating: nil, count: RedisScript.allCases.count)
    /// Commands under way, the oldest first; the numbers are the machine's.
    var pending: [Pending?] = []
    var pendingHead = 0
    var firstNumber: UInt64 = 0
    var timeoutsInARow = 0
    /// Why we are about to close the link ourselves.
    var dropReason: String?
    var lastReply = Instant(nanoseconds: 0)

    /// Where it is in its life.
    public internal(set) var state = State.idle {
        didSet { if state != oldValue { onStateChange?(state) } }
    }
    /// Why the last connection ended; nil while it lives.
    public internal(set) var lastFailure: String?
    /// What it counted.
    public internal(set) var metrics = RedisMetrics()
    /// Redis' `run_id`: another one means another process, whose data may be older or gone. Nil when INFO is not allowed.
    public internal(set) var serverIdentity: String?
    /// In a cluster: follows replies that say where else a command belongs.
    weak var redirector: (any RedisRedirector)?
    /// In a cluster: the address that it is made for.
    var address: Endpoint?
    /// Called at each change of state.
    public var onStateChange: ((State) -> Void)?
    /// Called each time it becomes ready, true when the server is not the one of the connection before; and, while it is ready, with true
    /// when the server lost its data.
    public var onReady: ((_ identityChanged: Bool) -> Void)?

    /// A connection that is not started. `seed` spreads the pauses of many nodes.
    public init(
        dialer: any RedisDialer, configuration: RedisConfiguration, seed: UInt64, duty: Duty = .store
    ) {
        self.dialer = dialer
        self.duty = duty
        self.configuration = configuration
        chance = seed
    }

    /// What the machine of each of its links accepts.
    public var limits: RedisLimits { configuration.limits }

    /// Commands under way.
    public var commandsUnderWay: Int { pending.count - pendingHead }

    /// True when shared state must not be relied upon: no ready connection, or several timeouts in a row.
    public var isDegraded: Bool { state != .ready || timeoutsInARow >= configuration.timeoutsUntilDegraded }

    /// Connects, and from then on again after each loss.
    public func start() {
        precondition(state == .idle, "a connection is started once")
        dial()
    }

    /// Closes for good; commands under way fail.
    public func close() {
        guard state != .closed else { return }
        state = .closed
        cancelPause?()
        cancelProbe?()
        cancelMarker?()
        let link = self.link
        self.link = nil
        link?.abort()
        failAll(.disconnected(reason: "closed"))
    }

    /// Sends one command; `then` hears its reply, an error reply as a `StoreError`.
    public func send(_ command: RedisCommand, timeout: Duration? = nil, then: @escaping Completion) {
        guard state == .ready else { return refuse(.function(then)) }
        submit(deadline: dialer.now + (timeout ?? configuration.commandTimeout), .function(then)) {
            command.write(into: &$0)
        }
    }

    /// Calls a script by its digest, and in full when Redis has forgotten it.
    func send(_ call: some ScriptCall) {
        guard state == .ready else { return refuse(.call(call)) }
        let name = ScriptName(script: call.script, digest: digests[call.script.rawValue])
        submit(deadline: dialer.now + configuration.commandTimeout, .call(call)) { call.write(name, into: &$0) }
    }

    /// Sends a call that may have been elsewhere before: its deadline stays.
    func send(_ call: RoutedCall, inFull: Bool = false) {
        guard state == .ready else { return refuse(.routed(call)) }
        if call.isAsking {
            submit(deadline: call.deadline, .function { _ in }) { RedisCommand("ASKING").write(into: &$0) }
        }
        submit(deadline: call.deadline, .routed(call)) { output in
            switch call.content {
            case .command(let command, _): command.write(into: &output)
            case .call(let content):
                let digest = inFull ? nil : digests[content.script.rawValue]
                content.write(ScriptName(script: content.script, digest: digest), into: &output)
            }
        }
    }

    private func refuse(_ listener: Listener) {
        metrics.refused.add()
        listener.hear(.failure(.notConnected(reason: lastFailure ?? "not connected yet")))
    }

    func submit(deadline: Instant, _ listener: Listener, write: (inout ByteBuffer) -> Void) {
        guard let link, link.send(deadline: deadline, write) != nil else {
            metrics.refused.add()
            return listener.hear(.failure(.overloaded))
        }
        metrics.commands.add()
        pending.append(Pending(sentAt: dialer.now, deadline: deadline, listener: listener))
    }

    // MARK: What the link reports

    /// An event of the machine on `source`; those of a link that was given up are late and mean nothing.
    public func linkEvent(_ event: RedisMachine.Event, from source: any RedisLink) {
        guard link === source else { return }
        switch event {
        case .reply(let number, let reply):
            guard let command = take(number) else { return }
            lastReply = dialer.now
            timeoutsInARow = 0
            metrics.latency.record(from: command.sentAt, to: lastReply)
            finish(command, reply)
        case .expired(let number):
            let index = pendingHead + Int(number - firstNumber)
            guard pending.indices.contains(index), let command = pending[index] else { return }
            pending[index] = nil
            timeoutsInARow += 1
            if timeoutsInARow == configuration.timeoutsUntilDegraded { scheduleProbe() }
            metrics.timeouts.add()
            command.listener.hear(.failure(.timeout))
        case .failed(let reason):
            dropReason = reason
            link?.abort()
        }
    }

    private func take(_ number: UInt64) -> Pending? {
        while firstNumber < number {  // expired ones, whose replies the machine dropped
            pendingHead += 1
            firstNumber += 1
        }
        guard pendingHead < pending.count else { return nil }
        let command = pending[pendingHead]
        pending[pendingHead] = nil
        pendingHead += 1
        firstNumber += 1
        if pendingHead == pending.count {
            pending.removeAll(keepingCapacity: true)
            pendingHead = 0
        } else if pendingHead >= 1024 {
            pending.removeFirst(pendingHead)
            pendingHead = 0
        }
        return command
    }

    private func finish(_ command: Pending, _ reply: RedisReply) {
        guard case .error(let message) = reply else { return command.listener.hear(.success(reply)) }
        if message.hasPrefix("NOSCRIPT"), sendInFull(command) { return }
        if let redirector, redirector.follow(message, command, on: self) { return }
        metrics.errors.add()
        let error = StoreError(serverMessage: message)
        if error.dropsConnection {
            dropReason = "the server is not ready: \(message.prefix { $0 != " " })"
            link?.abort()
        }
        command.listener.hear(.failure(error))
    }

    /// Redis has forgotten a script: the same call goes again with its source, within its deadline.
    private func sendInFull(_ command: Pending) -> Bool {
        switch command.listener {
        case .function: return false
        case .routed(let call): send(call, inFull: true)
        case .call(let call):
            let name = ScriptName(script: call.script, digest: nil)
            submit(deadline: command.deadline, command.listener) { call.write(name, into: &$0) }
        }
        metrics.scriptReloads.add()
        return true
    }

    func failAll(_ error: StoreError) {
        let lost = pending[pendingHead...]
        pending = []
        pendingHead = 0
        firstNumber = 0
        for command in lost { command?.listener.hear(.failure(error)) }
    }
}
