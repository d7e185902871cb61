// The circuit breaker of a target as all nodes share it: the specification of breaker.lua, step by step.

/// What is asked of the record.
public enum BreakerCall: Hashable, Sendable {
    /// How does it stand? Nothing is written.
    case read
    /// A node's attempts since its last report, counted under `epoch`. `node` is a number of the node's own, not zero; `isTripped`: its own window
    /// says that the target should not be asked.
    case report(epoch: Int64, node: Int64, successes: Int64, failures: Int64, isTripped: Bool)
    /// May I probe?
    case admit
    /// The probe of `epoch` ended.
    case probed(epoch: Int64, isGood: Bool)
    /// The probe of `epoch` is still under way: its lease begins anew.
    case renew(epoch: Int64)
    /// The probe of `epoch` says nothing about the target: nothing was sent, or the client went away. Another may probe immediately.
    case release(epoch: Int64)
    /// An operator's order for the next `microseconds`; `auto` takes an order back.
    case order(BreakerRecord.Order, microseconds: Int64)
}

/// What became of a call.
public enum BreakerVerdict: Int64, Sendable, CaseIterable {
    /// The record as it stands.
    case read
    /// The report counts.
    case counted
    /// This report or this probe's failure opened the breaker.
    case opened
    /// The call was about another epoch or state; nothing was written.
    case stale
    /// The caller, and nobody else, may send one request under the new epoch.
    case probe
    /// It is too early, a probe is under way, none is needed, or an order forbids it; nothing was written.
    case noProbe
    /// A probe went well; more are needed.
    case better
    /// The last of the probes went well: the breaker is closed.
    case closed
    /// The order stands.
    case ordered
    /// The probe has a lease from now on.
    case renewed
    /// The probe is free for another request.
    case released
}

/// The answer: what became of the call and the record after it, at a moment of Redis' clock.
public struct BreakerReply: Hashable, Sendable {
    /// What became of the call.
    public var verdict: BreakerVerdict
    /// Redis' clock, microseconds since 1970.
    public var atMicroseconds: Int64
    /// The record after the call.
    public var record: BreakerRecord

    /// An answer.
    public init(_ verdict: BreakerVerdict, at now: Int64, _ record: BreakerRecord) {
        self.verdict = verdict
        atMicroseconds = now
        self.record = record
    }
}

/// One record and what calls do to it.
public struct BreakerModel: Sendable {
    /// Good probes one after another that close a breaker.
    public static let successesNeeded: Int64 = 3
    /// Reported attempts that a share of failures needs.
    public static let leastSamples: Int64 = 20
    /// The longest order: one day.
    public static let orderLimit: Int64 = 86_400_000_000

    /// The record.
    public private(set) var record = BreakerRecord.healthy
    private let times: BreakerTimes

    /// A target that nothing is known of.
    public init(times: BreakerTimes = .standard) { self.times = times }

    /// Does what breaker.lua does at `now`. `jitter`: 0…200, by how many thousandths a wait is shorter, so that targets do not come back all at once.
    public mutating func run(_ call: BreakerCall, jitter: Int64, at now: Int64) -> BreakerReply {
        let verdict: BreakerVerdict
        switch call {
        case .read: verdict = .read
        case .report(let epoch, let node, let good, let bad, let isTripped):
            verdict = report(epoch, node, good, bad, isTripped, jitter, now)
        case .admit: verdict = admit(now)
        case .probed(let epoch, let isGood): verdict = probed(epoch, isGood, jitter, now)
        case .renew(let epoch): verdict = lease(of: epoch, until: now + times.lease, .renewed)
        case .release(let epoch): verdict = lease(of: epoch, until: 0, .released)
        case .order(let order, let long):
            record.order = order
            record.orderUntil = order == .auto ? 0 : now + min(long, BreakerModel.orderLimit)
            verdict = .ordered
        }
        return BreakerReply(verdict, at: now, record)
    }

    private mutating func report(
        _ epoch: Int64, _ node: Int64, _ good: Int64, _ bad: Int64, _ isTripped: Bool, _ jitter: Int64, _ now: Int64
    ) -> BreakerVerdict {
        guard epoch == record.epoch, record.state == .closed else { return .stale }
        if now - record.windowStart >= times.window {
            (record.windowStart, record.windowSuccesses, record.windowFailures) = (now, 0, 0)
        }
        record.windowSuccesses += good
        record.windowFailures += bad
        guard isTripped else { return .counted }
        let isSecond =
            record.tripNode != 0 && record.tripNode != node && now - record.tripAt < times.window
        (record.tripNode, record.tripAt) = (node, now)
        let samples = record.windowSuccesses + record.windowFailures
        let isBad = samples >= BreakerModel.leastSamples && record.windowFailures >= record.windowSuccesses
        guard isSecond || isBad else { return .counted }
        let isRelapse = record.recoveredAt > 0 && now - record.recoveredAt < times.relapse
        open(step: isRelapse ? record.step + 1 : 0, jitter, now)
        return .opened
    }

    private mutating func admit(_ now: Int64) -> BreakerVerdict {
        guard record.order(at: now) == .auto else { return .noProbe }
        switch record.state {
        case .closed: return .noProbe
        case .open:
            guard now >= record.until else { return .noProbe }
            record.successes = 0
        case .halfOpen:
            guard now >= record.leaseUntil else { return .noProbe }
            // Whoever had the lease never said how it went: the row of good probes is broken.
            if record.leaseUntil > 0 { record.successes = 0 }
        }
        record.state = .halfOpen
        record.leaseUntil = now + times.lease
        begin(now)
        return .probe
    }

    private mutating func probed(_ epoch: Int64, _ isGood: Bool, _ jitter: Int64, _ now: Int64) -> BreakerVerdict {
        guard isProbe(epoch) else { return .stale }
        guard isGood else {
            open(step: record.step + 1, jitter, now)
            return .opened
        }
        record.successes += 1
        record.leaseUntil = 0
        guard record.successes >= BreakerModel.successesNeeded else { return .better }
        record.state = .closed
        record.recoveredAt = now
        (record.windowStart, record.windowSuccesses, record.windowFailures) = (now, 0, 0)
        record.tripNode = 0
        begin(now)
        return .closed
    }

    private mutating func lease(of epoch: Int64, until: Int64, _ verdict: BreakerVerdict) -> BreakerVerdict {
        guard isProbe(epoch) else { return .stale }
        record.leaseUntil = until
        return verdict
    }

    private func isProbe(_ epoch: Int64) -> Bool {
        epoch == record.epoch && record.state == .halfOpen && record.leaseUntil > 0
    }

    private mutating func open(step: Int64, _ jitter: Int64, _ now: Int64) {
        record.step = min(step, 16)
        let long = min(times.openLimit, times.open << record.step)
        record.state = .open
        record.until = now + long - long * jitter / 1_000
        record.leaseUntil = 0
        record.successes = 0
        begin(now)
    }

    /// A new epoch: never one that was used before, even if the record was lost meanwhile.
    private mutating func begin(_ now: Int64) { record.epoch = max(record.epoch + 1, now / 1_000) }
}
