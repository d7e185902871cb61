// The answers of one lane that can be continued: found by id, bounded in number of bytes and in time.
import Core
import Net
import Policy
import Telemetry
import Wire

/// The resumable answers of a lane's requests. Confined to the lane.
final class Resumptions {
    let lane: Lane
    /// How long an answer is kept for a client that is away; zero: nothing is ever kept.
    let time: Duration
    /// Response bytes that are kept of one answer before its provider must wait.
    let bound: Int
    /// Memory for all answers of the lane together.
    private let memoryLimit: Int
    private var all: [Identifier128: Resumption] = [:]
    /// Those that are over, the oldest first.
    private var over: [(due: Instant, resumption: Resumption)] = []
    private var overTimer: LaneTimer?
    private var rightsTimer: LaneTimer?
    /// How often the rights of answers without a connection of their own are looked at, for those that end by time.
    private static let rightsPause = Duration.milliseconds(500)
    /// Memory that answers hold.
    private(set) var memory = 0
    /// RESUMEs that were followed, and those that were refused.
    var continued = Counter()
    var refused = Counter()
    /// Answers whose client did not come back in time, and those that there was no memory to keep.
    var expired = Counter()
    var givenUp = Counter()

    init(lane: Lane, _ nodes: ClusterConfiguration.Nodes) {
        self.lane = lane
        time = nodes.resumeTime
        bound = nodes.resumeBuffer
        memoryLimit = nodes.resumeMemory
    }

    /// Answers that can be continued at present.
    var count: Int { all.count }

    /// Those of them that nobody has.
    var away: Int { all.values.count { $0.isAway } }

    /// Requests that run while the connection that asked does not have them any more.
    var apart: [Exchange] { all.values.compactMap { $0.isApart ? $0.exchange : nil } }

    /// Begins to keep the answer of a request that wants it, and tells its client; nil when it does not, or there is no room.
    ///
    /// A client whose window is larger than what is kept is not promised anything: what it has not confirmed might not fit.
    func offer(_ exchange: Exchange, _ grant: KeyGrant) -> Resumption? {
        guard exchange.head.flags.contains([.resumable, .stream]), time > .zero,
            exchange.origin.window <= bound, memory < memoryLimit
        else { return nil }
        // The first byte names the lane; 120 bits are the kernel's secret.
        let high = Host.randomSeed() >> 8 | UInt64(lane.index) << 56
        let id = Identifier128(high: high, low: Host.randomSeed())
        guard let credentials = exchange.session.credentials else { return nil }
        let resumption = Resumption(
            exchange, id: id, key: grant.record.id, credentials: credentials, registry: self)
        guard exchange.origin.promise(resumption.grant) else { return nil }
        all[id] = resumption
        return resumption
    }

    /// The lane that an id names.
    static func lane(of id: Identifier128) -> Int { Int(id.high >> 56) }

    /// A connection of `key` wants to go on. Whatever the reason, who is refused learns only that.
    func resume(
        _ id: Identifier128, key: String, _ credentials: Credentials, behind received: UInt32,
        on continuation: Continuation
    ) {
        guard let resumption = all[id], resumption.key == key, resumption.go(to: continuation, behind: received) else {
            refused.add()
            return continuation.refuse()
        }
        resumption.credentials = credentials
        continued.add()
    }

    /// The answer with that id, for its connection.
    func find(_ id: Identifier128) -> Resumption? { all[id] }

    // MARK: - Memory and time

    /// An answer took or gave back memory; false when it must do with less. Those that are over go first, the oldest of them.
    func counted(_ change: Int, for resumption: Resumption) -> Bool {
        memory += change
        guard change > 0, memory > memoryLimit else { return memory <= memoryLimit }
        // Some more than needed, so that the list is not moved for each one.
        var count = 0
        while count < over.count, memory > memoryLimit - memoryLimit / 16 {
            if over[count].resumption.isOver { givenUp.add() }
            end(over[count].resumption)
            count += 1
        }
        over.removeFirst(count)
        return memory <= memoryLimit
    }

    /// Its time among those that are over is up. One that is being continued is in use again, and comes back.
    private func end(_ resumption: Resumption) {
        resumption.isListed = false
        guard resumption.isOver else { return }
        forget(resumption)
        resumption.drop()
    }

    /// There is no memory to keep an answer: its connection goes on without.
    func giveUp(_ resumption: Resumption) {
        givenUp.add()
        resumption.exchange?.listenDirectly()
        forget(resumption)
        resumption.drop()
    }

    /// It cannot be continued any more.
    func forget(_ resumption: Resumption) { all[resumption.id] = nil }

    /// Its terminal frame was handed to a connection: it is kept a while, because nobody knows whether that arrived.
    func isOver(_ resumption: Resumption) {
        guard !resumption.isListed else { return }
        resumption.isListed = true
        over.append((lane.now + time, resumption))
        if overTimer == nil { lookAtOver() }
    }

    /// All of them are kept for the same time, so the first is due first.
    private func lookAtOver() {
        overTimer = nil
        let due = over.prefix { $0.due <= lane.now }
        over.removeFirst(due.count)
        for (_, resumption) in due { end(resumption) }
        guard let next = over.first else { return }
        // Together rather than one by one.
        overTimer = lane.schedule(at: max(next.due, lane.now + .milliseconds(100))) { [unowned self] in lookAtOver() }
    }

    // MARK: - The node

    /// Rights changed, or time went by: running requests without a connection of their own are looked at here, by what the client presented
    /// that had them last.
    func review(_ snapshot: ActiveSnapshot, atSeconds now: Int64) {
        for resumption in all.values where resumption.isApart {
            guard let exchange = resumption.exchange, let before = exchange.grant else { continue }
            do throws(KeyRefusal) {
                let standing = resumption.credentials.standing(in: snapshot, wereAccepted: true)
                let grant = try standing.rights(atSeconds: now)
                if grant !== before { exchange.review(grant) }
            } catch {
                exchange.stop(.forbidden(error))
            }
        }
    }

    /// An answer has no connection any more whose review would end it: rights that end by time are looked at here from now on.
    func watchRights() {
        guard rightsTimer == nil else { return }
        rightsTimer = lane.schedule(after: Resumptions.rightsPause) { [unowned self] in
            rightsTimer = nil
            guard let gateway = apart.first?.gateway else { return }
            review(gateway.snapshot, atSeconds: lane.wallClockMicroseconds / 1_000_000)
            watchRights()
        }
    }

    /// The node ends.
    func stopAll(_ reason: Refusal) { for exchange in apart { exchange.stop(reason) } }
}
