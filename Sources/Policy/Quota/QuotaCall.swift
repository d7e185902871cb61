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
    /// The request's idempotency key: the same id never reserves twice.
    public let id: Identifier128
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
        id: Identifier128, tenant: Tenant, estimate: QuotaUse, holdMilliseconds: Int64, limits: LimitSet
    ) {
        self.id = id
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
    /// Whom it is counted on.
    public let tenant: Tenant
    /// What it will probably use now, all in all: asked twice, it counts once.
    public let estimate: QuotaUse
    /// The limits under which it was reserved.
    public let limits: LimitSet

    /// The question of a reserved request whose whole use will be about `estimate`.
    public init(of call: ReserveCall, to estimate: QuotaUse) {
        id = call.id
        tenant = call.tenant
        self.estimate = estimate
        limits = call.limits
    }
}

/// What the request really used. Ends its reservation, once.
public struct SettleCall: Sendable {
    /// The id under which it was reserved.
    public let id: Identifier128
    /// Whom it is counted on.
    public let tenant: Tenant
    /// What it used.
    public let use: QuotaUse
    /// False when nothing was sent upstream: then the request itself is not counted either.
    public let countsRequest: Bool
    /// The limits under which it was reserved.
    public let limits: LimitSet
    /// What a provider may bill, for the ledger; `use` is their sum when there are any.
    public let attempts: [LedgerEntry]

    /// The settlement of a request that used `use`, of which the ledger hears nothing.
    public init(of call: ReserveCall, use: QuotaUse) {
        self.init(id: call.id, tenant: call.tenant, use: use, countsRequest: true, limits: call.limits)
    }

    /// The settlement of a request whose attempts a provider may bill: at most `maximumAttempts`, none when all failed before.
    public init(of call: ReserveCall, attempts: [LedgerEntry]) {
        precondition(attempts.count <= SettleCall.maximumAttempts, "a request has few attempts")
        var sums = UsageSums()
        for entry in attempts { sums.add(entry) }
        let use = QuotaUse(
            inputTokens: sums.tokens.input, outputTokens: sums.tokens.output, microUSD: sums.microUSD)
        self.init(
            id: call.id, tenant: call.tenant, use: use, countsRequest: true, limits: call.limits, attempts: attempts)
    }

    /// The most attempts of one request, a bound for its settlement's time in Redis.
    public static let maximumAttempts = 16

    /// The settlement of a request that was reserved under `id`, for example one that was written down before a restart.
    public init(
        id: Identifier128, tenant: Tenant, use: QuotaUse, countsRequest: Bool, limits: LimitSet,
        attempts: [LedgerEntry] = []
    ) {
        self.attempts = attempts
        self.id = id
        self.tenant = tenant
        self.use = use
        self.countsRequest = countsRequest
        self.limits = limits
    }

    /// Gives a reservation back as if it had never been made: nothing was sent upstream.
    public static func release(of call: ReserveCall) -> SettleCall {
        SettleCall(id: call.id, tenant: call.tenant, use: .none, countsRequest: false, limits: call.limits)
    }
}
