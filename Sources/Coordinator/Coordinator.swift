// The coordinator as a whole: what is published, to whom, and when.
import Core
import Net
import Policy
import Store
import Telemetry
import Wire

/// Publishes configuration and keys. Advisory: nodes run on without it. Confined to its lane.
final class Coordinator: @unchecked Sendable {
    let lane: Lane
    let source: ConfigurationSource
    private(set) var configuration: ClusterConfiguration
    let own: ClusterConfiguration.Coordinator
    let adminSecret: Secret
    let lines = LineWriter()
    private let tls: TLSContext
    private let redis: RedisConnection
    let keys: KeyRing
    private(set) var published = ClusterSnapshot()
    private(set) var epoch: UInt64
    private(set) var sequence: UInt64 = 0
    private var confirmedRoutes: Int?
    private var listener: Listener<ServerConnection>?
    private var admin: AdminServer?
    private var signals: Signals?
    private var subscribers: [ObjectIdentifier: Subscriber] = [:]
    /// Nodes that ever reported, by number.
    private(set) var members: [UInt32: Member] = [:]

    /// How often everything is published again, whether or not it changed: the same work on a good and on a bad day.
    private static let interval = Duration.seconds(5)

    init(
        lane: Lane, source: ConfigurationSource, configuration: ClusterConfiguration,
        own: ClusterConfiguration.Coordinator
    ) throws {
        self.lane = lane
        self.source = source
        self.configuration = configuration
        self.own = own
        guard let secret = source.secret(own.adminSecret) else {
            throw ConfigurationSource.Problems(list: ["the admin secret at \(own.adminSecret) cannot be read"])
        }
        adminSecret = secret
        tls = try .server(
            certificate: source.resolve(own.certificate), key: source.resolve(own.key),
            clientCA: source.resolve(configuration.tls.ca), clients: .required, protocols: ["sluice/1"])
        let address = configuration.redis.address
        let isPath = address.hasPrefix("unix:")
        let resolved = isPath ? "unix:\(source.resolve(String(address.dropFirst(5))))" : address
        guard let endpoint = Endpoint.parse(resolved) else {
            throw ConfigurationSource.Problems(list: ["'\(configuration.redis.address)' is not an address"])
        }
        let redisTLS = try configuration.redis.ca.map { ca throws(TLSFailure) in
            try TLSContext.client(trust: .file(source.resolve(ca)), protocols: [], allowsTLS12: true)
        }
        var settings = RedisConfiguration()
        settings.user = configuration.redis.user
        settings.commandTimeout = configuration.redis.commandTimeout
        if let reference = configuration.redis.password {
            guard let password = source.secret(reference) else {
                throw ConfigurationSource.Problems(list: ["the Redis password at \(reference) cannot be read"])
            }
            settings.password = password
        }
        redis = RedisConnection(
            lane: lane, endpoint: endpoint, tls: redisTLS, configuration: settings, seed: Host.randomSeed())
        let folder = source.resolve(configuration.stateDirectory)
        keys = KeyRing(lane: lane, redis: redis, path: "\(folder)/coordinator-\(own.name).keys")
        epoch = UInt64(Host.wallClockMicroseconds() / 1_000)
    }

    /// Opens everything, on the lane.
    func start() throws {
        guard let listen = SocketAddress.parse(own.listen), let adminAddress = SocketAddress.parse(own.admin) else {
            throw ConfigurationSource.Problems(list: ["listen and admin must be numeric addresses"])
        }
        keys.onChange = { [unowned self] in publishChange() }
        redis.onReady = { [unowned self] _ in keys.refresh() }
        redis.start()
        keys.loadSaved()
        listener = try Listener(
            lane: lane, address: listen, tls: tls,
            machine: { ServerConnection(at: $0, seed: Host.randomSeed()) },
            onAccept: { [unowned self] channel in
                let subscriber = Subscriber(self, channel)
                subscribers[ObjectIdentifier(channel)] = subscriber
            })
        let admin = AdminServer(self)
        try admin.listen(on: adminAddress)
        self.admin = admin
        signals = try Signals(lane: lane) { [unowned self] number in
            if number == 1 { _ = apply() } else { stop() }
        }
        publishChange()
        tick()
        note(.info, "started", "nodes at \(own.listen), admin at \(own.admin)")
    }

