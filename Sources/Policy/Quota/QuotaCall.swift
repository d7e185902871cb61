// The two questions that the pipeline asks about quota: may this request run, and what did it really use.

import Core

/// What a request uses, or is expected to use.
public struct QuotaUse: Hashable, Sendable {
    /// Tokens of the prompt; 0…`Limit.maximumTokensPerCall`.
    public let inputTokens: Int64
    /// Tokens of the answer; 0…`Limit.maximumTokensPerCall`.
    public let outputTokens: Int64
    /// Money in micro-USD; 0…`Limit.maximumMicroUSDPerCall`.
    public let microUSD: Int64

    /// Nothing at all.
    public static let none = QuotaUse(inputTokens: 0, outputTokens: 0, microUSD: 0)

    /// Amounts, each brought into its range.
    public init(inputTokens: Int64, outputTokens: Int64, microUSD: Int64) {
        self.inputTokens = min(max(0, inputTokens), Limit.maximumTokensPerCall / 2)
        self.outputTokens = min(max(0, outputTokens), Limit.maximumTokensPerCall / 2)
        self.microUSD = min(max(0, microUSD), Limit.maximumMicroUSDPerCall)
    }

    /// Tokens of prompt and answer together.
    public var totalTokens: Int64 { inputTokens + outputTokens }

    /// How much of `unit` this is, when it belongs to `requests` requests.
    func amount(of unit: LimitUnit, requests: Int64) -> Int64 {
        switch unit {
        case .requests, .concurrency: requests
        case .inputTokens: inputTokens
        case .outputTokens: outputTokens
        case .totalTokens: totalTokens
        case .microUSD: microUSD
        }
    }
}

/// May this request run? Asked once, before anything is sent upstream.
public struct ReserveCall: Sendable {
    /// The request's idempotency key: the same id never reserves twice, unless it was released between.
    public let id: Identifier128
    /// Which try of the id this is, by chance: what comes late of one try must not touch another's reservation.
    public let claim: UInt32
    /// Whom it is counted on.
    public let tenant: Tenant
    /// What it will probably use.
    public let estimate: QuotaUse
    /// How long the reservation lasts if nobody settles it: the request's deadline and 60 s.
    public let holdMilliseconds: Int64
    /// The limits that apply.
    public let limits: LimitSet
    /// How many requests it is for: more than one, or a `block` that parts use up.
    public let requests: Int64
    /// True when it is settled in parts (`PartCall`), false when once (`SettleCall`).
    public let isBlock: Bool

    /// The longest hold: a deadline of 600 s and a minute.
    public static let maximumHoldMilliseconds: Int64 = 660_000

    /// A question with its hold brought into 1 ms…`maximumHoldMilliseconds`.
    public init(
        id: Identifier128, claim: UInt32 = 0, tenant: Tenant, estimate: QuotaUse, holdMilliseconds: Int64,
        limits: LimitSet
    ) {
        self.id = id
        self.claim = claim
        self.tenant = tenant
        self.estimate = estimate
        self.holdMilliseconds = min(max(1, holdMilliseconds), Self.maximumHoldMilliseconds)
        self.limits = limits
        requests = 1
        isBlock = false
    }

    /// A block for up to `maximumBlock` requests, whose estimates together are `estimate`.
    public init(
        block id: Identifier128, of requests: Int64, tenant: Tenant, estimate: QuotaUse, holdMilliseconds: Int64,
        limits: LimitSet
    ) {
        self.id = id
        claim = 0
        self.tenant = tenant
        self.estimate = estimate
        self.holdMilliseconds = min(max(1, holdMilliseconds), Self.maximumHoldMilliseconds)
        self.limits = limits
        self.requests = min(max(1, requests), Self.maximumBlock)
        isBlock = true
    }

    /// The most requests of a block.
    public static let maximumBlock: Int64 = 4_096
}

