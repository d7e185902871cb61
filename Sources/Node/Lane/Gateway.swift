// One lane of a node: its listener, sessions, connections, counters. Nothing here is shared with another lane.
import Core
import Net
import Policy
import Providers
import Store
import Telemetry
import Wire

/// Everything that belongs to one lane. Confined to it; marked Sendable because closures that run on the lane carry it.
final class Gateway: @unchecked Sendable {
    let lane: Lane
    let settings: NodeSettings
    let redis: Redis
    let quota: QuotaStore
    let settlements: Settlements
    let leases: Leases
    let safeMode: SafeMode
    private let spool: Spool?
    let starts: StartQueue
    /// Keys that have connections, and those that had lately.
    var loads: [String: KeyLoad] = [:]
    /// Connections whose key is not known.
    let strangers: KeyLoad
    /// Set once, when the lane is made.
    private(set) lazy var breakers = Breakers(self, redis: redis, node: settings.index)
    let resumptions: Resumptions
    let overload: Overload
    /// What keys and orgs hold of this lane.
    var occupancy: Occupancy
    /// All lanes of the node by their index, this one among them; each is reached through its lane only.
    var neighbours: [Gateway] = []
    private(set) var snapshot: ActiveSnapshot
    /// Which snapshot of this lane's life it is: names it without holding it.
    private(set) var snapshotNumber: UInt64 = 0
    private var listener: Listener<ServerConnection>?
    private(set) var sessions: [UInt64: Session] = [:]
    private(set) var targets: [String: UpstreamTarget] = [:]
    /// Copies of requests under way.
    var shadows = 0
    /// What routes go to, by `provider/model`, and by route.
    private(set) var laneTargets: [String: LaneTarget] = [:]
    private var routeTargets: [String: [LaneTarget]] = [:]
    /// Those of the last request's route: mostly also the next one's.
    private var latestTargets: (route: ActiveRoute, found: [LaneTarget])?
    /// First attempts of routes with a canary.
    var canaries = CanaryCounter()
    /// Attempts beyond the first.
    var retries = RetryBudget()
    private let retryFloor: SharedRetryFloor
    /// Queues before providers; each lives as long as the lane, for requests that it admitted may outlive a snapshot.
    private(set) var admissions: [String: Admission] = [:]
    private var sessionNumber: UInt64 = 0
    private var refusedTenants = 0
    private var refusedTenantsToldAt = Instant(nanoseconds: .min / 2)
    /// Learned from answers.
    let estimates = TokenEstimates()
    /// Which thresholds of budgets were told.
    var budgets = BudgetWatch()
    var chance: Chance
    var metrics = NodeMetrics()
    /// Log lines that were not handed to the writer yet.
    var lines = ByteBuffer()
    private let writer: LineWriter
    private var lineTimer: LaneTimer?
    private(set) var isDraining = false
    private var silentSeconds = 0
    /// True when the drain's time is over: new requests are refused.
    private(set) var isDrained = false

    init(
        lane: Lane, settings: NodeSettings, redis: Redis, writer: LineWriter, spool: Spool?, snapshot: ActiveSnapshot,
        retryFloor: SharedRetryFloor
    ) {
        self.retryFloor = retryFloor
        self.spool = spool
        self.lane = lane
        self.settings = settings
        self.redis = redis
        self.writer = writer
        self.snapshot = snapshot
        quota = QuotaStore(redis, retention: settings.configuration.ledger)
        settlements = Settlements(lane: lane, quota: quota, spool: spool)
        leases = Leases(
            lane: lane, quota: quota, spool: spool, rate: settings.configuration.nodes.leaseRate,
            requestTimeout: settings.requestTimeout)
        safeMode = SafeMode(lane: lane, redis: redis, lanes: settings.lanes)
        starts = StartQueue(lane: lane, servers: Servers(lane: lane))
        strangers = KeyLoad("", share: lane.commonShare)
        resumptions = Resumptions(lane: lane, settings.configuration.nodes)
        overload = Overload(
            lane: lane, memoryLimit: settings.memoryLimit, lagLimit: settings.configuration.nodes.lagLimit)
        occupancy = Occupancy(Occupancy.Limits(settings.configuration.nodes))
        chance = Chance(seed: Host.randomSeed())
        sessionNumber = UInt64(settings.index) << 48 | UInt64(lane.index) << 40
    }

