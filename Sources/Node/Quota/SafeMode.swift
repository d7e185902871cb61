// What a lane does while Redis cannot be used, and when it is back: decides alone, puts back what Redis may have lost.
import Core
import Net
import Policy
import Store
import Telemetry

/// One lane without shared state. Entered by a lane's first command that finds no answer, or at once when the connection is known to be bad; left
/// within a quarter of a second of its recovery, after running reservations were asserted and recent settlements repeated if another server answers.
final class SafeMode {
    private let lane: Lane
    private let redis: Redis
    private let lanes: Int
    private var quota = SafeQuota()
    private var spend = SpendMemory()
    /// Called with each change of `isActive`.
    var onChange: ((Bool) -> Void)?
    /// Called with orgs whose limits the lane keeps alone from now on, or no longer.
    var onOrgsChange: ((Set<String>) -> Void)?
    /// Orgs whose limits the lane keeps alone, and when it decided last about a request of theirs: with several servers, those of the others
    /// are kept exactly.
    private var orgs: [String: Instant] = [:]
    /// Those that `onOrgsChange` was not told of yet.
    private var changedOrgs: Set<String> = []
    /// Nodes that share the limits.
    var fleet = 1

    /// Requests let in, refused by a limit, refused because a limit is closed.
    private(set) var granted = Counter()
    private(set) var denied = Counter()
    private(set) var closed = Counter()
    /// Running reservations that another Redis was told of.
    private(set) var asserted = Counter()

    private static let watchInterval = Duration.milliseconds(50)
    /// For so long no request of an org had to be decided about before its limits are shared again.
    private static let quietTime = Duration.milliseconds(200)
    /// Orgs that change together are told together, so that a lane with many clients looks through them once.
    private static let tellInterval = Duration.milliseconds(10)

    init(lane: Lane, redis: Redis, lanes: Int) {
        self.lane = lane
        self.redis = redis
        self.lanes = lanes
    }

    /// True while the lane decides alone.
    var isActive: Bool { quota.since != nil }

    /// True while the lane keeps the limits of this org alone.
    func keepsAlone(_ org: String) -> Bool { orgs[org] != nil }

    /// True when Redis is not worth asking about this org.
    func mustDecide(_ org: String) -> Bool { redis.isDegraded(org: org) }

    /// Decides about a request that Redis gives no answer on. `isForbidden`: its org wants none let in, or its settlement could not be kept.
    func reserve(_ call: ReserveCall, isForbidden: Bool) -> SafeQuota.Verdict {
        let wasActive = isActive
        let now = lane.wallClockMicroseconds
        quota.begin(at: now)
        if !wasActive {
            onChange?(true)
            watch()
        }
        if orgs.updateValue(lane.now, forKey: call.tenant.org) == nil { tell([call.tenant.org]) }
        let verdict: SafeQuota.Verdict =
            isForbidden
            ? .closed
            : quota.reserve(
                call, lanes: Int64(lanes * max(1, fleet)),
                lastMinute: spend.lastMinute(on: call.limits.layout, at: now), at: now)
        switch verdict {
        case .granted: granted.add()
        case .denied: denied.add()
        case .closed: closed.add()
        }
        return verdict
    }

    /// Hears of each settlement, for the shares and for what the last minute cost.
    func noteSettled(_ call: SettleCall) {
        noteSpent(call.use.microUSD, on: call.limits)
        if isActive { quota.settle(call, at: lane.wallClockMicroseconds) }
    }

    /// Hears of what a request on a block cost.
    func noteSpent(_ microUSD: Int64, on limits: LimitSet) {
        guard microUSD > 0, limits.limits.contains(where: \.isSoft) else { return }
        spend.note(microUSD, on: limits.layout, at: lane.wallClockMicroseconds)
    }

    /// Another server answers: it is told of running reservations and recent settlements. They go out before any later command of this
    /// lane, and are done before it, so that the lane can trust the next answer.
    func recover(_ reservations: [ReserveCall], quota store: QuotaStore, settlements: Settlements) {
        for call in reservations {
            store.reserve(call) { [self] result in if case .success(.granted) = result { asserted.add() } }
        }
        settlements.repeatRecent()
    }

    private func tell(_ changed: Set<String>) {
        let isAwaited = !changedOrgs.isEmpty
        changedOrgs.formUnion(changed)
        guard !isAwaited, !changed.isEmpty else { return }
        lane.schedule(after: SafeMode.tellInterval) { [self] in
            let orgs = changedOrgs
            changedOrgs = []
            onOrgsChange?(orgs)
        }
    }

    /// Leaves the mode for each org when its server is well again, and as a whole when all are. A server that answers and refuses, such as one
    /// that is busy with a script, is not well: as long as requests have to be decided about, the mode stays.
    private func watch() {
        lane.schedule(after: SafeMode.watchInterval) { [self] in
            let now = lane.now
            let back = orgs.filter { org, decided in
                now - decided >= SafeMode.quietTime && !redis.isDegraded(org: org)
            }
            for org in back.keys { orgs[org] = nil }
            tell(Set(back.keys))
            guard orgs.isEmpty, !redis.isImpaired else { return watch() }
            quota.end()
            onChange?(false)
        }
    }
}
