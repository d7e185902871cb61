// Whether one lane may send a request to a target: what the cluster agreed on, and what the lane saw itself since.
import Core

/// A lane's side of a target's circuit breaker. A plain value: the owner brings the clock, carries reports to the shared record and brings back what
/// it says.
public struct TargetBreaker: Sendable {
    /// What a request hears that would go to the target.
    public enum Passage: Equatable, Sendable {
        /// It may.
        case free
        /// It may, but the target has recovered only now: this many of a hundred requests, where there are others.
        case sparing(Int)
        /// It would be the one that finds out whether the target works again.
        case probe
        /// It may not, until then at the earliest.
        case blocked(until: Instant)
    }

    /// What a request that goes to the target has to give back.
    public enum Ticket: Equatable, Sendable {
        /// Nothing.
        case usual
        /// It probes for this lane alone.
        case ownProbe
        /// It probes for the cluster: the only one of its epoch, and only until then.
        case sharedProbe(epoch: Int64, until: Instant)
    }

    /// What the cluster knows, as it was last read.
    public private(set) var record = BreakerRecord.healthy
    /// Redis' clock when it was read, in µs since 1970, and the lane's.
    private var sharedAt: Int64 = 0
    private var learnedAt = Instant(nanoseconds: 0)
    private var window = FailureWindow()
    /// The lane's own window tripped: until then nothing goes there, and then one request at a time until one goes well.
    private var shutUntil: Instant?
    /// Trips in a row.
    private var trips = 0
    private var isProbingAlone = false
    private var right: (epoch: Int64, until: Instant)?
    /// Attempts that the cluster was not told of.
    private var news = (successes: Int64(0), failures: Int64(0), isTripped: false)
    private var newsSince = Instant(nanoseconds: 0)
    /// True when a request would have gone there since the last probe was asked for.
    private var isWanted = false
    /// How often the lane's own window tripped.
    public private(set) var ownTrips: Int64 = 0

    /// The first wait of a lane that decides for itself; doubled with each failed probe, to the longest.
    public static let firstWait = Duration.seconds(1)
    /// The longest wait.
    public static let longestWait = Duration.seconds(60)

    /// A target that nothing is known of.
    public init() {}

    // MARK: - Requests

    /// May a request go there? `isAlone`: Redis cannot be asked, so that each lane has to find out for itself.
    public func passage(at now: Instant, isAlone: Bool) -> Passage {
        if record.orderUntil > 0 {
            switch record.order(at: clock(now)) {
            case .open: return .blocked(until: instant(record.orderUntil))
            case .closed: return .free
            case .auto: break
            }
        }
        if record.state != .closed { return sharedPassage(at: now, isAlone: isAlone) }
        if let shutUntil { return ownPassage(at: now, after: shutUntil) }
        guard record.recoveredAt > 0 else { return .free }
        let share = record.share(at: clock(now))
        return share < 100 ? .sparing(share) : .free
    }

    private func sharedPassage(at now: Instant, isAlone: Bool) -> Passage {
        if isAlone { return ownPassage(at: now, after: instant(record.until)) }
        if let right, now < right.until { return .probe }
        return .blocked(until: max(instant(record.until), now + .seconds(1)))
    }

    private func ownPassage(at now: Instant, after wait: Instant) -> Passage {
        if now < wait { return .blocked(until: wait) }
        return isProbingAlone ? .blocked(until: now + .seconds(1)) : .probe
    }

    /// Somebody would have gone there.
    public mutating func want() { isWanted = true }

    /// A request goes there. Whoever gets a ticket gives it back by `ended` or `giveBack`.
    public mutating func enter(at now: Instant, isAlone: Bool) -> Ticket {
        guard passage(at: now, isAlone: isAlone) == .probe else { return .usual }
        if record.state != .closed, !isAlone, let right {
            self.right = nil
            return .sharedProbe(epoch: right.epoch, until: right.until)
        }
        isProbingAlone = true
        return .ownProbe
    }

