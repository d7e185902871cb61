// The coordinator as a whole: what is published, to whom, and when.
import Core
import Dispatch
import Net
import Policy
import Store
import Telemetry
import Wire

/// Publishes configuration and keys while it leads. Advisory: nodes run on without it. Confined to its lane.
final class Coordinator: @unchecked Sendable {
    let lane: Lane
    let source: ConfigurationSource
    var configuration: ClusterConfiguration
    let own: ClusterConfiguration.Coordinator
    let adminSecret: Secret
    let lines = LineWriter()
    private let tls: TLSContext
    private let redis: Redis
    let keys: KeyRing
    /// The tenants' quota, to look at.
    let quota: QuotaStore
    let breakers: BreakerStore
    let leadership: Leadership
    let handover: Handover
    let versions: ConfigurationVersions
    let canaries: Canaries
    /// The file as it was read last.
    var fileText: ConfigurationText
    /// Another coordinator stood beside this one in the file at the start.
    let isOneOfSeveral: Bool
    var publication = Publication()
    /// Why part of the configuration is not published; nil when all of it is.
    var holding: String?
    /// True from the moment when everything that a term begins with was read.
    var isPublishing = false
    private var listener: Listener<ServerConnection>?
    private var admin: AdminServer?
    /// Set once, before anything runs.
    private var ending: EndWatch?
    private(set) var subscribers: [ObjectIdentifier: Subscriber] = [:]
    var members = Membership()
    /// How providers do.
    private(set) lazy var health = ProviderHealth(self)
    /// How many nodes there were before this term: they come back one after another, and none may believe to be alone.
    var fleetBefore = 0
    /// Each node's part of the capacity of providers.
    var capacities = Capacities()
    /// Nodes that have too many client connections.
    var connectionSpread = ConnectionSpread()
    /// Epochs that nodes say to have seen and that cannot be, by node, until it follows the present one; and how many there were.
    private(set) var refusedEpochs: [UInt32: UInt64] = [:]
    private(set) var refusedEpochCount: UInt64 = 0
    /// When the term began.
    var termBeganAt: Instant

    private var publishTimer: LaneTimer?
    private var publishedAt = Instant(nanoseconds: 0)
    private var afterPublishing: [() -> Void] = []

    /// The shortest time between two changes of keys on the wire.
    private static let pause = Duration.milliseconds(100)
    /// How often nodes hear which version there is, whether or not it changed: the same work on a good and on a bad day.
    private static let interval = Duration.seconds(5)

    init(
        lane: Lane, source: ConfigurationSource, configuration: ClusterConfiguration, text: ConfigurationText,
        own: ClusterConfiguration.Coordinator
    ) throws {
        self.lane = lane
        termBeganAt = Host.monotonicNow()
        self.source = source
        self.configuration = configuration
        fileText = text
        isOneOfSeveral = configuration.coordinators.count > 1
        self.own = own
        adminSecret = try AdminServer.secret(own, source)
        tls = try .server(
            "coordinator", certificate: source.resolve(own.certificate), key: source.resolve(own.key),
            clientCA: source.resolve(configuration.tls.ca), clients: .required,
            crl: configuration.tls.crl.map(source.resolve), protocols: ["sluice/1"])
        redis = try RedisPlan(configuration.redis, in: source.folder, as: .coordinator)
            .open(on: lane, seed: Host.randomSeed())
        quota = QuotaStore(redis)
        breakers = BreakerStore(redis)
        let folder = source.resolve(configuration.stateDirectory)
        keys = KeyRing(lane: lane, redis: redis, path: "\(folder)/coordinator-\(own.name).keys")
        leadership = Leadership(
            lane: lane, redis: redis, own: own, isAlone: !isOneOfSeveral)
        versions = ConfigurationVersions(redis)
        canaries = Canaries(lane: lane, redis: redis)
        handover = Handover(lane: lane, redis: redis, path: "\(folder)/coordinator-\(own.name).published")
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
        keys.onPruned = { [unowned self] id in
            note(.info, "key_removed", "the record of key \(id), which ended 90 days ago, was removed")
        }
        keys.onProblem = { [unowned self] text in note(.error, "keys", text) }
        redis.onReady = { [unowned self] _ in
            keys.refresh()
            leadership.hurry()
        }
        redis.start()
        keys.loadSaved()
        var doors = ListenerLimits()
        doors.establishment = .greeting
        var limits = WireLimits.standard
        // One whole state may wait, and changes behind it.
        limits.queuedBytesHard += limits.stateMessageBytes
        listener = try Listener(
            lane: lane, address: listen, tls: tls, limits: doors,
            machine: { ServerConnection(limits: limits, at: $0, seed: Host.randomSeed()) },
            onAccept: { [unowned self] channel in
                let subscriber = Subscriber(self, channel)
                subscribers[ObjectIdentifier(channel)] = subscriber
            })
        let admin = AdminServer(self)
        try admin.listen(on: adminAddress, tls: AdminServer.tls(own, source))
        self.admin = admin
        campaign()
        tick()
        split()
        watchCanaries()
        health.start()
        note(.info, "started", "nodes at \(own.listen), admin at \(own.adminURL)")
        TLSContexts.shared.watch(on: lane) { [unowned self] text in note(.warning, "certificates", text) }
    }

