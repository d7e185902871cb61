// Which coordinator leads, and under which term: the record in Redis as a pure value, and the specification of lead.lua.

/// What a coordinator asks of the lease.
public struct LeaseCall: Sendable, Hashable {
    /// What is wished for.
    public enum Wish: Int, CaseIterable, Sendable {
        /// The lease is given back; the term keeps its number.
        case giveBack
        /// To have it, or to have it longer.
        case hold
        /// The same, also from an earlier process of the same name: what a process asks first.
        case succeed
    }

    /// The coordinator's name in cluster.conf.
    public var name: String
    /// Which process of that name.
    public var incarnation: UInt64
    /// Where its admin interface is, for whoever asked the wrong one.
    public var place: String
    /// How long the lease is to last, in microseconds.
    public var length: Int64
    /// The highest epoch that the coordinator or one of its nodes has seen; at most `latestEpoch`.
    public var seen: UInt64
    /// The latest epoch that the caller's clock allows: a later one, told or kept, is a mistake and not believed.
    public var latest: UInt64
    /// What is wished for.
    public var wish: Wish

    /// Epochs begin as milliseconds since 1970 and are whole numbers in Lua: this is in the year 144,000.
    public static let latestEpoch: UInt64 = 1 << 52

    /// Epochs are milliseconds of Redis' clock. So much later than the clock one may be, in milliseconds: clocks are set, and terms that
    /// follow closely count up by one. A day.
    public static let tolerance: UInt64 = 86_400_000

    /// The latest epoch that can be true when a clock shows so many milliseconds since 1970.
    public static func latest(atMilliseconds now: UInt64) -> UInt64 {
        min(latestEpoch, min(latestEpoch, now) + tolerance)
    }

    /// A call of its parts.
    public init(
        name: String, incarnation: UInt64, place: String, length: Int64, seen: UInt64, wish: Wish,
        latest: UInt64 = LeaseCall.latestEpoch
    ) {
        precondition(seen <= LeaseCall.latestEpoch, "an epoch is a whole number in Lua")
        self.name = name
        self.incarnation = incarnation
        self.place = place
        self.length = length
        self.seen = seen
        self.wish = wish
        self.latest = min(latest, LeaseCall.latestEpoch)
    }
}

/// How the lease stands after a call.
public struct LeaseReply: Sendable, Hashable {
    /// True when the caller has it now.
    public var isMine: Bool
    /// The term: of the caller when it has the lease, of the last leader otherwise. It never falls while Redis keeps its memory, unless it
    /// was later than any clock allows.
    public var epoch: UInt64
    /// How long the lease lasts from `at` on, in microseconds; 0 when nobody has it.
    public var left: Int64
    /// Redis' time, in microseconds since 1970.
    public var at: Int64
    /// Who has it, or had it last; empty when nobody ever had.
    public var name: String
    /// Where the holder's admin interface is.
    public var place: String

    /// A reply of its parts.
    public init(isMine: Bool, epoch: UInt64, left: Int64, at: Int64, name: String, place: String) {
        self.isMine = isMine
        self.epoch = epoch
        self.left = left
        self.at = at
        self.name = name
        self.place = place
    }
}

/// The record. `lead.lua` takes the same steps; a test compares every reply.
public struct LeaseModel: Sendable {
    private var name = ""
    private var incarnation: UInt64 = 0
    private var place = ""
    private var until: Int64 = 0
    private var epoch: UInt64 = 0

    /// A lease that nobody ever had.
    public init() {}

    /// Takes one call at Redis' time `now`.
    public mutating func run(_ call: LeaseCall, at now: Int64) -> LeaseReply {
        let isSame = name == call.name && incarnation == call.incarnation
        if call.wish == .giveBack {
            if isSame { until = 0 }
            return reply(false, now)
        }
        let isFree = until <= now || call.wish == .succeed && name == call.name
        guard isSame || isFree else { return reply(false, now) }
        let clock = UInt64(max(0, now) / 1_000)
        let latest = max(call.latest, LeaseCall.latest(atMilliseconds: clock))
        let seen = call.seen > latest ? 0 : call.seen
        // One that no clock allows was written by mistake: the next term begins by the clock again.
        let isWrong = epoch > latest
        if isWrong { epoch = 0 }
        if !isSame || isWrong {
            // A new leader is above whoever led before, above what any of its nodes has seen, and, should Redis have lost its memory,
            // above terms of the past by the clock.
            epoch = max(epoch + 1, clock, seen + 1)
        } else if seen > epoch {
            epoch = seen + 1
        }
        (name, incarnation, place, until) = (call.name, call.incarnation, call.place, now + call.length)
        return reply(true, now)
    }

    private func reply(_ isMine: Bool, _ now: Int64) -> LeaseReply {
        LeaseReply(isMine: isMine, epoch: epoch, left: max(0, until - now), at: now, name: name, place: place)
    }
}
