// Redis as one lane sees it, whatever its shape: the one door that all stores go through.

import Core
import Net

/// Where Redis is, and in which shape.
public enum RedisPlace: Sendable {
    /// One server.
    case single(Endpoint)
    /// A primary that sentinels choose: their addresses, the primary's name, and how to speak with them.
    case sentinel([Endpoint], primary: String, RedisConfiguration)
    /// A Redis Cluster: some of its servers, through which the others are found.
    case cluster([Endpoint])
}

/// Redis behind one lane. Used on its lane only.
public final class Redis {
    private enum Shape {
        case one(RedisConnection, SentinelWatch?)
        case cluster(RedisCluster)
    }

    private let shape: Shape
    /// The one connection of a shape that has one: all that a call needs to look at.
    private let only: RedisConnection?
    private let address: String

    /// Redis at `place`, not started; `seed` spreads the pauses of many nodes.
    public init(_ place: RedisPlace, network: any RedisNetwork, configuration: RedisConfiguration, seed: UInt64) {
        switch place {
        case .single(let endpoint):
            address = endpoint.description
            let dialer = network.dialer(to: endpoint)
            let connection = RedisConnection(dialer: dialer, configuration: configuration, seed: seed)
            (shape, only) = (.one(connection, nil), connection)
        case .sentinel(let sentinels, let primary, let access):
            address = primary
            let watch = SentinelWatch(
                network: network, sentinels: sentinels, primary: primary, configuration: access, seed: seed)
            let dialer = SentinelDialer(network, watch)
            let connection = RedisConnection(
                dialer: dialer, configuration: configuration, seed: seed, duty: .electedStore)
            watch.onChange = { [weak connection, weak dialer] in
                guard let connection, let dialer else { return }
                if dialer.dialed != nil { connection.drop("the sentinels named another primary") }
                connection.hurry()
            }
            (shape, only) = (.one(connection, watch), connection)
        case .cluster(let seeds):
            address = seeds.map(\.description).joined(separator: ", ")
            shape = .cluster(RedisCluster(network: network, seeds: seeds, configuration: configuration, seed: seed))
            only = nil
        }
    }

    /// A Redis that is reached through one connection.
    init(_ connection: RedisConnection) {
        address = ""
        (shape, only) = (.one(connection, nil), connection)
    }

    /// Connects, and from then on again after each loss.
    public func start() {
        switch shape {
        case .one(let connection, let watch):
            watch?.start()
            connection.watchMarker(KeySchema.marker())
            connection.start()
        case .cluster(let cluster): cluster.start()
        }
    }

    /// Closes for good; commands under way fail.
    public func close() {
        switch shape {
        case .one(let connection, let watch):
            watch?.close()
            connection.close()
        case .cluster(let cluster): cluster.close()
        }
    }

    /// Sends one command to the server that has `slot`; without it, to the one that has the key behind the command's name.
    /// `then` hears the reply within `timeout` (the command timeout unless told), an error reply as a `StoreError`.
    public func send(
        _ command: RedisCommand, slot: @autoclosure () -> RedisSlot? = nil, timeout: Duration? = nil,
        then: @escaping RedisConnection.Completion
    ) {
        switch shape {
        case .one(let connection, _): connection.send(command, timeout: timeout, then: then)
        case .cluster(let cluster): cluster.send(command, slot: slot(), timeout: timeout, then: then)
        }
    }

    /// Calls a script where its keys are.
    func send(_ call: some ScriptCall) {
        if let only { return only.send(call) }
        if case .cluster(let cluster) = shape { cluster.send(call) }
    }

    /// Called each time a server becomes usable; true when its data may be older than what was confirmed before: another one answers, or
    /// they were deleted.
    public var onReady: ((_ identityChanged: Bool) -> Void)? {
        get {
            switch shape {
            case .one(let connection, _): connection.onReady
            case .cluster(let cluster): cluster.onReady
            }
        }
        set {
            switch shape {
            case .one(let connection, _): connection.onReady = newValue
            case .cluster(let cluster): cluster.onReady = newValue
            }
        }
    }

    /// True when some server cannot be used. That says nothing about one org: in a cluster most may be well.
    public var isImpaired: Bool {
        switch shape {
        case .one(let connection, _): connection.isDegraded
        case .cluster(let cluster): cluster.isImpaired
        }
    }

    /// True when an org's shared state must not be relied upon: its server has no ready connection, or several timeouts in a row.
    public func isDegraded(org: String) -> Bool { isDegraded(slot: KeySchema.slot(ofOrg: org)) }

    /// The same for the server that has a slot.
    func isDegraded(slot: @autoclosure () -> RedisSlot) -> Bool {
        switch shape {
        case .one(let connection, _): connection.isDegraded
        case .cluster(let cluster): cluster.owner(of: slot())?.isDegraded ?? true
        }
    }

    /// Why it cannot be used; nil while it can.
    public var lastFailure: String? {
        switch shape {
        case .one(let connection, _): connection.lastFailure
        case .cluster(let cluster): cluster.lastFailure
        }
    }

    /// Commands under way.
    public var commandsUnderWay: Int {
        switch shape {
        case .one(let connection, _): connection.commandsUnderWay
        case .cluster(let cluster): cluster.commandsUnderWay
        }
    }

    /// What its connections counted.
    public var metrics: RedisMetrics {
        switch shape {
        case .one(let connection, _): connection.metrics
        case .cluster(let cluster): cluster.metrics
        }
    }

    /// The primaries that it is made of.
    public var primaries: [RedisPrimary] {
        switch shape {
        case .one(let connection, let watch):
            [RedisPrimary(watch?.primary?.description ?? address, slots: 0, connection)]
        case .cluster(let cluster): cluster.primaries
        }
    }
}