    /// Hears signals from now on. From the main thread, once `start` is on its way.
    func watchSignals() throws {
        ending = try EndWatch(
            lane, onSignal: { [self] number in if number == 1 { reload() } else { stop() } },
            onHang: { [self] in
                let text = "the lane hangs and cannot end this coordinator: exit \(EndWatch.exitCode)"
                note(.error, "ended_hanging", text)
                lines.drain(atMost: .seconds(2))
                Host.exit(EndWatch.exitCode)
            })
    }

    /// SIGHUP: configuration and certificate are read again; each stays as it is when the new one cannot be used.
    private func reload() {
        if let notLeading {
            note(.info, "configuration_not_read", notLeading)
        } else {
            apply(ConfigurationChange(who: "SIGHUP", reason: "")) { _ in }
        }
        TLSContexts.shared.reload(on: lane) { [self] outcomes in
            for (level, event, text) in TLSReload.lines(outcomes) { note(level, event, text) }
            for subscriber in subscribers.values { subscriber.recheck() }
        }
    }

    /// The lease goes back first: the nodes that are sent away find another leader at once.
    private func stop() {
        leadership.giveBack { [self] in
            note(.info, "stopped", "bye")
            for subscriber in subscribers.values { subscriber.close() }
            lane.schedule(after: .milliseconds(100)) { [self] in lane.stop() }
        }
    }

    // MARK: - Publishing

    private func tick() {
        lane.schedule(after: Coordinator.interval) { [self] in
            keys.look()
            beat()
            let gone = members.forgetGone(at: lane.now)
            for number in gone {
                refusedEpochs[number] = nil
                note(.info, "node_forgotten", "node \(number)")
            }
            if fleetBefore > 0, lane.now - termBeganAt > Membership.memory { fleetBefore = 0 }
            if !gone.isEmpty { publishSoon() }
            tick()
        }
    }

    /// Splits the capacity of providers that have one among the nodes, each second.
    private func split() {
        lane.schedule(after: .seconds(1)) { [self] in
            defer { split() }
            guard leads else { return }
            let isChanged = capacities.split(
                configuration.published.providers, among: members, startedAt: termBeganAt, fleet: published.fleet,
                at: lane.now)
            let isSpreadChanged = spreadConnections()
            if isChanged || isSpreadChanged { publishSoon() }
        }
    }

    /// Says to everybody which version there is.
    private func beat() {
        guard leads else { return }
        let heartbeat = publication.heartbeat
        for subscriber in subscribers.values { subscriber.beat(heartbeat) { publication.snapshot() } }
    }

    /// Sends the whole state to everybody: the same bytes, made once.
    func publishWhole() {
        guard leads else { return }
        let state = publication.snapshot()
        for subscriber in subscribers.values { subscriber.send(state) }
    }

    /// The whole state as it travels.
    func snapshot() -> StateBytes { publication.snapshot() }

    /// All keys: those of Redis, and those of the file, which win.
    var allKeys: [String: KeyRecord] {
        let file = configuration.published.keys
        return file.isEmpty ? keys.records : keys.records.merging(file) { _, file in file }
    }

    /// The cluster's state as it was configured: what nodes get is made of it.
    var configured: ClusterSnapshot {
        var fresh = configuration.published
        fresh.keys = allKeys
        fresh.fleet = max(1, members.nodes.count, fleetBefore)
        fresh.shares = capacities.shares
        return fresh
    }

    /// Publishes a change of keys or of health: the first at once, those that follow closely together, at most ten times a second.
    func publishSoon() {
        guard leads, publishTimer == nil else { return }
        let pause = Coordinator.pause - (lane.now - publishedAt)
        guard pause > .zero else { return publishChange() }
        publishTimer = lane.schedule(after: pause) { [self] in publishChange() }
    }

    /// Calls back when all changes that were made so far are published.
    func whenPublished(_ then: @escaping () -> Void) {
        if publishTimer == nil { then() } else { afterPublishing.append(then) }
    }

    /// Publishes what differs from what was published before, at once; `quietly` when the whole state follows.
    func publishChange(quietly: Bool = false) {
        publishTimer?.cancel()
        publishTimer = nil
        publishedAt = lane.now
        defer {
            let waiting = afterPublishing
            afterPublishing = []
            for then in waiting { then() }
        }
        guard leads else { return }
        let configured = configured
        // The canary's share is of the configured weights; what health leaves of them comes last.
        var fresh = health.applied(to: drawingCanaries(into: configured))
        fresh.connectionLevels = connectionSpread.levels
        let isNews = fresh.shares == published.shares && fresh.connectionLevels == published.connectionLevels
        switch publication.offer(fresh) {
        case .same: capacities.published(at: sequence)
        case .tooLarge(let bytes):
            let text = "\(bytes) bytes of state; nodes take at most \(publication.sizeLimit)"
            if holding != text { note(.error, "not_published", text) }
            holding = text
        case .changed(let update, let changed, let removed):
            capacities.published(at: sequence)
            if !quietly { for subscriber in subscribers.values { subscriber.send(update) } }
            // Shares move every second under load, and levels have a line of their own: that is no news.
            if isNews { note(.info, "published", "\(epoch).\(sequence): \(changed) changed, \(removed) removed") }
            keep(configured)
        }
    }

