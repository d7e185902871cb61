// Asks for the lease of the leading coordinator again and again, and says when this one leads and when no more.
import Core
import Net
import Policy
import Store

/// This coordinator's part in the election. Confined to its lane.
///
/// With others in the file it leads while the lease is provably its own, by its own clock. Alone in the file it also leads while Redis
/// cannot say anything: there is nobody to be confused with.
final class Leadership {
    private let lane: Lane
    private let store: CoordinationStore
    private let name: String
    private let place: String
    private let isAlone: Bool
    private let incarnation = Host.randomSeed()
    private var view = LeaseView()
    /// The highest epoch that this coordinator or one of its nodes has seen.
    private var seen: UInt64 = 0
    private var wish = LeaseCall.Wish.succeed
    /// Redis' clock as it was told last.
    private var redisClock: (microseconds: Int64, at: Instant)?
    private var timer: LaneTimer?
    private var isAsking = false
    private var hasStopped = false
    /// The term that an only coordinator made itself while Redis said nothing.
    private var ownTerm: UInt64?

    /// Called when a term of ours begins.
    var onTerm: (UInt64) -> Void = { _ in }
    /// Called when another coordinator has the lease, or its life was seen again.
    var onRival: () -> Void = {}
    /// Called when the lease was ours and is no more, or cannot be proved to be.
    var onLoss: (String) -> Void = { _ in }

    /// How long an only coordinator waits for Redis before it leads without.
    private static let patience = Duration.seconds(2)

    init(lane: Lane, redis: Redis, own: ClusterConfiguration.Coordinator, isAlone: Bool) {
        self.lane = lane
        store = CoordinationStore(redis)
        name = own.name
        place = own.admin
        self.isAlone = isAlone
    }

    /// True while this coordinator may speak. Reads the clock itself: the lane's may be from before a pause of the whole process.
    var leads: Bool {
        if hasStopped { return false }
        if view.holds(at: Host.monotonicNow()) { return true }
        return isAlone && view.rival == nil && (ownTerm ?? view.epoch) != nil
    }

    /// Our term; nil before there is one.
    var epoch: UInt64? {
        guard let lease = view.epoch else { return ownTerm }
        return max(lease, ownTerm ?? 0)
    }

    /// Who leads instead, as far as is known.
    var rival: LeaseView.Rival? { view.rival }

    /// True while another coordinator shows that it lives: nodes belong there.
    var isLedElsewhere: Bool { view.isLedElsewhere(at: Host.monotonicNow()) }

    /// Begins to ask.
    func start() {
        ask()
        guard isAlone else { return }
        lane.schedule(after: Leadership.patience) { [self] in
            guard !hasStopped, !leads, view.rival == nil else { return }
            let term = max(UInt64(max(0, Host.wallClockMicroseconds())) / 1_000, seen + 1)
            ownTerm = term
            seen = max(seen, term)
            onTerm(term)
        }
    }

    /// Redis has become usable: it is asked at once.
    func hurry() { ask() }

    /// The latest epoch that can be true: a day after Redis' clock, or after this coordinator's own where that is ahead or Redis was never
    /// heard. Nobody's word moves an epoch beyond it.
    var latestEpoch: UInt64 {
        let own = Host.wallClockMicroseconds()
        let redis = redisClock.map { $0.microseconds + (Host.monotonicNow() - $0.at).nanoseconds / 1_000 }
        return LeaseCall.latest(atMilliseconds: UInt64(max(0, own, redis ?? 0)) / 1_000)
    }

    /// A node has seen this epoch, which is not later than `latestEpoch`: ours is to be above it.
    func rise(above epoch: UInt64) {
        guard epoch > seen, epoch <= latestEpoch else { return }
        seen = epoch
        guard leads else { return }
        if view.holds(at: Host.monotonicNow()) { return ask() }
        ownTerm = epoch + 1
        seen = epoch + 1
        onTerm(epoch + 1)
    }

    /// Gives the lease back, so that the other coordinator need not wait for its end; calls back after at most a moment.
    func giveBack(_ then: @escaping () -> Void) {
        hasStopped = true
        timer?.cancel()
        guard view.holds(at: Host.monotonicNow()) else { return then() }
        store.lead(call(.giveBack)) { _ in then() }
    }

    private func call(_ wish: LeaseCall.Wish) -> LeaseCall {
        LeaseCall(
            name: name, incarnation: incarnation, place: place, length: LeaseView.length.nanoseconds / 1_000,
            seen: min(seen, LeaseCall.latestEpoch), wish: wish, latest: latestEpoch)
    }

    private func ask() {
        timer?.cancel()
        timer = nil
        guard !hasStopped, !isAsking else { return }
        isAsking = true
        let asked = Host.monotonicNow()
        let seenThen = seen
        store.lead(call(wish)) { [self] result in
            isAsking = false
            guard !hasStopped else { return }
            var failed = false
            switch result {
            case .success(let reply): take(reply, asked)
            case .failure(let error):
                failed = true
                failedToRenew(error)
            }
            let pause = seen > seenThen && !failed ? .zero : view.pause(failed: failed, at: Host.monotonicNow())
            timer = lane.schedule(after: pause) { [self] in ask() }
        }
    }

    private var saidLoss = true

    private func take(_ reply: LeaseReply, _ asked: Instant) {
        wish = .hold
        redisClock = (reply.at, Host.monotonicNow())
        if reply.epoch <= latestEpoch { seen = max(seen, reply.epoch) }
        let change = view.take(reply, asked: asked)
        if reply.isMine { saidLoss = false }
        switch change {
        case .none: break
        case .granted(let epoch): onTerm(epoch)
        case .lost: lose("\(reply.name) leads now")
        }
        if view.rival != nil {
            ownTerm = nil
            onRival()
        }
    }

    private func failedToRenew(_ error: StoreError) {
        guard !isAlone, !view.holds(at: Host.monotonicNow()) else { return }
        lose("the lease could not be renewed: \(error)")
    }

    private func lose(_ reason: String) {
        if !saidLoss { onLoss(reason) }
        saidLoss = true
    }
}
