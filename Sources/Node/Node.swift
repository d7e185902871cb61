// A node as a whole: its lanes, the coordinator's news, its health, its end.
import Client
import Core
import Net
import Policy
import Store
import Synchronization
import Telemetry
import Wire

/// A running node. Confined to its first lane, but for what says otherwise.
final class Node: @unchecked Sendable {
    static let version = ProductVersion.text
    /// What the spool of a lane takes of the disk: room for about 30,000 settlements that Redis does not take.
    static let spoolSize = 16 << 20

    let settings: NodeSettings
    let lanes: [Lane]
    let adminLane: Lane
    let gateways: [Gateway]
    let writer: LineWriter
    private let tls: TLSContext
    private var keeper: SnapshotKeeper?
    /// The snapshot on disk.
    private(set) var snapshotFile: StateFile?
    private(set) var link: CoordinatorLink?
    private var admin: AdminServer?
    /// Set once, before anything runs.
    var ending: EndWatch?
    private let rebalance: Rebalance
    private var reportNumber: UInt32 = 0
    private let activity = TargetActivity()
    private var isCoordinatorConnected = false
    private var silentSeconds = 0
    enum Life { case starting, serving, draining, stopping }
    var life = Life.starting
    /// Confined to the admin lane.
    private let watch: LaneWatch
    private let incarnation = Host.randomSeed()

    var first: Lane { lanes[0] }
    var snapshotEpoch: UInt64 { keeper?.current?.epoch ?? 0 }
    var snapshotSequence: UInt64 { keeper?.current?.sequence ?? 0 }
    /// Names the prices in use; empty while there are none.
    var priceVersion: String { keeper?.current.map { "\($0.tariff.version)" } ?? "" }
    var droppedLogBytes: Int { writer.dropped }
    /// Lanes that make no turns, by their index. On the admin lane.
    var hungLanes: [Int] { watch.hung }

    /// Makes the lanes and their connections; nothing is served yet.
    ///
    /// - Throws: what an operator must repair.
    init(_ settings: NodeSettings) throws {
        self.settings = settings
        writer = LineWriter()
        let files = settings.configuration.tls
        tls = try .server(
            "node", certificate: settings.path(files.certificate), key: settings.path(files.key),
            clientCA: settings.path(files.ca), clients: ClientCertificates(rawValue: files.clientCertificates) ?? .off,
            crl: files.crl.map(settings.path), protocols: ["sluice/1"])
        let plan = try RedisPlan(settings.configuration.redis, in: settings.folder, as: .node)
        let empty = ActiveSnapshot(ClusterSnapshot(), epoch: 0, sequence: 0)
        lanes = try Lane.start(count: settings.lanes, name: "lane")
        adminLane = try Lane.start(count: 1, name: "admin")[0]
        let state = settings.path(settings.configuration.stateDirectory)
        try FileAccess.makeFolder(state)
        let retryFloor = SharedRetryFloor()
        gateways = try lanes.map { [writer] lane in
            let redis = plan.open(on: lane, seed: Host.randomSeed())
            let file = "\(state)/node-\(settings.index).lane-\(lane.index).spool"
            let spool = try Spool(path: file, size: Node.spoolSize)
            return Gateway(
                lane: lane, settings: settings, redis: redis, writer: writer, spool: spool, snapshot: empty,
                retryFloor: retryFloor)
        }
        rebalance = Rebalance(gateways)
        watch = LaneWatch(lanes, from: adminLane)
    }

    /// Opens everything, on the first lane.
    func start() throws {
        for gateway in gateways {
            gateway.lane.execute { [gateways] in
                gateway.neighbours = gateways
                gateway.watchRedis()
                gateway.breakers.start()
                gateway.redis.start()
                gateway.recover()
                gateway.watchLoad()
            }
        }
        let store = SnapshotStore(
            path: settings.path("\(settings.configuration.stateDirectory)/node-\(settings.index).snapshot"))
        let file = StateFile(lane: first, path: store.path)
        file.onChange = { [gateways] problem in
            let text = problem ?? "\(store.path) is saved again"
            gateways[0].note(problem == nil ? .info : .error, "snapshot_not_saved", text)
        }
        snapshotFile = file
        let keeper = SnapshotKeeper(
            store: store, maximumAge: settings.configuration.nodes.snapshotMaximumAge,
            clock: { [first] in first.wallClockMicroseconds },
            save: { snapshot, at in file.write { SnapshotStore.content(snapshot, confirmedAtSeconds: at) } },
            publish: { [gateways] snapshot in
                for gateway in gateways { gateway.lane.execute { gateway.use(snapshot) } }
            },
            complain: { [gateways] text in gateways[0].note(.error, "snapshot_refused", text) })
        self.keeper = keeper
        keeper.loadSaved()
        try follow(keeper)
        let admin = AdminServer(self, lane: adminLane, on: settings.admin, secret: try settings.adminSecret())
        try admin.listen()
        self.admin = admin
        // The port is open from the start; until the first snapshot every key is unknown, and /readyz says so.
        for gateway in gateways {
            let listening = Listening(gateway: gateway, tls: tls)
            gateway.lane.execute { listening.begin() }
        }
        life = .serving
        adminLane.execute { [self] in
            watch.onChange = { [self] lane, hangs in
                note(hangs ? .error : .info, hangs ? "lane_hangs" : "lane_runs", "lane \(lane)")
            }
            watch.begin()
        }
        beat()
        gateways[0].note(.info, "started", "listening on \(settings.listen), admin on \(settings.admin)")
        TLSContexts.shared.watch(on: first) { [gateways] text in gateways[0].note(.warning, "certificates", text) }
        compareDescriptors()
    }

