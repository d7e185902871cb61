// One client connection: its key, its requests, its end.
import Core
import Net
import Policy
import Providers
import Telemetry
import Wire

/// A downstream connection. Confined to its lane.
final class Session: @unchecked Sendable {
    let gateway: Gateway
    let channel: Channel<ServerConnection>
    let number: UInt64
    /// The node and the connection, as each log line of its requests says them.
    let logFields: [UInt8]
    private var exchanges: [UInt32: Exchange] = [:]
    /// Streams that continue answers of other connections.
    var continuations: [UInt32: Continuation] = [:]
    /// What its key has on this lane.
    private(set) var load: KeyLoad
    /// How the client proved who it is; nil before it did.
    private(set) var credentials: Credentials?
    /// The snapshot that its standing is from, by its number on the lane: held itself, each idle connection would keep all keys of its
    /// time in memory.
    private var resolvedIn: UInt64?
    private var standing = Credentials.Standing()
    private var knownGrant: KeyGrant? { standing.grant }
    /// For whose key and org this connection counts; nil before it was accepted.
    private var counted: KeyRecord?
    private var reviewTimer: LaneTimer?
    /// What the client knows of its budgets.
    private var toldStanding = BudgetStanding.within
    /// True when the key lost its rights: the connection ends with its last request.
    private var isRefused = false
    /// True when the client said goodbye: it finishes what it has.
    private(set) var isLeaving = false
    /// When its client was asked last to use another node instead.
    private(set) var askedToMoveAt: Instant?
    /// True when the node ends: the connection ends with its last terminal frame.
    private var isEnding = false

    init(_ gateway: Gateway, _ channel: Channel<ServerConnection>, number: UInt64) {
        self.gateway = gateway
        self.channel = channel
        self.number = number
        load = gateway.strangers
        let node = gateway.settings.index
        logFields = LogRecord.prepared { line in
            line.field("node", node)
            line.field("session", number)
        }
        channel.onEvent = { [unowned self] channel, event in handle(event) }
        channel.onClose = { [self] _, _ in closed() }
    }

    /// Requests under way.
    var openRequests: Int { exchanges.count }

    /// What is reserved for those that run.
    var reservations: [ReserveCall] { exchanges.values.compactMap(\.held?.hold.running) }

    // MARK: - What the client sends

    private func handle(_ event: ServerConnection.Event) {
        switch event {
        case .hello(let hello): greet(hello)
        case .request(let stream, let head, let body, let isComplete): begin(stream, head, body, isComplete)
        case .body(let stream, let bytes, let isComplete):
            guard let exchange = exchanges[stream] else { return }
            channel.withBytes(of: bytes) { exchange.append(body: $0, isComplete: isComplete) }
        case .resume(let stream, let message): resume(stream, message)
        case .cancel(let stream, _): stop(stream, .cancelled)
        case .writable(let stream):
            if let exchange = exchanges[stream] { exchange.resume() } else { continuations[stream]?.writable() }
        case .slowConsumer(let stream): stop(stream, .slowConsumer)
        case .slowBody(let stream): stop(stream, .slowBody)
        case .responseTooLong(let stream): stop(stream, .responseTooLong)
        case .drainExpired: stopAll(.draining)
        case .subscribe, .report: channel.machine.reject(.unknownFrame, at: gateway.lane.now)
        case .goAway: isLeaving = true
        case .drained: break
        case .failed(let error): gateway.metrics.connectionFailed(error)
        }
        channel.wake()
    }

    private func stop(_ stream: UInt32, _ reason: Refusal) {
        if let exchange = exchanges[stream] { exchange.stop(reason) } else { continuations[stream]?.stop(reason) }
    }

