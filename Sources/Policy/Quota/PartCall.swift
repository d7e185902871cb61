// A block is a reservation for many requests; parts of it settle some of them together.

import Core

/// One request that ran on a block and has ended.
public struct BlockUse: Hashable, Sendable {
    /// The request's idempotency key.
    public let id: Identifier128
    /// Its feature, which the ledger names.
    public let feature: String
    /// What it used.
    public let use: QuotaUse
    /// What a provider may bill.
    public let attempts: [LedgerEntry]

    /// An ended request. At most `SettleCall.maximumAttempts` attempts.
    public init(id: Identifier128, feature: String, use: QuotaUse, attempts: [LedgerEntry]) {
        precondition(attempts.count <= SettleCall.maximumAttempts, "a request has few attempts")
        self.id = id
        self.feature = feature
        self.use = use
        self.attempts = attempts
    }
}

/// Ends a part of a block: what it was reserved for is replaced by what was used. Parts are sent one at a time, in the order of their numbers;
/// a number counts once.
public struct PartCall: Sendable {
    /// The block.
    public let id: Identifier128
    /// Whom the block is counted on; its feature has a meaning only where a limit looks at it.
    public let tenant: Tenant
    /// The limits under which the block was reserved.
    public let limits: LimitSet
    /// The number of this part, rising from 1, below 2³².
    public let number: Int64
    /// How many of the block's requests it ends: those that ran, and those that nobody will ask for.
    public let requests: Int64
    /// What it ends of the block's estimate.
    public let covers: QuotaUse
    /// True for the last part: it ends whatever is left of the block, and `requests` and `covers` have no meaning.
    public let isLast: Bool
    /// The requests that ran. At most `maximumUses`, together at most what one `QuotaUse` holds.
    public let uses: [BlockUse]

    /// The most requests that one part settles: a bound for its time in Redis, about 10 µs each.
    public static let maximumUses = 64

    /// A part of the block that `call` reserved.
    public init(
        of call: ReserveCall, number: Int64, requests: Int64, covers: QuotaUse, isLast: Bool, uses: [BlockUse]
    ) {
        precondition(uses.count <= Self.maximumUses, "a part is bounded")
        id = call.id
        tenant = call.tenant
        limits = call.limits
        self.number = number
        self.requests = requests
        self.covers = covers
        self.isLast = isLast
        self.uses = uses
    }

    /// What its requests used together.
    public var use: QuotaUse { uses.reduce(.none) { $0 + $1.use } }
}

extension QuotaUse {
    /// Both together, each amount in its range.
    public static func + (left: QuotaUse, right: QuotaUse) -> QuotaUse {
        QuotaUse(
            inputTokens: left.inputTokens + right.inputTokens, outputTokens: left.outputTokens + right.outputTokens,
            microUSD: left.microUSD + right.microUSD)
    }

    /// What is left without `other`; nothing where that is more.
    public static func - (left: QuotaUse, right: QuotaUse) -> QuotaUse {
        QuotaUse(
            inputTokens: left.inputTokens - right.inputTokens, outputTokens: left.outputTokens - right.outputTokens,
            microUSD: left.microUSD - right.microUSD)
    }

    /// The smaller of each amount.
    public func lowered(to other: QuotaUse) -> QuotaUse {
        QuotaUse(
            inputTokens: min(inputTokens, other.inputTokens), outputTokens: min(outputTokens, other.outputTokens),
            microUSD: min(microUSD, other.microUSD))
    }

    /// True when each amount is at most that of `other`.
    public func fits(in other: QuotaUse) -> Bool {
        inputTokens <= other.inputTokens && outputTokens <= other.outputTokens && microUSD <= other.microUSD
    }
}
