// The coordinator as a whole: what is published, to whom, and when.
import Core
import Dispatch
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
    private let redis: Redis
    let keys: KeyRing
    /// The tenants' quota, to look at.
    let quota: QuotaStore
    private var publication = Publication(epoch: UInt64(Host.wallClockMicroseconds() / 1_000))
    /// Why part of the configuration is not published; nil when all of it is.
    private(set) var holding: String?
    /// Where what was published last is kept, so that a broken file at the next start is noticed.
    private let publishedPath: String
    private let disk = DispatchQueue(label: "sluice.published")
    private var listener: Listener<ServerConnection>?
    private var admin: AdminServer?
    private var signals: Signals?
    private var subscribers: [ObjectIdentifier: Subscriber] = [:]
    private(set) var members = Membership()
    /// How many nodes there were before this start: they come back one after another, and none may believe to be alone.
    private var fleetBefore = 0
    /// Each node's part of the capacity of providers.
    private var capacities = Capacities()
    private let startedAt: Instant

    private var publishTimer: LaneTimer?
    private var publishedAt = Instant(nanoseconds: 0)
    private var afterPublishing: [() -> Void] = []

    /// The shortest time between two changes of keys on the wire.
    private static let pause = Duration.milliseconds(100)
    /// How often everything is published again, whether or not it changed: the same work on a good and on a bad day.
    private static let interval = Duration.seconds(5)

    init(
        lane: Lane, source: ConfigurationSource, configuration: ClusterConfiguration,
        own: ClusterConfiguration.Coordinator
    ) throws {
        self.lane = lane
        startedAt = lane.now
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
        redis = try RedisPlan(configuration.redis, path: source.resolve, secret: source.secret)
            .open(on: lane, seed: Host.randomSeed())
        quota = QuotaStore(redis)
        let folder = source.resolve(configuration.stateDirectory)
        keys = KeyRing(lane: lane, redis: redis, path: "\(folder)/coordinator-\(own.name).keys")
        publishedPath = "\(folder)/coordinator-\(own.name).published"
    }

    var epoch: UInt64 { publication.epoch }
    var sequence: UInt64 { publication.sequence }
    var published: ClusterSnapshot { publication.cluster }

    /// Opens everything, on the lane.
    func start() throws {
        guard let listen = SocketAddress.parse(own.listen), let adminAddress = SocketAddress.parse(own.admin) else {
            throw ConfigurationSource.Problems(list: ["listen and admin must be numeric addresses"])
        }
        keys.onChange = { [unowned self] in publishSoon() }
        keys.onProblem = { [unowned self] text in note(.error, "keys", text) }
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
            if number == 1 { reload() } else { stop() }
        }
        resume()
        publishChange()
        tick()
        split()
        note(.info, "started", "nodes at \(own.listen), admin at \(own.admin)")
    }

    /// SIGHUP: configuration and certificate are read again; each stays as it is when the new one cannot be used.
    private func reload() {
        _ = apply()
        do throws(TLSFailure) {
            try tls.reload()
            note(.info, "certificates_reloaded", "new connections use the new certificate")
        } catch {
            note(.error, "certificates_kept", error.description)
        }
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
            publishWhole()
            let gone = members.forgetGone(at: lane.now)
            for number in gone { note(.info, "node_forgotten", "node \(number)") }
            if fleetBefore > 0, lane.now - startedAt > Membership.memory { fleetBefore = 0 }
            if !gone.isEmpty { publishSoon() }
            tick()
        }
    }

    /// Splits the capacity of providers that have one among the nodes, each second.
    private func split() {
        lane.schedule(after: .seconds(1)) { [self] in
            let isChanged = capacities.split(
                configuration.published.providers, among: members, startedAt: startedAt, fleet: published.fleet,
                at: lane.now)
            if isChanged { publishSoon() }
            split()
        }
    }

    /// Sends the whole state to everybody: the same bytes, made once.
    private func publishWhole() {
        let state = publication.snapshot()
        for subscriber in subscribers.values { subscriber.send(state) }
    }

    /// The whole state as it travels.
    func snapshot() -> StateBytes { publication.snapshot() }

    /// Compares the file with what was published before the last stop: what `apply` would refuse is not published at a start
    /// either. The routes of then stay until the operator confirms.
    private func resume() {
        guard let bytes = try? FileAccess.read(publishedPath) else { return }
        let (saved, problems) = ClusterSnapshot.read(String(decoding: bytes, as: UTF8.self), file: publishedPath)
        fleetBefore = saved.fleet
        capacities = Capacities(saved.shares)
        guard problems.isEmpty else {
            return note(.warning, "published_unreadable", problems.map(\.description).joined(separator: "; "))
        }
        guard let problem = configuration.published.follow(saved, confirming: nil) else { return }
        configuration.published = configuration.published.keepingRoutes(of: saved)
        holding = "the routes published before are kept: \(problem)"
        note(.error, "routes_held", problem)
    }

    /// All keys: those of Redis, and those of the file, which win.
    var allKeys: [String: KeyRecord] { keys.records.merging(configuration.published.keys) { _, file in file } }

    /// Publishes a change of keys: the first at once, those that follow closely together, at most ten times a second.
    private func publishSoon() {
        guard publishTimer == nil else { return }
        let pause = Coordinator.pause - (lane.now - publishedAt)
        guard pause > .zero else { return publishChange() }
        publishTimer = lane.schedule(after: pause) { [self] in publishChange() }
    }

    /// Calls back when all changes that were made so far are published.
    func whenPublished(_ then: @escaping () -> Void) {
        if publishTimer == nil { then() } else { afterPublishing.append(then) }
    }

    /// Publishes what differs from what was published before, at once.
    private func publishChange() {
        publishTimer?.cancel()
        publishTimer = nil
        publishedAt = lane.now
        defer {
            let waiting = afterPublishing
            afterPublishing = []
            for then in waiting { then() }
        }
        var fresh = configuration.published
        fresh.keys = allKeys
        fresh.fleet = max(1, members.nodes.count, fleetBefore)
        fresh.shares = capacities.shares
        let isNews = fresh.shares == published.shares
        switch publication.offer(fresh) {
        case .same: capacities.published(at: sequence)
        case .tooLarge(let bytes):
            let text = "\(bytes) bytes of state; nodes take at most \(publication.sizeLimit)"
            if holding != text { note(.error, "not_published", text) }
            holding = text
        case .changed(let update, let changed, let removed):
            capacities.published(at: sequence)
            for subscriber in subscribers.values { subscriber.send(update) }
            // Shares move every second under load: that is no news.
            if isNews { note(.info, "published", "\(epoch).\(sequence): \(changed) changed, \(removed) removed") }
            var saved = fresh
            saved.keys = [:]
            let text = Array(saved.text.utf8)
            disk.async { [publishedPath] in try? FileAccess.writeAtomically(publishedPath, text) }
        }
    }

    /// Reads the configuration again; keeps the old one and tells every mistake when there is one.
    ///
    /// `count` confirms how many routes are to be left, when most of them are taken away on purpose: it is refused otherwise, here
    /// and by every node.
    func apply(confirming count: Int? = nil) -> [String] {
        var problems: [String] = []
        do throws(ConfigurationSource.Problems) {
            var fresh = try source.read()
            if let problem = fresh.published.follow(published, confirming: count) {
                problems = [problem]
            } else {
                configuration = fresh
                holding = nil
                publishChange()
            }
        } catch {
            problems = error.list
        }
        for problem in problems { note(.error, "configuration_kept", problem) }
        return problems
    }

    // MARK: - Nodes

    /// Takes a node in, and gives it the whole state; false when there is no room for one more.
    func joined(_ message: Subscribe, _ subscriber: Subscriber, on channel: Channel<ServerConnection>) -> Bool {
        let welcome = members.join(message, on: ObjectIdentifier(channel), at: lane.now)
        guard welcome != .full else {
            note(.error, "node_refused", "\(Membership.limit) nodes are connected; \(message.name) found no room")
            return false
        }
        if welcome == .twins {
            note(.error, "node_twins", "two processes run as node \(message.node); the newer is at \(message.address)")
        }
        // A node that has seen a higher epoch would refuse ours: a new term begins above it, and everybody hears of it at once.
        if publication.rise(above: message.highestEpoch) { publishWhole() } else { subscriber.send(snapshot()) }
        note(.info, "node_joined", "\(message.name) at \(message.address)")
        if members.nodes.count > published.fleet { publishSoon() }
        return true
    }

    func reported(_ report: Report, by node: UInt32, on channel: Channel<ServerConnection>) {
        let held = members.nodes[node]?.report?.holdsRoutes ?? false
        members.take(report, from: node, on: ObjectIdentifier(channel), at: lane.now)
        if report.epoch == epoch, members.nodes[node]?.channel == ObjectIdentifier(channel) {
            capacities.confirmed(report.sequence, by: node)
        }
        guard report.holdsRoutes, !held else { return }
        let count = published.routes.count
        note(
            .error, "node_holds_routes",
            "node \(node) keeps its routes, \(epoch).\(sequence) would take most of them away; if that is meant: "
                + "sluice apply --confirm-routes \(count)")
    }

    func left(_ channel: Channel<ServerConnection>, node: UInt32?) {
        subscribers[ObjectIdentifier(channel)] = nil
        guard let node, members.leave(node, on: ObjectIdentifier(channel), at: lane.now) else { return }
        note(.warning, "node_left", "node \(node)")
    }

    var redisIsReady: Bool { !redis.isImpaired }

    /// What is not as it should be, though nodes are served.
    var warnings: [String] {
        var warnings = redisIsReady ? [] : ["Redis cannot be reached: keys cannot be changed"]
        if let holding { warnings.append(holding) }
        for member in members.nodes.values.sorted(by: { $0.number < $1.number }) where member.isConnected {
            guard member.report?.holdsRoutes == true else { continue }
            warnings.append("node \(member.number) keeps its routes: see its /readyz")
        }
        return warnings
    }

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
