// What the whole cluster knows about a target's health: one record in Redis, here as a value.

/// How long things last, in microseconds. All nodes of a cluster must use the same.
public struct BreakerTimes: Hashable, Sendable {
    /// The first wait of an open breaker; each failed probe doubles it.
    public var open: Int64
    /// The longest wait.
    public var openLimit: Int64
    /// A probe whose node says nothing for so long is given up; the node renews it each second.
    public var lease: Int64
    /// Failures of nodes are counted together, and trips of two nodes belong together, for so long.
    public var window: Int64
    /// A target that fails again so soon after its recovery waits longer than before instead of beginning anew.
    public var relapse: Int64

    /// 5 s to 60 s; 3 s, so that the next probe follows that of a dead node within the shortest wait; 10 s; one minute.
    public static let standard = BreakerTimes(
        open: 5_000_000, openLimit: 60_000_000, lease: 3_000_000, window: 10_000_000, relapse: 60_000_000)

    /// Times in microseconds.
    public init(open: Int64, openLimit: Int64, lease: Int64, window: Int64, relapse: Int64) {
        self.open = open
        self.openLimit = openLimit
        self.lease = lease
        self.window = window
        self.relapse = relapse
    }
}

/// The shared record of one target. Times are of Redis' clock, microseconds since 1970; an absent record is `healthy`.
public struct BreakerRecord: Hashable, Sendable {
    /// Whether requests may go to the target.
    public enum State: Int64, Sendable {
        /// They may.
        case closed
        /// None may until `until`.
        case open
        /// One probe may, by its lease.
        case halfOpen
    }

    /// What an operator ordered.
    public enum Order: Int64, Sendable {
        /// Nothing: the breaker works by itself.
        case auto
        /// No request goes to the target, and no probe.
        case open
        /// Requests go to the target, whatever it does.
        case closed
    }

    /// The breaker's own state, whatever is ordered.
    public var state = State.closed
    /// Grows with every change of state and with every probe; reports of other epochs are ignored. Zero: nothing ever happened.
    public var epoch: Int64 = 0
    /// When an open breaker lets a probe through.
    public var until: Int64 = 0
    /// Until when the present probe is its node's, unless renewed; zero without one.
    public var leaseUntil: Int64 = 0
    /// How often the wait was doubled.
    public var step: Int64 = 0
    /// Probes that went well one after another.
    public var successes: Int64 = 0
    /// When it last recovered; requests return to it by degrees. Zero: never.
    public var recoveredAt: Int64 = 0
    /// What is ordered, until `orderUntil`.
    public var order = Order.auto
    /// When the order ends by itself.
    public var orderUntil: Int64 = 0
    /// When the count of all nodes began.
    public var windowStart: Int64 = 0
    /// Attempts that nodes reported as good since then.
    public var windowSuccesses: Int64 = 0
    /// Attempts that nodes reported as failed since then.
    public var windowFailures: Int64 = 0
    /// The node whose own window tripped last; zero: none.
    public var tripNode: Int64 = 0
    /// When it tripped.
    public var tripAt: Int64 = 0

    /// A target that nothing is known of.
    public static let healthy = BreakerRecord()

    /// Nothing is known yet.
    public init() {}

    /// What is ordered at `now`.
    public func order(at now: Int64) -> Order { now < orderUntil ? order : .auto }

    /// The share of its usual requests that a target gets, in percent: 0 while it is open or probed, then 10, 25, 50 and, ten seconds after its
    /// recovery, 100.
    public func share(at now: Int64) -> Int {
        switch order(at: now) {
        case .open: return 0
        case .closed: return 100
        case .auto: break
        }
        guard state == .closed else { return 0 }
        guard recoveredAt > 0 else { return 100 }
        switch now - recoveredAt {
        case ..<3_333_333: return 10
        case ..<6_666_667: return 25
        case ..<10_000_000: return 50
        default: return 100
        }
    }
}
