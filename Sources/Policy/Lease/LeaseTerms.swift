// How much of a set of limits a lane may take at once, and for how long, when it serves a hot tenant.
import Core

/// What blocks of quota look like under a set of limits. A block is an ordinary reservation for many requests: what it is spent on
/// was granted by the same script, so that no limit can be passed; its size and its life bound what lies unused meanwhile.
public struct LeaseTerms: Sendable {
    /// The most that one block takes of each unit that has limits: a twentieth of the smallest.
    private let most: [(unit: LimitUnit, amount: Int64)]
    /// Periods of the limits that count in windows, µs; 0 is the calendar month.
    private let windows: [Int64]

    /// The longest that a block may be spent, from the moment at which it was asked for: 2 s less a tenth, because clocks differ.
    public static let longestLife = Duration.milliseconds(1_800)
    /// A block that lives shorter is not worth its reservation.
    static let shortestLife = Duration.milliseconds(50)
    /// How long a block may be spent under these limits; windows may end it earlier.
    private let life: Duration

    /// For how long after its grant, in µs of Redis' clock, a token bucket that is full again after `burst` µs counts a block as not yet
    /// spent (reserve.lua): at most a fortieth of the burst is lost by that.
    static func span(ofBurst burst: Int64) -> Int64 { min(2_000_000, burst / 40) }

    /// A block for fewer requests is not worth its reservation.
    public static let fewest: Int64 = 4
    /// The most tokens of each kind in one block, so that it and each part of it can be counted exactly.
    static let mostTokens: Int64 = 1 << 20
    /// What a block may take of a limit: one of so many parts.
    static let share: Int64 = 20

    /// Nil when the limits cannot be leased: a sliding log counts each request at its own time, and a token bucket that is soon full
    /// again has no room to count a block late.
    public init?(_ limits: LimitSet) {
        var smallest: [LimitUnit: Int64] = [:]
        var windows: Set<Int64> = []
        var life = LeaseTerms.longestLife
        for (limit, rule) in zip(limits.limits, limits.layout.rules) {
            switch rule.kind {
            case .log: return nil
            case .budget where limit.isSoft: continue
            case .window, .counter, .budget: windows.insert(rule.numbers.b)
            case .bucket: life = min(life, .microseconds(LeaseTerms.span(ofBurst: rule.numbers.d) * 9 / 10))
            case .concurrency: break
            }
            let amount = min(limit.amount, limit.burst) / LeaseTerms.share
            smallest[limit.unit] = min(smallest[limit.unit] ?? amount, amount)
        }
        guard life >= LeaseTerms.shortestLife else { return nil }
        self.life = life
        most = smallest.map { ($0.key, $0.value) }
        self.windows = windows.sorted()
    }

    /// The size of a block for a tenant that makes `perSecond` requests which use about `each`: what it needs in the block's life, at most
    /// in a second, less where a limit is small; nil when that is too little.
    public func size(perSecond: Int64, each: QuotaUse) -> (requests: Int64, use: QuotaUse)? {
        var requests = min(perSecond * min(1_000, life.milliseconds) / 1_000, ReserveCall.maximumBlock)
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
        windows.reduce(life) { min($0, .microseconds(Window(period: $1, holding: now).end - now)) }
    }
}
