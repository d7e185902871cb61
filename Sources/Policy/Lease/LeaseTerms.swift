// How much of a set of limits a lane may take at once, and for how long, when it serves a hot tenant.

/// What blocks of quota look like under a set of limits. A block is an ordinary reservation for many requests: what it is spent on
/// was granted by the same script, so that no limit can be passed; its size and its life bound what lies unused meanwhile.
public struct LeaseTerms: Sendable {
    /// The most that one block takes of each unit that has limits: a twentieth of the smallest.
    private let most: [(unit: LimitUnit, amount: Int64)]
    /// Periods of the limits that count in windows, µs; 0 is the calendar month.
    private let windows: [Int64]

    /// How long a block may be spent, from the moment at which it was asked for: 2 s less a tenth, because clocks differ.
    public static let life = Duration.milliseconds(1_800)
    /// The same by Redis' clock, in µs, from the moment at which it is granted: for token buckets (reserve.lua).
    static let span: Int64 = 2_000_000
    /// A block for fewer requests is not worth its reservation.
    public static let fewest: Int64 = 4
    /// The most tokens of each kind in one block, so that it and each part of it can be counted exactly.
    static let mostTokens: Int64 = 1 << 20
    /// What a block may take of a limit: one of so many parts.
    static let share: Int64 = 20

    /// Nil when the limits cannot be leased: a sliding log counts each request at its own time, and a token bucket that is full again
    /// within two lives of a block has no room to count one late.
    public init?(_ limits: LimitSet) {
        var smallest: [LimitUnit: Int64] = [:]
        var windows: Set<Int64> = []
        for (limit, rule) in zip(limits.limits, limits.layout.rules) {
            switch rule.kind {
            case .log: return nil
            case .budget where limit.isSoft: continue
            case .window, .counter, .budget: windows.insert(rule.numbers.b)
            case .bucket: if rule.numbers.d <= 2 * LeaseTerms.span { return nil }
            case .concurrency: break
            }
            let amount = min(limit.amount, limit.burst) / LeaseTerms.share
            smallest[limit.unit] = min(smallest[limit.unit] ?? amount, amount)
        }
        most = smallest.map { ($0.key, $0.value) }
        self.windows = windows.sorted()
    }

    /// The size of a block for a tenant that makes `perSecond` requests which use about `each`: what a second needs, less where a limit
    /// is small; nil when that is too little.
    public func size(perSecond: Int64, each: QuotaUse) -> (requests: Int64, use: QuotaUse)? {
        var requests = min(perSecond, ReserveCall.maximumBlock)
        for (unit, amount) in most {
            let one = each.amount(of: unit, requests: 1)
            if one > 0 { requests = min(requests, amount / one) }
        }
        requests = min(requests, LeaseTerms.mostTokens / max(1, each.inputTokens, each.outputTokens))
        requests = min(requests, Limit.maximumMicroUSDPerCall / max(1, each.microUSD))
        guard requests >= LeaseTerms.fewest else { return nil }
        let use = QuotaUse(
            inputTokens: each.inputTokens * requests, outputTokens: each.outputTokens * requests,
            microUSD: each.microUSD * requests)
        return (requests, use)
    }

    /// How long a block that Redis granted at `now` (its clock, µs) may be spent: never beyond the window that it was counted in.
    public func life(grantedAt now: Int64) -> Duration {
        windows.reduce(LeaseTerms.life) { min($0, .microseconds(Window(period: $1, holding: now).end - now)) }
    }
}