    /// Says what the system's limit of descriptors takes away from the configured connections.
    private func compareDescriptors() {
        let wanted = settings.lanes * settings.configuration.nodes.maximumConnections
        guard wanted > settings.acceptedDescriptors else { return }
        gateways[0].note(
            .warning, "few_descriptors",
            "\(settings.lanes) lanes with max-connections = \(settings.configuration.nodes.maximumConnections) want "
                + "\(wanted) descriptors; of the \(settings.descriptorLimit) that the system allows (LimitNOFILE, "
                + "ulimit -n) clients get no more than \(settings.acceptedDescriptors)")
    }

    /// Opens a lane's listener; a failure ends the process, because a node without its port is of no use.
    private struct Listening: @unchecked Sendable {
        let gateway: Gateway
        let tls: TLSContext

        func begin() {
            do throws(SystemFailure) {
                try gateway.listen(tls: tls)
            } catch {
                Host.write("sluice-node: \(error)\n", toError: true)
                Host.exit(69)
            }
        }
    }

    private func follow(_ keeper: SnapshotKeeper) throws {
        let files = settings.configuration.tls
        let client = try TLSContext.client(
            "coordinator-link", trust: .file(settings.path(files.ca)), certificate: settings.path(files.certificate),
            key: settings.path(files.key), crl: files.crl.map(settings.path), protocols: ["sluice/1"])
        let endpoints = settings.configuration.coordinators.compactMap { Endpoint.parse($0.listen) }
        let link = CoordinatorLink(
            lane: first, endpoints: endpoints, tls: client, serverName: nil,
            subscribe: { [self] in
                Subscribe(
                    node: UInt32(settings.index), incarnation: incarnation, lastEpoch: keeper.offeredVersion.epoch,
                    lastSequence: keeper.offeredVersion.sequence, highestEpoch: keeper.highestEpoch,
                    name: "node-\(settings.index)", address: settings.listen.description,
                    adminAddress: settings.admin.description, programVersion: Node.version,
                    level: RecordLevel.own)
            }, onSnapshot: { keeper.take($0) },
            onUpdate: { [self] in
                if !keeper.take($0) { self.link?.renew("a change was missed: the whole state is asked for") }
            },
            onState: { [self] isConnected, text in
                isCoordinatorConnected = isConnected
                gateways[0].note(isConnected ? .info : .warning, "coordinator", text)
            })
        self.link = link
        link.start()
    }

    // MARK: - Health

    /// Every second: tells lanes what they cannot see, and reports to the coordinator.
    private func beat() {
        first.schedule(after: .seconds(1)) { [self] in
            silentSeconds = isCoordinatorConnected ? 0 : silentSeconds + 1
            for gateway in gateways {
                gateway.lane.execute { [silentSeconds] in gateway.noteSilence(seconds: silentSeconds) }
            }
            activity.collect(from: gateways, on: first)
            report()
            beat()
        }
    }

    /// Why a load balancer must not send clients here; empty when it may.
    var reasonsNotReady: [String] {
        var reasons: [String] = []
        if keeper?.current == nil { reasons.append("no snapshot from a coordinator yet") }
        if life == .draining || life == .stopping { reasons.append("draining") }
        return reasons
    }

    /// What the admin port tells of the node as a whole.
    func facts(_ reading: LaneReading) -> NodeFacts {
        NodeFacts(
            reasonsNotReady: reasonsNotReady, warnings: warnings(reading), priceVersion: priceVersion,
            snapshotEpoch: snapshotEpoch, snapshotSequence: snapshotSequence, droppedLogBytes: droppedLogBytes,
            isSnapshotUnsaved: snapshotFile?.problem != nil,
            snapshotWriteFailures: snapshotFile?.failures ?? 0)
    }