    /// Checks the key against the snapshot: nothing else is asked, so that connections begin while everything else is away.
    ///
    /// The client learns nothing but that it was refused; the node's log has the reason when the proof itself was right.
    private func greet(_ hello: Hello) {
        let now = gateway.lane.now
        credentials = Credentials(hello, channel.peer)
        let aliases: [String]
        do throws(KeyRefusal) {
            aliases = gateway.snapshot.aliases(of: try grant().record)
        } catch {
            gateway.metrics.authenticationFailures.add()
            if error != .unknown, let id = knownGrant?.record.id {
                gateway.note(.warning, "key_refused", "key \(id) from \(channel.peer.address): \(error)")
            }
            return channel.machine.reject(.authFailed, at: now)
        }
        guard let record = knownGrant?.record, gateway.connects(record, from: channel.peer.address) else {
            return channel.machine.reject(.calm, .tenantConnections, at: now)
        }
        counted = record
        channel.greeted()
        let models = zip(UInt16(1)..., aliases).map { HelloOK.Model(id: $0, name: $1) }
        channel.machine.accept(
            HelloOK(
                session: number, node: UInt32(gateway.settings.index),
                tableVersion: UInt32(truncatingIfNeeded: gateway.snapshot.sequence), models: models), at: now)
        table = aliases
        takeLoad()
        // What is usual needs no word.
        if gateway.safeMode.keepsAlone(org ?? "") { tellMode() }
        scheduleReview()
        if gateway.isDraining { drain() }
    }

    /// From here on what it brings is its key's.
    private func takeLoad() {
        guard let key = knownGrant?.record.id else { return }
        load = gateway.load(of: key)
        load.sessions += 1
        channel.transport.share = load.share
    }

    /// The models of HELLO_OK, by their number - 1: what the key might name then. A number means the same alias as long as the connection
    /// lives; whether it may be named, and what is behind it, is asked anew with each request. Nil before HELLO was answered.
    private var table: [String]?

    // MARK: - Rights

    private var seconds: Int64 { gateway.lane.wallClockMicroseconds / 1_000_000 }

    /// The rights of this connection's key at present.
    ///
    /// - Throws: why it has none.
    func grant() throws(KeyRefusal) -> KeyGrant {
        if resolvedIn != gateway.snapshotNumber {
            resolvedIn = gateway.snapshotNumber
            standing = credentials?.standing(in: gateway.snapshot, wereAccepted: table != nil) ?? .init()
        }
        return try standing.rights(atSeconds: seconds)
    }

    /// The rights may have changed: requests that lost theirs end at once, and so does the connection when its key opens nothing.
    func review() {
        guard table != nil, !isRefused, channel.isOpen else { return }
        let before = knownGrant
        do throws(KeyRefusal) {
            let grant = try grant()
            scheduleReview()
            guard grant !== before else { return }
            for exchange in exchanges.values { exchange.review(grant) }
        } catch {
            isRefused = true
            let id = before?.record.id ?? "?"
            gateway.note(.info, "key_ended", "key \(id): \(error); \(exchanges.count) requests end")
            stopAll(.forbidden(error))
            leaveWhenIdle()
        }
    }

    /// Rights that end at a known time are looked at again then.
    private func scheduleReview() {
        reviewTimer?.cancel()
        reviewTimer = nil
        guard let next = knownGrant?.record.nextChange(afterSeconds: seconds) else { return }
        // Connections do not grow older than a day; a clock that was set meanwhile is noticed within a minute.
        let pause = min(60, next - seconds)
        reviewTimer = gateway.lane.schedule(after: .seconds(pause)) { [weak self] in self?.review() }
    }

    /// Says why, behind the last terminal frame, and closes.
    func leaveWhenIdle() {
        guard exchanges.isEmpty, continuations.isEmpty, channel.isOpen else { return }
        if isEnding { return channel.close() }
        guard isRefused, channel.machine.isUsable else { return }
        channel.machine.reject(.authFailed, at: gateway.lane.now)
        channel.wake()
    }