    private func stop() {
        note(.info, "stopped", "bye")
        for subscriber in subscribers.values { subscriber.close() }
        lane.schedule(after: .milliseconds(100)) { [self] in lane.stop() }
    }

    // MARK: - Publishing

    private func tick() {
        lane.schedule(after: Coordinator.interval) { [self] in
            keys.refresh()
            for subscriber in subscribers.values { subscriber.send(snapshot) }
            tick()
        }
    }

    /// The whole state as it travels.
    var snapshot: Snapshot {
        Snapshot(epoch: epoch, sequence: sequence, records: Coordinator.records(published))
    }

    private static func records(_ cluster: ClusterSnapshot) -> [SnapshotRecord] {
        cluster.records.map { SnapshotRecord(kind: $0.kind, name: $0.name, body: $0.body) }
    }

    /// Publishes what differs from what was published before, at once.
    private func publishChange() {
        var fresh = configuration.published
        fresh.keys.merge(keys.records) { file, _ in file }
        fresh.confirmedRouteCount = confirmedRoutes
        guard fresh != published || sequence == 0 else { return }
        let old = Dictionary(
            uniqueKeysWithValues: Coordinator.records(published).map { ("\($0.kind) \($0.name)", $0) })
        let new = Coordinator.records(fresh)
        let names = Set(new.map { "\($0.kind) \($0.name)" })
        let changed = new.filter { old["\($0.kind) \($0.name)"] != $0 }
        let removed = old.filter { !names.contains($0.key) }.values
            .map { Update.Removal(kind: $0.kind, name: $0.name) }
        published = fresh
        sequence += 1
        let update = Update(epoch: epoch, sequence: sequence, changed: changed, removed: removed)
        for subscriber in subscribers.values { subscriber.send(update) }
        note(.info, "published", "\(epoch).\(sequence): \(changed.count) changed, \(removed.count) removed")
    }

    /// Reads the configuration again; keeps the old one and tells every mistake when there is one.
    ///
    /// `routes` confirms how many routes are to be left, when most of them are taken away on purpose: nodes refuse that otherwise.
    func apply(confirming routes: Int? = nil) -> [String] {
        do throws(ConfigurationSource.Problems) {
            configuration = try source.read()
            confirmedRoutes = routes
            publishChange()
            return []
        } catch {
            for problem in error.list { note(.error, "configuration_kept", problem) }
            return error.list
        }
    }

    // MARK: - Nodes

    func joined(_ message: Subscribe, on channel: Channel<ServerConnection>) {
        // A node that has seen a higher epoch would refuse ours: a new term begins above it.
        if message.highestEpoch > epoch {
            epoch = message.highestEpoch + 1
            sequence += 1
        }
        let member = Member(
            number: message.node, name: message.name, address: message.address, admin: message.adminAddress,
            version: message.programVersion, seenAt: lane.wallClockMicroseconds, isConnected: true, report: nil,
            channel: ObjectIdentifier(channel))
        members[message.node] = member
        note(.info, "node_joined", "\(message.name) at \(message.address)")
    }

    func reported(_ report: Report) {
        members[report.node]?.report = report
        members[report.node]?.seenAt = lane.wallClockMicroseconds
    }

    func left(_ channel: Channel<ServerConnection>, node: UInt32?) {
        subscribers[ObjectIdentifier(channel)] = nil
        // A node that came back before its old connection was gone is connected all the same.
        guard let node, members[node]?.channel == ObjectIdentifier(channel) else { return }
        members[node]?.isConnected = false
        note(.warning, "node_left", "node \(node)")
    }

    var redisIsReady: Bool { !redis.isDegraded }

    // MARK: - Log

    func note(_ level: LogLevel, _ event: StaticString, _ text: String) {
        var line = ByteBuffer()
        var record = LogRecord(level, event, at: lane.wallClockMicroseconds, into: &line)
        record.field("coordinator", own.name)
        record.field("text", text)
        record.end(returning: &line)
        lines.append(draining: &line)
    }
}

/// A node as its coordinator knows it.
struct Member {
    let number: UInt32
    let name: String
    let address: String
    let admin: String
    let version: String
    var seenAt: Int64
    var isConnected: Bool
    var report: Report?
    /// The connection it subscribed on last.
    var channel: ObjectIdentifier
}