    /// What is not as it should be, though clients are served. `reading`: of all lanes.
    func warnings(_ reading: LaneReading) -> [String] {
        var warnings: [String] = []
        if let trouble = writer.trouble(at: first.now) { warnings.append(trouble) }
        if reading.safe.damagedBytes > 0 {
            warnings.append(
                "\(reading.safe.damagedBytes) bytes of the spools were damaged at the start, settlements in them are "
                    + "lost: see spool_damaged in the log")
        }
        if !isCoordinatorConnected {
            warnings.append("no coordinator; running on snapshot \(snapshotEpoch).\(snapshotSequence)")
        }
        if let refusal = keeper?.refusal { warnings.append(refusal) }
        warnings += TLSContexts.shared.warnings(at: first.wallClockMicroseconds / 1_000_000)
        if let problem = snapshotFile?.warning { warnings.append(problem) }
        if reading.overload.rung != .calm {
            warnings.append("too much to do: a lane is on rung \(reading.overload.rung) of the degradation ladder")
        }
        if !reading.redisIsReady {
            let away = reading.primaries.filter { !$0.isReady }.map(\.address)
            warnings.append(
                "Redis cannot be used (\(away.joined(separator: ", "))): this node keeps its share of the limits "
                    + "that are kept there, and hard budgets are closed")
        }
        return warnings
    }

    /// The configuration in use: references to secrets, never secrets.
    var configurationText: String {
        guard let cluster = keeper?.current?.cluster else { return "# no snapshot yet\n" }
        var masked = cluster
        masked.keys = cluster.keys.mapValues { record in
            var record = record
            record.secrets = record.secrets.map { secret in
                KeySecret(hash: String(repeating: "0", count: 64), validUntilSeconds: secret.validUntilSeconds)
            }
            return record
        }
        return "# snapshot \(snapshotEpoch).\(snapshotSequence); key hashes are masked\n" + masked.text
    }

    /// Gathers a reading of all lanes and hands the sum over, on the first lane. From any thread.
    func read<R: Reading>(_ kind: R.Type = R.self, _ then: @escaping (R) -> Void) {
        let gathering = Gathering<R>(left: gateways.count, then: then)
        for gateway in gateways {
            gateway.lane.execute { [first] in
                let reading = R(gateway)
                first.execute { gathering.add(reading) }
            }
        }
    }

    private final class Gathering<R: Reading>: @unchecked Sendable {
        private var left: Int
        private var sum: R?
        private let then: (R) -> Void

        init(left: Int, then: @escaping (R) -> Void) {
            self.left = left
            self.then = then
        }

        func add(_ reading: R) {
            if sum == nil { sum = reading } else { sum?.merge(reading) }
            left -= 1
            if left == 0, let sum { then(sum) }
        }
    }

    private func report() {
        // Told is the state that every lane had when it was read: with it a node confirms that a share shrank.
        let (epoch, sequence) = (snapshotEpoch, snapshotSequence)
        read(LoadReading.self) { [self] reading in
            reportNumber &+= 1
            var report = Report(
                node: UInt32(settings.index), isDraining: life != .serving, holdsRoutes: keeper?.holdsRoutes ?? false,
                number: reportNumber, epoch: epoch, sequence: sequence)
            report.connections = UInt32(clamping: reading.connections)
            report.streams = UInt32(clamping: reading.requestsUnderWay)
            report.requests = reading.requests
            report.load = reading.load
            report.residentBytes = UInt64(max(0, Host.residentBytes()))
            report.targets = reading.running.sorted { $0.key < $1.key }.map {
                Report.Target(name: String($0.key.prefix(64)), inFlight: UInt32(clamping: $0.value))
            }
            let told = activity.news(room: Report.maximumTargets - report.targets.count)
            report.targets += told
            let published = keeper?.current?.cluster.canaries ?? [:]
            report.canaries = reading.canaries.reported(published, turn: Int(reportNumber))
            if link?.report(report) == true { activity.wereTold(told) }
            rebalance.beat(reading.standing, level: connectionLevel)
        }
    }

    /// How many connections this node should come down to; nil when all is well, or when what the coordinator knows is not of now.
    private var connectionLevel: Int? {
        guard life == .serving, isCoordinatorConnected else { return nil }
        return keeper?.current?.cluster.connectionLevels[UInt32(settings.index)]
    }

    /// A line about the node itself, past its lanes: also while one hangs. From any thread.
    func note(_ level: LogLevel, _ event: StaticString, _ text: String) {
        guard settings.logLevel <= level else { return }
        var line = ByteBuffer()
        var record = LogRecord(level, event, at: Host.wallClockMicroseconds(), into: &line)
        record.field("node", settings.index)
        record.field("text", text)
        record.end(returning: &line)
        writer.append(draining: &line)
    }
}