    /// A request never went out, or its end says nothing about the target: another may probe.
    public mutating func giveBack(_ ticket: Ticket) {
        switch ticket {
        case .usual: break
        case .ownProbe: isProbingAlone = false
        case .sharedProbe(let epoch, let until): if epoch == record.epoch { right = (epoch, until) }
        }
    }

    /// A request ended that tells something about the target; true when the cluster must hear of its probe. `jitter`: 0…200, by how many thousandths
    /// a wait is shorter.
    public mutating func ended(
        _ sample: FailureWindow.Sample, _ ticket: Ticket, jitter: Int64, at now: Instant
    ) -> Bool {
        let isTripped = window.note(sample, at: now)
        if sample == .success { news.successes += 1 } else { news.failures += 1 }
        switch ticket {
        // What began before the cluster closed it off says nothing new.
        case .usual: if isTripped, record.state == .closed { shut(jitter, now) }
        case .ownProbe:
            isProbingAlone = false
            guard sample == .success else {
                shut(jitter, now)
                break
            }
            (shutUntil, trips) = (nil, 0)
            window = FailureWindow()
        case .sharedProbe: return true
        }
        return false
    }

    private mutating func shut(_ jitter: Int64, _ now: Instant) {
        if let shutUntil, now < shutUntil { return }
        let wait = min(
            TargetBreaker.longestWait.nanoseconds, TargetBreaker.firstWait.nanoseconds << Int64(min(trips, 8)))
        shutUntil = now + .nanoseconds(wait - wait * jitter / 1_000)
        trips += 1
        ownTrips += 1
        news.isTripped = true
    }

    // MARK: - The cluster

    /// What the cluster has to hear: nothing while the target works.
    public mutating func report(node: Int64, at now: Instant) -> BreakerCall? {
        guard record.state == .closed else {
            news = (0, 0, false)
            return nil
        }
        guard news.failures > 0 || news.isTripped else {
            // Successes of long ago say nothing beside a failure of now.
            if now - newsSince > .seconds(10) { (news.successes, newsSince) = (0, now) }
            return nil
        }
        defer { (news, newsSince) = ((0, 0, false), now) }
        return .report(
            epoch: record.epoch, node: node, successes: news.successes, failures: news.failures,
            isTripped: news.isTripped)
    }

    /// True when a request waits for the target and the time has come to ask whether one may probe.
    public mutating func asksForProbe(at now: Instant) -> Bool {
        guard isWanted, record.state != .closed, record.order(at: clock(now)) == .auto else { return false }
        if let right, now < right.until { return false }
        guard now >= instant(record.state == .open ? record.until : record.leaseUntil) else { return false }
        isWanted = false
        return true
    }

    /// Takes over what the cluster knows; `shared`: Redis' clock, µs since 1970.
    public mutating func learn(_ fresh: BreakerRecord, shared: Int64, at now: Instant) {
        let isNew = fresh.epoch != record.epoch
        (record, sharedAt, learnedAt) = (fresh, shared, now)
        guard isNew else { return }
        right = nil
        // What the lane decided alone is decided by all now.
        (shutUntil, trips, isProbingAlone) = (nil, 0, false)
        window = FailureWindow()
        news = (0, 0, false)
    }

    /// How the cluster's breaker stands, for its coordinator. One whose wait is over, and that only waits for a request, counts as half-open.
    public func standing(at now: Instant) -> BreakerRecord.State {
        record.state == .open && now >= instant(record.until) ? .halfOpen : record.state
    }

    /// The cluster lets this lane probe, under the record that was just learned.
    public mutating func grantProbe() { right = (record.epoch, instant(record.leaseUntil)) }

    /// Redis' clock at a moment of the lane's.
    private func clock(_ now: Instant) -> Int64 { sharedAt + (now - learnedAt).nanoseconds / 1_000 }

    private func instant(_ shared: Int64) -> Instant { learnedAt + .microseconds(max(0, shared - sharedAt)) }
}