    // MARK: - Clients

    /// Accepts clients on this lane's own listener.
    func listen(tls: TLSContext) throws(SystemFailure) {
        var limits = ListenerLimits()
        limits.descriptors = settings.acceptedDescriptors
        limits.connections = settings.configuration.nodes.maximumConnections
        limits.establishment = .greeting
        let balancers = settings.configuration.nodes.balancerAddresses
        if !balancers.isEmpty {
            limits.isBalancer = { address in
                address.number.map { number in balancers.contains { $0.contains(number) } } ?? false
            }
        }
        var wire = WireLimits.standard
        wire.age = settings.configuration.nodes.maximumAge
        wire.drainTime = settings.drainLimit
        wire.refusedResumes = resumptions.time > .zero ? wire.openStreams : 0
        let seeds = Host.randomSeed()
        listener = try Listener(
            lane: lane, address: settings.listen, tls: tls, limits: limits,
            machine: { now in
                ServerConnection(limits: wire, at: now, seed: seeds ^ UInt64(bitPattern: now.nanoseconds))
            },
            onAccept: { [unowned self] channel in
                sessionNumber += 1
                sessions[sessionNumber] = Session(self, channel, number: sessionNumber)
            })
        listener?.onRefusals = { [unowned self] reports in for report in reports { note(report) } }
    }

    /// Connections that were closed for a limit.
    private func note(_ report: RefusalReport) {
        let text = "\(report.reason.rawValue): \(report.count) since the last such line, the last from \(report.source)"
        note(.warning, "connections_refused", text)
    }

    /// Counts a connection for its key and org; false when one of them has as many as it may have.
    func connects(_ record: KeyRecord, from address: SocketAddress) -> Bool {
        guard let holder = occupancy.connect(key: record.id, org: record.org) else { return true }
        metrics.tenantRefused(holder, "connections")
        refusedTenants += 1
        if lane.now - refusedTenantsToldAt >= .seconds(10) {
            note(
                .warning, "connections_refused",
                "\(holder.rawValue)_connections: \(refusedTenants) since the last such line, the last of key \(record.id) "
                    + "of \(record.org) from \(address.host)")
            refusedTenantsToldAt = lane.now
            refusedTenants = 0
        }
        return false
    }

    /// What the listener counted.
    var listenerCounts: ListenerCounts { listener?.counts ?? ListenerCounts() }

    func remove(_ session: Session) { sessions[session.number] = nil }

    /// Measures from now on, and gives up what the rung says.
    func watchLoad() {
        overload.onChange = { [unowned self] before in
            let rung = overload.rung
            note(rung > before ? .warning : .info, "load_rung", "\(before) before, now \(rung)")
            if before == .closed || rung == .closed { listener?.isPaused = rung == .closed }
            // Clients are told when it begins and when it is over, not of each rung between.
            if before == .calm || rung == .calm { for session in sessions.values { session.tellMode() } }
        }
        overload.begin()
    }

    /// How near this lane is to the limit that binds first: of client connections, lag or memory; of 255.
    var load: UInt8 {
        let most = max(1, settings.configuration.nodes.maximumConnections)
        return max(UInt8(clamping: sessions.count * 255 / most), overload.load)
    }

    /// Requests under way, on all sessions and between them.
    var openRequests: Int { sessions.values.reduce(resumptions.apart.count) { $0 + $1.openRequests } }

    // MARK: - What must not be lost

    /// Settles what an earlier process of this lane had not.
    func recover() {
        if let spool, let damage = spool.damage { tell(damage, of: spool) }
        guard let spool, !spool.isEmpty else { return }
        let entries = spool.entries()
        let records = entries.compactMap { entry in SpoolRecord(entry).map { (entry.number, $0) } }
        note(.warning, "settlements_recovered", "\(records.count) records of an earlier process are settled now")
        if records.count < entries.count {
            note(.error, "spool_unreadable", "\(entries.count - records.count) records of another version are left")
        }
        settlements.recover(records)
        leases.recover(records)
    }