    /// Leaves the configured state to the next leader: neither keys, which it finds in Redis, nor health, which it finds out.
    func keep(_ configured: ClusterSnapshot) {
        var saved = configured
        saved.keys = configuration.published.keys
        handover.save(saved, epoch: epoch)
    }

    // MARK: - Nodes

    /// Takes a node in, and gives it the whole state, now or when this coordinator begins to lead; says why not when it must go.
    func joined(_ message: Subscribe, _ subscriber: Subscriber, on channel: Channel<ServerConnection>) -> StreamError? {
        if let needed = RecordLevel.needed(by: configuration.published), message.level < needed.level {
            let text = "it reads records up to level \(message.level); \(needed.reason) needs level \(needed.level)"
            note(.error, "node_refused", "\(message.name), version \(message.programVersion), is too old: \(text)")
            return StreamError(code: .invalidRequest, text: "this node is too old for the configuration: \(text)")
        }
        let isBelieved = believes(message)
        if !leads, leadership.isLedElsewhere { return elsewhere }
        let welcome = members.join(message, on: ObjectIdentifier(channel), at: lane.now)
        guard welcome != .full else {
            note(.error, "node_refused", "\(Membership.limit) nodes are connected; \(message.name) found no room")
            return StreamError(code: .overloaded, text: "this coordinator has all the nodes it takes")
        }
        if welcome == .twins {
            note(.error, "node_twins", "two processes run as node \(message.node); the newer is at \(message.address)")
        }
        note(.info, "node_joined", "\(message.name) at \(message.address)")
        // A node that has seen a higher epoch would refuse ours: a new term begins above it, and everybody hears of it at once.
        if isBelieved { leadership.rise(above: message.highestEpoch) }
        guard leads else { return nil }
        if message.level >= 1, (message.lastEpoch, message.lastSequence) == (epoch, sequence) {
            subscriber.send(publication.heartbeat)
        } else if epoch >= message.highestEpoch || !isBelieved {
            subscriber.send(snapshot())
        }
        if members.nodes.count > published.fleet { publishSoon() }
        return nil
    }

    /// Whether an epoch that a node says to have seen can be true. One that cannot moves nothing: the node is served like others, and
    /// comes back by itself, as it does not believe such a number either.
    private func believes(_ message: Subscribe) -> Bool {
        let latest = leadership.latestEpoch
        guard message.highestEpoch > latest else {
            refusedEpochs[message.node] = nil
            return true
        }
        refusedEpochCount += 1
        if refusedEpochs.count < Membership.limit { refusedEpochs[message.node] = message.highestEpoch }
        note(
            .error, "epoch_refused",
            "node \(message.node) (\(message.name)) says to have seen epoch \(message.highestEpoch), later than "
                + "\(latest), a day after Redis' clock: not believed, no term rises")
        return false
    }

    func reported(_ report: Report, by node: UInt32, on channel: Channel<ServerConnection>) {
        countCanaries(report, by: node, on: channel)
        let held = members.nodes[node]?.report?.holdsRoutes ?? false
        members.take(report, from: node, on: ObjectIdentifier(channel), at: lane.now)
        if members.nodes[node]?.channel == ObjectIdentifier(channel) {
            if report.epoch == epoch {
                refusedEpochs[node] = nil
                capacities.confirmed(report.sequence, by: node)
            }
            health.take(report)
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
        if let trouble = lines.trouble(at: lane.now) { warnings.append(trouble) }
        if let notLeading { warnings.append(notLeading) }
        if let holding { warnings.append(holding) }
        warnings += [keys.file.warning, handover.file.warning].compactMap(\.self)
        for (node, epoch) in refusedEpochs.sorted(by: { $0.key < $1.key }).prefix(8) {
            warnings.append(
                "node \(node) says to have seen epoch \(epoch), which is later than any clock: not believed")
        }
        if leads, let problem = versions.problem { warnings.append(problem) }
        warnings += canaryWarnings
        warnings += health.warnings
        warnings += TLSContexts.shared.warnings(at: lane.wallClockMicroseconds / 1_000_000)
        for member in members.nodes.values.sorted(by: { $0.number < $1.number }) where member.isConnected {
            guard member.report?.holdsRoutes == true else { continue }
            warnings.append("node \(member.number) keeps its routes: see its /readyz")
        }
        return warnings
    }

    // MARK: - Log

    /// From any thread.
    func note(_ level: LogLevel, _ event: StaticString, _ text: String) {
        var line = ByteBuffer()
        var record = LogRecord(level, event, at: Host.wallClockMicroseconds(), into: &line)
        record.field("coordinator", own.name)
        record.field("text", text)
        record.end(returning: &line)
        lines.append(draining: &line)
    }
}
