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
        /// It may be the one that finds out whether the target works again: `enter` decides in the moment before it is sent.
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
        /// It probes for the cluster: the only one of its epoch.
        case sharedProbe(epoch: Int64)
    }

    /// What a request hears in the moment before it is sent.
    public enum Entry: Equatable, Sendable {
        /// It is sent.
        case go(Ticket)
        /// The cluster is asked for its probe, for this request: `granted` or `denied` follows.
        case ask
        /// It is not sent there.
        case blocked
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
    /// The cluster's probe that this lane has under way, and when its lease was last heard of.
    private var probe: (epoch: Int64, renewedAt: Instant)?
    /// True while a request of this lane asks the cluster for its probe.
    private var isAsking = false
    /// Attempts that the cluster was not told of.
    private var news = (successes: Int64(0), failures: Int64(0), isTripped: false)
    private var newsSince = Instant(nanoseconds: 0)
    /// How often the lane's own window tripped.
    public private(set) var ownTrips: Int64 = 0

    /// The first wait of a lane that decides for itself; doubled with each failed probe, to the longest.
    public static let firstWait = Duration.seconds(1)
    /// The longest wait.
    public static let longestWait = Duration.seconds(60)
    /// How often the lease of a probe is renewed: a third of it.
    public static let renewal = Duration.seconds(1)
    /// When to come again while another request probes: most probes take less.
    public static let probeWait = Duration.seconds(1)

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
        if record.state == .open, now < instant(record.until) { return .blocked(until: instant(record.until)) }
        if isAsking || now < instant(record.leaseUntil) { return .blocked(until: now + TargetBreaker.probeWait) }
        return .probe
    }

    private func ownPassage(at now: Instant, after wait: Instant) -> Passage {
        if now < wait { return .blocked(until: wait) }
        return isProbingAlone ? .blocked(until: now + TargetBreaker.probeWait) : .probe
    }

    /// A request is about to be sent. Whoever gets a ticket gives it back by `ended` or `giveBack`.
    ///
    /// So late, because a probe is nobody's before there is a request that uses it: one that waits for quota, for its turn or for the rest
    /// of its body would keep a healthy target shut for all others.
    public mutating func enter(at now: Instant, isAlone: Bool) -> Entry {
        switch passage(at: now, isAlone: isAlone) {
        case .free, .sparing: return .go(.usual)
        case .blocked: return .blocked
        case .probe: break
        }
        guard record.state == .closed || isAlone else {
            isAsking = true
            return .ask
        }
        isProbingAlone = true
        return .go(.ownProbe)
    }

    /// The cluster lets the request that asked probe, under the record that was just learned.
    public mutating func granted(at now: Instant) -> Ticket {
        isAsking = false
        probe = (record.epoch, now)
        return .sharedProbe(epoch: record.epoch)
    }

    /// The cluster does not let the request that asked probe, or could not be asked.
    public mutating func denied() { isAsking = false }

    /// A request never went out, or its end says nothing about the target: another may probe. Returns what the cluster must hear.
    public mutating func giveBack(_ ticket: Ticket) -> BreakerCall? {
        switch ticket {
        case .usual: return nil
        case .ownProbe:
            isProbingAlone = false
            return nil
        case .sharedProbe(let epoch):
            guard probe?.epoch == epoch else { return nil }
            probe = nil
            return .release(epoch: epoch)
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
        case .sharedProbe(let epoch):
            if probe?.epoch == epoch { probe = nil }
            return true
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

    /// The renewal of this lane's probe, when it is time for one.
    public mutating func renewal(at now: Instant) -> BreakerCall? {
        guard let probe, now - probe.renewedAt >= TargetBreaker.renewal else { return nil }
        self.probe?.renewedAt = now
        return .renew(epoch: probe.epoch)
    }

    /// Takes over what the cluster knows; `shared`: Redis' clock, µs since 1970.
    public mutating func learn(_ fresh: BreakerRecord, shared: Int64, at now: Instant) {
        let isNew = fresh.epoch != record.epoch
        (record, sharedAt, learnedAt) = (fresh, shared, now)
        guard isNew else { return }
        probe = nil
        // What the lane decided alone is decided by all now.
        (shutUntil, trips, isProbingAlone) = (nil, 0, false)
        window = FailureWindow()
        news = (0, 0, false)
    }

    /// How the cluster's breaker stands, for its coordinator. One whose wait is over, and that only waits for a request, counts as half-open.
    public func standing(at now: Instant) -> BreakerRecord.State {
        record.state == .open && now >= instant(record.until) ? .halfOpen : record.state
    }

    /// Redis' clock at a moment of the lane's.
    private func clock(_ now: Instant) -> Int64 { sharedAt + (now - learnedAt).nanoseconds / 1_000 }

    private func instant(_ shared: Int64) -> Instant { learnedAt + .microseconds(max(0, shared - sharedAt)) }
}
