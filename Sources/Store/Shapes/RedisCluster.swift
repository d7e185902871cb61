// Redis Cluster as one lane sees it: a connection to each primary, and the map that says which one has a key.

import Core
import Net
import Telemetry

/// One lane's side of a Redis Cluster. Used on its lane only.
///
/// The map is asked of any server that answers: at the start of the seeds, later of primaries. While a primary is away, what belongs
/// to it fails at once and all else goes on; the map is asked five times a second until a replica has taken its place.
final class RedisCluster {
    let network: any RedisNetwork
    let configuration: RedisConfiguration
    let seeds: [Endpoint]
    private var chance: UInt64
    private(set) var map: SlotMap?
    /// The connection of each place of the map.
    private var table: [RedisConnection] = []
    /// Every open connection by its address: those of the table, and of servers that commands were sent on to.
    private(set) var connections: [Endpoint: RedisConnection] = [:]
    /// When a server that is no place of the map was last sent a command.
    private var guests: [Endpoint: Instant] = [:]
    /// Calls that wait for a connection that is being made.
    var parked: [(call: RoutedCall, endpoint: Endpoint)] = []
    var refresh = MapRefresh()
    var cancelRefresh: (() -> Void)?
    var isAsking = false
    var nextSource = 0
    var scout: (connection: RedisConnection, endpoint: Endpoint, since: Instant)?
    private(set) var isClosed = false
    private var past = RedisMetrics()
    private var failure: String?

    var onReady: ((_ identityChanged: Bool) -> Void)?

    init(network: any RedisNetwork, seeds: [Endpoint], configuration: RedisConfiguration, seed: UInt64) {
        precondition(!seeds.isEmpty, "a cluster is found through at least one of its servers")
        self.network = network
        self.seeds = seeds
        self.configuration = configuration
        chance = seed
    }

    func start() { askForMap() }

    func close() {
        isClosed = true
        cancelRefresh?()
        scout?.connection.close()
        scout = nil
        for connection in connections.values { connection.close() }
        for (call, _) in parked { call.hear(.failure(.notConnected(reason: "closed"))) }
        parked = []
    }

    // MARK: - Commands

    /// The connection to the primary that has the slot, in whatever state it is.
    func owner(of slot: RedisSlot) -> RedisConnection? {
        guard let place = map?.owner(of: slot) else { return nil }
        return table[place]
    }

    func send(_ call: some ScriptCall) {
        guard let connection = owner(of: call.slot) else { return call.finish(.failure(withoutOwner)) }
        connection.send(call)
    }

    func send(
        _ command: RedisCommand, slot: RedisSlot?, timeout: Duration?, then: @escaping RedisConnection.Completion
    ) {
        let slot = slot ?? command.slot
        let deadline = network.now + (timeout ?? configuration.commandTimeout)
        resume(RoutedCall(.command(command, then), slot: slot, deadline: deadline))
    }

    /// Sends a call to the owner of its slot.
    func resume(_ call: RoutedCall) {
        call.isAsking = false
        guard let connection = owner(of: call.slot) else { return call.hear(.failure(withoutOwner)) }
        connection.send(call)
    }

    private var withoutOwner: StoreError {
        map == nil ? .notConnected(reason: failure ?? "the cluster's map is not known yet") : .degraded(.clusterDown)
    }

    // MARK: - How it is

    /// True when a primary cannot be used, or a slot has none.
    var isImpaired: Bool {
        guard let map, map.isComplete else { return true }
        return table.contains { $0.isDegraded }
    }

    var lastFailure: String? {
        guard map != nil else { return failure }
        for (endpoint, connection) in connections {
            if let reason = connection.lastFailure { return "\(endpoint): \(reason)" }
        }
        return isImpaired ? "not every slot has an owner that can be used" : nil
    }

    var metrics: RedisMetrics {
        connections.values.reduce(into: past) { $0.merge($1.metrics) }
    }

    var commandsUnderWay: Int { connections.values.reduce(parked.count) { $0 + $1.commandsUnderWay } }

    var primaries: [RedisPrimary] {
        guard let map else { return [] }
        return zip(zip(map.places, map.counts), table).map { place, connection in
            RedisPrimary(place.0.description, slots: place.1, connection)
        }
    }

    // MARK: - The map

    /// Takes a map into use, unless it is older than the one that is known.
    func adopt(_ fresh: SlotMap) {
        if let map, fresh.epoch < map.epoch, table.contains(where: { $0.state == .ready }) { return }
        let isFirst = map == nil
        map = fresh
        rebuild(isFirst: isFirst)
        for (endpoint, connection) in connections where !fresh.places.contains(endpoint) {
            if let used = guests[endpoint], used + .seconds(10) > network.now { continue }
            retire(connection, endpoint)
        }
    }

    /// A server said who has this slot now.
    func move(_ slot: RedisSlot, to endpoint: Endpoint) {
        guard var changed = map else { return }
        do throws(StoreError) { try changed.move(slot, to: endpoint) } catch { return }
        map = changed
        rebuild(isFirst: false)
    }

    private func rebuild(isFirst: Bool) {
        guard let map else { return }
        table = map.places.map { place in
            guests[place] = nil
            return connection(to: place, isReplacement: !isFirst)
        }
        for (place, connection) in table.enumerated() {
            connection.watchMarker(KeySchema.marker { map.owner(of: $0) == place })
        }
    }

    /// The connection to an address, made if need be. A place that comes later may have taken over another's slots without the last of
    /// its writes.
    private func connection(to endpoint: Endpoint, isReplacement: Bool) -> RedisConnection {
        if let connection = connections[endpoint] { return connection }
        chance = chance &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let connection = RedisConnection(
            dialer: network.dialer(to: endpoint), configuration: configuration, seed: chance)
        connection.redirector = self
        connection.address = endpoint
        var isReplacement = isReplacement
        connection.onReady = { [weak self] changed in
            guard let self else { return }
            if scout != nil { endScout() }
            unpark(endpoint, connection)
            onReady?(changed || isReplacement)
            isReplacement = false
        }
        connection.onStateChange = { [weak self] state in
            if state == .waiting { self?.wantMap() }
        }
        connections[endpoint] = connection
        connection.start()
        return connection
    }

    /// The connection to a server that a command was sent on to; nil when there are too many.
    func guest(_ endpoint: Endpoint) -> RedisConnection? {
        guard connections[endpoint] != nil || connections.count < 2 * SlotMap.placeLimit else { return nil }
        if map?.places.contains(endpoint) != true { guests[endpoint] = network.now }
        return connection(to: endpoint, isReplacement: false)
    }

    /// Lets what is under way end, and closes then.
    private func retire(_ connection: RedisConnection, _ endpoint: Endpoint) {
        connections[endpoint] = nil
        guests[endpoint] = nil
        connection.onReady = nil
        connection.onStateChange = nil
        let close = { [weak self] in
            connection.close()
            self?.past.merge(connection.metrics)
        }
        if connection.commandsUnderWay == 0 || connection.state != .ready { return close() }
        _ = network.after(.seconds(1), close)
    }

    func failed(_ reason: String) { failure = reason }
}