/// May this request use more than it reserved? Asked while it runs, before it passes its reservation.
public struct ExtendCall: Sendable {
    /// The id under which it was reserved.
    public let id: Identifier128
    /// Its try of the id.
    public let claim: UInt32
    /// Whom it is counted on.
    public let tenant: Tenant
    /// What it will probably use now, all in all: asked twice, it counts once.
    public let estimate: QuotaUse
    /// The limits under which it was reserved.
    public let limits: LimitSet

    /// The question of a reserved request whose whole use will be about `estimate`.
    public init(of call: ReserveCall, to estimate: QuotaUse) {
        id = call.id
        claim = call.claim
        tenant = call.tenant
        self.estimate = estimate
        limits = call.limits
    }
}

/// What the request really used. Ends its reservation, once.
public struct SettleCall: Sendable {
    /// How a reserved request ended.
    public enum Ending: UInt8, Sendable {
        /// It runs on a block: this reservation takes nothing, and the id stays taken.
        case onBlock = 0
        /// It was sent upstream.
        case ran = 1
        /// Nothing was sent upstream: it takes nothing, and another try may reserve the id at once.
        case released = 2
        /// It was sent upstream, and nothing came of it that anybody bills: the same, but it is counted as a request.
        case failed = 3

        /// True when another try may reserve the id at once.
        var leavesIDFree: Bool { self == .released || self == .failed }
        /// True when it is counted as a request.
        public var countsRequest: Bool { self == .ran || self == .failed }
    }

    /// The id under which it was reserved.
    public let id: Identifier128
    /// Its try of the id.
    public let claim: UInt32
    /// Whom it is counted on.
    public let tenant: Tenant
    /// What it used.
    public let use: QuotaUse
    /// How it ended.
    public let ending: Ending
    /// The limits under which it was reserved.
    public let limits: LimitSet
    /// What a provider may bill, for the ledger; `use` is their sum when there are any.
    public let attempts: [LedgerEntry]

    /// The settlement of a request that used `use`, of which the ledger hears nothing.
    public init(of call: ReserveCall, use: QuotaUse) {
        self.init(id: call.id, claim: call.claim, tenant: call.tenant, use: use, ending: .ran, limits: call.limits)
    }

    /// The settlement of a request whose attempts a provider may bill: at most `maximumAttempts`, none when all failed before.
    public init(of call: ReserveCall, attempts: [LedgerEntry]) {
        precondition(attempts.count <= SettleCall.maximumAttempts, "a request has few attempts")
        var sums = UsageSums()
        for entry in attempts { sums.add(entry) }
        let use = QuotaUse(
            inputTokens: sums.tokens.input, outputTokens: sums.tokens.output, microUSD: sums.microUSD)
        self.init(
            id: call.id, claim: call.claim, tenant: call.tenant, use: use, ending: .ran, limits: call.limits,
            attempts: attempts)
    }

    /// The most attempts of one request, a bound for its settlement's time in Redis.
    public static let maximumAttempts = 16

    /// The settlement of a request that was reserved under `id`, for example one that was written down before a restart.
    public init(
        id: Identifier128, claim: UInt32, tenant: Tenant, use: QuotaUse, ending: Ending, limits: LimitSet,
        attempts: [LedgerEntry] = []
    ) {
        self.attempts = attempts
        self.id = id
        self.claim = claim
        self.tenant = tenant
        self.use = use
        self.ending = ending
        self.limits = limits
    }

    /// Gives a reservation back as if it had never been made: nothing was sent upstream, and the id is free.
    public static func release(of call: ReserveCall) -> SettleCall { nothing(of: call, .released) }

    /// Gives back what was reserved for a request of which nothing came: it counts as a request, and the id is free.
    public static func failure(of call: ReserveCall) -> SettleCall { nothing(of: call, .failed) }

    /// Gives back the reservation of a request that runs, or ran, on a block: its id stays taken.
    public static func leftOnBlock(_ call: ReserveCall) -> SettleCall { nothing(of: call, .onBlock) }

    private static func nothing(of call: ReserveCall, _ ending: Ending) -> SettleCall {
        SettleCall(
            id: call.id, claim: call.claim, tenant: call.tenant, use: .none, ending: ending, limits: call.limits)
    }
}
