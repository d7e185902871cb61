// The answers to a reservation and a settlement, equal from the model and from Redis.

/// The answer to a `ReserveCall`.
public enum ReserveReply: Hashable, Sendable {
    /// All limits had room; everything is written.
    case granted(QuotaGrant)
    /// One limit had no room; nothing is written.
    case denied(QuotaDenial)
    /// This id is reserved already and not settled: the earlier reservation stands, nothing was written.
    case repeated(QuotaRecord)
    /// This id was settled already: the request ran before, nothing was written.
    case duplicate(QuotaRecord)
}

/// The answer to an `ExtendCall`.
public enum ExtendReply: Hashable, Sendable {
    /// All limits had room for what was added. Redis' clock at the decision, in µs since the Unix epoch.
    case granted(atMicroseconds: Int64)
    /// One limit had no room; the reservation is as it was.
    case denied(QuotaDenial)
    /// The request was settled already; nothing was written.
    case settled(QuotaRecord)
    /// No reservation is known under this id (older than the record's life, or Redis lost it); nothing was written.
    case unknown(atMicroseconds: Int64)
}

/// The answer to a `SettleCall`.
public enum SettleReply: Hashable, Sendable {
    /// The reservation is settled now.
    case settled(QuotaRecord)
    /// The reservation is settled now, but its hold had expired before: for a moment its money and its place were free.
    case late(QuotaRecord)
    /// It had been settled before, as recorded; nothing was written.
    case repeated(QuotaRecord)
    /// No reservation is known under this id (older than the record's life, or Redis lost it): only the money was booked.
    case unknown(QuotaRecord)
}

/// All limits had room.
public struct QuotaGrant: Hashable, Sendable {
    /// Redis' clock at the decision, in µs since the Unix epoch.
    public let atMicroseconds: Int64
    /// What each limit has left after this reservation, in the order of the limits, in its unit.
    public let remaining: [Int64]

    /// A grant.
    public init(atMicroseconds: Int64, remaining: [Int64]) {
        self.atMicroseconds = atMicroseconds
        self.remaining = remaining
    }
}

/// When the same call would be granted if nobody else came between.
public enum QuotaRetry: Hashable, Sendable {
    /// After so many microseconds, counted from the decision.
    case after(microseconds: Int64)
    /// When a request that is under way ends; no clock knows when.
    case whenReleased
    /// Never: the call is larger than the limit.
    case never
}

/// One limit had no room: the one that stands in the way longest.
public struct QuotaDenial: Hashable, Sendable {
    /// Redis' clock at the decision, in µs since the Unix epoch.
    public let atMicroseconds: Int64
    /// Which limit of the set.
    public let index: Int
    /// That limit.
    public let limit: Limit
    /// What it has left, in its unit.
    public let remaining: Int64
    /// When to come again.
    public let retry: QuotaRetry

    /// A denial.
    public init(atMicroseconds: Int64, index: Int, limit: Limit, remaining: Int64, retry: QuotaRetry) {
        self.atMicroseconds = atMicroseconds
        self.index = index
        self.limit = limit
        self.remaining = remaining
        self.retry = retry
    }
}

/// What is recorded under an id: the estimate until it is settled, then the real use.
public struct QuotaRecord: Hashable, Sendable {
    /// Redis' clock at this answer, in µs since the Unix epoch.
    public let atMicroseconds: Int64
    /// Redis' clock when the id was reserved; for an unknown id, when it was settled.
    public let reservedAtMicroseconds: Int64
    /// The estimate, or the real use once it is settled.
    public let use: QuotaUse

    /// A record.
    public init(atMicroseconds: Int64, reservedAtMicroseconds: Int64, use: QuotaUse) {
        self.atMicroseconds = atMicroseconds
        self.reservedAtMicroseconds = reservedAtMicroseconds
        self.use = use
    }
}