    private func tell(_ damage: SpoolDamage, of spool: Spool) {
        var record = LogRecord(.error, "spool_damaged", at: lane.wallClockMicroseconds, into: &lines)
        record.field("node", settings.index)
        record.field("file", spool.path)
        record.field("bytes", damage.bytes)
        record.field(
            "text",
            "\(damage.reason); settlements in these bytes are lost, "
                + (damage.isCopied ? "the file as it was is \(spool.path).damaged" : "the file could not be copied"))
        record.end(returning: &lines)
        linesWritten()
    }

    /// Bytes of the spool that were damaged when this process opened it.
    var damagedSpoolBytes: Int { spool?.damage?.bytes ?? 0 }

    /// Follows what Redis does: whether it can be used, and whether it is another one.
    func watchRedis() {
        redis.onReady = { [unowned self] identityChanged in
            guard identityChanged else { return }
            let text = "another Redis answers: running reservations are asserted, the last minute repeated"
            note(.warning, "redis_changed", text)
            leases.retireAll()
            let running = sessions.values.flatMap(\.reservations) + resumptions.apart.compactMap(\.held?.hold.running)
            safeMode.recover(running, quota: quota, settlements: settlements)
        }
        safeMode.onChange = { [unowned self] isActive in
            let text = isActive ? "limits are kept by this lane alone" : "limits are shared again"
            note(.warning, isActive ? "safe_mode_entered" : "safe_mode_left", text)
        }
        safeMode.onOrgsChange = { [unowned self] orgs in
            for session in sessions.values where session.org.map(orgs.contains) == true { session.tellMode() }
        }
    }

    /// What Redis has not confirmed.
    var settlementBacklog: Int { settlements.backlog + leases.backlog }

    /// How much of the spool is taken, 0…1.
    var spoolShare: Double { spool?.share ?? 0 }

    /// True when nothing is left to settle.
    var isSettled: Bool { settlements.backlog == 0 && leases.openBlocks == 0 && redis.commandsUnderWay == 0 }

    // MARK: - Configuration

    /// Takes a new snapshot into use. Connections to providers that stay as they are live on.
    func use(_ fresh: ActiveSnapshot) {
        let old = snapshot
        snapshot = fresh
        snapshotNumber += 1
        safeMode.fleet = fresh.cluster.fleet
        canaries.use(fresh.cluster.canaries)
        if fresh.cluster.routes != old.cluster.routes {
            routeTargets = [:]
            latestTargets = nil
            breakers.targetsChanged()
            let all = fresh.cluster.routes.values.flatMap { $0.targets + ($0.mirror.map { [$0.target] } ?? []) }
            let named = Set(all.map { "\($0.provider)/\($0.model)" })
            laneTargets = laneTargets.filter { named.contains($0.key) }
        }
        for (name, target) in targets where fresh.cluster.providers[name] != old.cluster.providers[name] {
            targets[name] = nil
            target.close()
        }
        // Also those that could not be used: what was missing may be there now.
        for target in laneTargets.values { target.settingsChanged() }
        useShares()
        // What was taken away is taken from running requests, too.
        for session in sessions.values { session.review() }
        resumptions.review(fresh, atSeconds: lane.wallClockMicroseconds / 1_000_000)
    }

    /// Seconds without news from a coordinator; after some, shares of capacity fall.
    func noteSilence(seconds: Int) {
        guard seconds != silentSeconds else { return }
        silentSeconds = seconds
        useShares()
    }

    private func useShares() {
        for (name, admission) in admissions {
            if let record = snapshot.cluster.providers[name] { admission.use(record, share: share(of: record)) }
        }
    }

    /// Calls at once that this lane may have at a provider whose capacity is split among nodes; nil where it is not.
    private func share(of provider: ProviderRecord) -> Int? {
        guard let capacity = provider.capacity else { return nil }
        let fleet = max(1, snapshot.cluster.fleet)
        let table = snapshot.cluster.shares[provider.name] ?? [:]
        // Where others have shares and this node has none yet, it may not take what is theirs.
        let given = table[UInt32(settings.index)] ?? (table.isEmpty ? capacity / fleet : 1)
        let share = CapacitySplit.kept(of: given, after: silentSeconds, capacity: capacity, nodes: fleet)
        let lanes = settings.lanes
        return max(1, share / lanes + (lane.index < share % lanes ? 1 : 0))
    }

