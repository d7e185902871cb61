// Limits kept by one lane alone while shared state cannot be used: its share of each, by the same arithmetic.
import Core

/// What a lane lets in without shared state. Starts empty each time that state goes away.
///
/// Each lane takes four fifths of an equal share of every rate and concurrency limit, a quarter of it at once, so that all lanes together stay
/// below the limit from that moment on. A hard budget is closed: what is left of it is known to nobody here. A soft one goes on for a minute,
/// up to what the lane spent in the minute before.
public struct SafeQuota: Sendable {
    /// What becomes of a request.
    public enum Verdict: Sendable {
        /// The lane's share has room.
        case granted
        /// The lane's share of a limit has none.
        case denied(QuotaDenial)
        /// A limit of this kind is not kept without shared state.
        case closed
    }

    private struct Share: Sendable {
        let limits: LimitSet
        /// The layout that it was made for; held, so that its identity stays its own.
        let whole: LimitSet
        /// For each limit of the share, its place among the whole.
        let places: [Int]
        let hasSoftBudget: Bool
    }

    private var model = QuotaModel()
    private var shares: [ObjectIdentifier: Share?] = [:]
    private var spent: [ObjectIdentifier: Int64] = [:]
    /// When shared state went away, µs since 1970; nil while it is there.
    public private(set) var since: Int64?

    /// How long soft budgets are trusted.
    public static let softLimit: Int64 = 60_000_000

    /// Nothing let in.
    public init() {}

    /// Shared state is away from now on; what was let in before is not known here.
    public mutating func begin(at now: Int64) {
        guard since == nil else { return }
        self = SafeQuota()
        since = now
    }

    /// Shared state is back.
    public mutating func end() { self = SafeQuota() }

    /// May this request run, on one of `lanes` equal lanes? `lastMinute` is what the lane spent on these limits in the minute before.
    public mutating func reserve(_ call: ReserveCall, lanes: Int64, lastMinute: Int64, at now: Int64) -> Verdict {
        begin(at: now)
        let identity = ObjectIdentifier(call.limits.layout)
        let share = shares[identity] ?? SafeQuota.share(of: call.limits, lanes: max(1, lanes))
        if shares.count > 8_192 { shares.removeAll() }
        shares[identity] = share
        guard let share else { return .closed }
        if share.hasSoftBudget {
            let used = spent[identity, default: 0] + call.estimate.microUSD
            guard now - (since ?? now) < SafeQuota.softLimit, used <= lastMinute else { return .closed }
            spent[identity] = used
        }
        let local = ReserveCall(
            id: call.id, claim: call.claim, tenant: call.tenant, estimate: call.estimate,
            holdMilliseconds: call.holdMilliseconds, limits: share.limits)
        guard case .denied(let denial) = model.reserve(local, at: now) else { return .granted }
        return .denied(
            QuotaDenial(
                atMicroseconds: denial.atMicroseconds, index: share.places[denial.index],
                limit: share.whole.limits[share.places[denial.index]], remaining: denial.remaining,
                retry: denial.retry))
    }

    /// A request that was let in has ended with this use.
    public mutating func settle(_ call: SettleCall, at now: Int64) {
        guard since != nil, let share = shares[ObjectIdentifier(call.limits.layout)] ?? nil else { return }
        let local = SettleCall(
            id: call.id, claim: call.claim, tenant: call.tenant, use: call.use, ending: call.ending,
            limits: share.limits)
        _ = model.settle(local, at: now)
        model.forget(call.id, of: call.tenant)
    }

    /// Nil when one of the limits is closed without shared state.
    private static func share(of whole: LimitSet, lanes: Int64) -> Share? {
        var limits: [Limit] = []
        var places: [Int] = []
        var hasSoftBudget = false
        for (place, limit) in whole.limits.enumerated() {
            if limit.unit == .microUSD {
                guard limit.isSoft else { return nil }
                hasSoftBudget = true
                continue
            }
            let amount = limit.amount * 4 / 5 / lanes
            let period: LimitPeriod = limit.period == .calendarMonth ? .microseconds(28 * 86_400_000_000) : limit.period
            guard amount > 0,
                let part = limit.unit == .concurrency
                    ? try? Limit.concurrency(amount, scope: limit.scope)
                    : try? Limit(
                        scope: limit.scope, unit: limit.unit, amount: amount, period: period, algorithm: .tokenBucket,
                        burst: max(1, amount / 4))
            else { return nil }
            // Two of one unit and period are one token bucket here: the smaller one is kept.
            if let other = limits.firstIndex(where: {
                $0.scope == part.scope && $0.unit == part.unit && $0.period == part.period
            }) {
                if part.amount < limits[other].amount { (limits[other], places[other]) = (part, place) }
                continue
            }
            limits.append(part)
            places.append(place)
        }
        guard let set = try? LimitSet(version: whole.version, limits: limits) else { return nil }
        return Share(limits: set, whole: whole, places: places, hasSoftBudget: hasSoftBudget)
    }
}

extension QuotaModel {
    /// Forgets a settled id: who keeps limits for a while without bounds on the number of requests must not remember each.
    mutating func forget(_ id: Identifier128, of tenant: Tenant) { records[RecordKey(tenant, id)] = nil }
}

/// What a lane spent on each set of limits with a soft budget in the last minute.
public struct SpendMemory: Sendable {
    private var minute: Int64 = 0
    private var present: [ObjectIdentifier: Int64] = [:]
    private var before: [ObjectIdentifier: Int64] = [:]

    /// Nothing spent.
    public init() {}

    /// Notes what a request cost.
    public mutating func note(_ microUSD: Int64, on layout: LimitLayout, at now: Int64) {
        roll(now)
        present[ObjectIdentifier(layout), default: 0] += microUSD
    }

    /// What the last whole minute cost, or the present one when it is more already.
    public mutating func lastMinute(on layout: LimitLayout, at now: Int64) -> Int64 {
        roll(now)
        let identity = ObjectIdentifier(layout)
        return max(before[identity] ?? 0, present[identity] ?? 0)
    }

    private mutating func roll(_ now: Int64) {
        let minute = now / 60_000_000
        guard minute != self.minute else { return }
        before = minute == self.minute + 1 ? present : [:]
        present = [:]
        self.minute = minute
    }
}