    private func begin(_ stream: UInt32, _ head: RequestHead, _ bytes: ByteSlice, _ isComplete: Bool) {
        var head = head
        if let table, table.indices.contains(Int(head.modelID) - 1) {
            head.model = table[Int(head.modelID) - 1]
            head.modelID = 0
        }
        var body = ByteBuffer(capacity: max(bytes.count, isComplete ? 0 : 16_384))
        channel.withBytes(of: bytes) { body.append($0) }
        let exchange = Exchange(SessionStream(self, stream), head, RequestBody(body, isComplete: isComplete))
        exchanges[stream] = exchange
        gateway.starts.arrive(exchange)
    }

    // MARK: - What the client is told

    /// Where the budgets stand; told when it changes.
    func tell(_ standing: BudgetStanding) {
        guard standing != toldStanding else { return }
        toldStanding = standing
        sendHint()
    }

    /// The org of its key; nil when none was accepted.
    var org: String? { knownGrant?.record.org }

    /// What the lane gives up, or whether it keeps the limits of this org alone, has changed.
    func tellMode() { sendHint() }

    /// True for a client that understands and was not asked lately.
    func mayBeAskedToMove(at now: Instant) -> Bool {
        guard !isLeaving, channel.isOpen, channel.machine.takesWishes else { return false }
        return askedToMoveAt.map { now - $0 >= RebalancePace.interval } ?? true
    }

    /// Asks the client to replace this connection by one to another node.
    func askToMove(at now: Instant) {
        askedToMoveAt = now
        sendHint(wantsRebalance: true)
    }

    private func sendHint(wantsRebalance: Bool = false) {
        guard channel.isOpen else { return }
        let budget: Hint.Budget =
            switch toldStanding {
            case .within: .within
            case .near: .near
            case .over: .over
            }
        channel.machine.sendHint(
            Hint(
                load: gateway.load, wantsRebalance: wantsRebalance, budget: budget,
                keepsLimitsAlone: org.map(gateway.safeMode.keepsAlone) == true))
        channel.wake()
    }

    /// A request is over: its last word goes to whoever listens.
    func finish(_ exchange: Exchange, _ word: LastWord?) {
        exchanges[exchange.stream] = nil
        if let word { exchange.downstream.finish(word) }
        leaveWhenIdle()
    }

    /// The stream's request goes on without this connection.
    func forget(_ stream: UInt32) { exchanges[stream] = nil }

    /// The settlement is handed over: the client may open another stream.
    func release(_ stream: UInt32) {
        guard channel.isOpen, channel.machine.isUsable else { return }
        channel.machine.release(stream: stream)
        channel.wake()
    }

    // MARK: - The end

    /// Tells the client to go elsewhere; running requests finish.
    func drain() {
        guard channel.machine.isUsable else { return }
        channel.machine.sendGoAway(reason: .drain, drain: gateway.settings.drainLimit)
        channel.wake()
    }

    /// The node ends: requests hear why, then the connection closes.
    func end(_ reason: Refusal) {
        isEnding = true
        stopAll(reason)
        leaveWhenIdle()
    }

    func stopAll(_ reason: Refusal) {
        for exchange in exchanges.values { exchange.stop(reason) }
        for continuation in continuations.values { continuation.stop(reason) }
    }

    private func closed() {
        reviewTimer?.cancel()
        reviewTimer = nil
        load.sessions -= 1
        // What can be continued waits for its client; everything else ends with its connection.
        stopInSlices(exchanges.values.filter { !$0.downstream.detach() })
        for continuation in continuations.values { continuation.lost() }
        continuations = [:]
        if let counted { gateway.occupancy.disconnect(key: counted.id, org: counted.org) }
        counted = nil
        gateway.remove(self)
    }

    /// Ends requests whose connection is gone: some in each turn, for the end of each is as much work as its beginning.
    private func stopInSlices(_ all: [Exchange]) {
        for exchange in all.prefix(Session.endsPerTurn) { exchange.stop(.connectionLost) }
        let left = Array(all.dropFirst(Session.endsPerTurn))
        if !left.isEmpty { gateway.lane.inNextTurn { [self] in stopInSlices(left) } }
    }

    private static let endsPerTurn = 32
}