    /// The provider as this lane reaches it; nil when its settings cannot be used, which is logged.
    func target(_ name: String) -> UpstreamTarget? {
        if let target = targets[name] { return target }
        guard var record = snapshot.cluster.providers[name] else { return nil }
        var key: Secret?
        if let reference = record.apiKey {
            do throws(SecretProblem) {
                key = try settings.secret(reference)
            } catch {
                note(.error, "provider_unusable", "the API key of \(name) at \(reference) cannot be read: \(error)")
                return nil
            }
        }
        record.ca = record.ca.map(settings.path)
        do throws(TargetProblem) {
            let target = try UpstreamTarget(lane: lane, record: record, apiKey: key)
            targets[name] = target
            return target
        } catch {
            note(.error, "provider_unusable", error.description)
            return nil
        }
    }

    /// The targets of a route, in its order. A request of an earlier snapshot finds its own route.
    func laneTargets(of route: ActiveRoute) -> [LaneTarget] {
        if let latestTargets, latestTargets.route === route { return latestTargets.found }
        guard snapshot.has(route) else { return route.record.targets.map(laneTarget) }
        let found = routeTargets[route.name] ?? route.record.targets.map(laneTarget)
        routeTargets[route.name] = found
        latestTargets = (route, found)
        return found
    }

    /// A target as this lane knows it.
    func laneTarget(_ target: RouteTarget) -> LaneTarget {
        let name = "\(target.provider)/\(target.model)"
        if let known = laneTargets[name] { return known }
        let made = LaneTarget(target)
        laneTargets[name] = made
        return made
    }

    /// The queue before a provider; nil when the snapshot does not know it.
    func admission(_ name: String) -> Admission? {
        if let admission = admissions[name] { return admission }
        guard let record = snapshot.cluster.providers[name] else { return nil }
        let nodes = settings.configuration.nodes
        var limits = QueueLimits()
        limits.floors = nodes.classFloors
        limits.total = nodes.queueLimit
        limits.team = max(1, nodes.queueLimit / 4)
        let admission = Admission(record, share: share(of: record), lane: lane, limits: limits)
        admissions[name] = admission
        return admission
    }

    /// True when an attempt beyond a request's first may be made; it is counted.
    func mayTryAgain() -> Bool { retries.take() || retryFloor.take(at: lane.now) }

    // MARK: - Leaving

    /// Asks clients to go elsewhere, spread over `spread` so that they do not all come back at once.
    func drain(over spread: Duration) {
        isDraining = true
        listener?.close()
        for session in sessions.values {
            let delay = Duration.nanoseconds(Int64(chance.unit() * Double(spread.nanoseconds)))
            lane.schedule(after: delay) { session.drain() }
        }
    }

    /// Ends what still runs.
    func stopAll() {
        isDrained = true
        leases.close()
        for session in sessions.values {
            session.end(.draining)
        }
        resumptions.stopAll(.draining)
    }

    // MARK: - Log

    /// A line was appended: it is handed over within 20 ms, or at once when there are many. Each time wakes the writer's thread, so that
    /// many is some 200 lines.
    func linesWritten() {
        if lines.count > 128 * 1024 { return writer.append(draining: &lines) }
        guard lineTimer == nil else { return }
        lineTimer = lane.schedule(after: .milliseconds(20)) { [self] in
            lineTimer = nil
            writer.append(draining: &lines)
        }
    }

    /// Hands over what waits.
    func flushLines() {
        tellRefusals()
        writer.append(draining: &lines)
    }

    /// A line about the node itself.
    func note(_ level: LogLevel, _ event: StaticString, _ text: String) {
        guard settings.logLevel <= level else { return }
        var record = LogRecord(level, event, at: lane.wallClockMicroseconds, into: &lines)
        record.field("node", settings.index)
        record.field("text", text)
        record.end(returning: &lines)
        linesWritten()
    }
}
