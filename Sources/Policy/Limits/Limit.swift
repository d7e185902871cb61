// One limit: so much of one unit, over one scope, in one period, counted by one algorithm.

/// Why a limit cannot exist as written.
public enum LimitProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// The amount is outside of what can be counted exactly.
    case amountOutOfRange(Int64, allowed: ClosedRange<Int64>)
    /// The period is shorter or longer than what can be counted exactly.
    case periodOutOfRange(Int64)
    /// The burst is below one or would take longer than a year to refill.
    case burstOutOfRange(Int64)
    /// The algorithm cannot count this unit or this period.
    case unsupported(LimitAlgorithm, LimitUnit)
    /// Only budgets warn or are soft.
    case notMoney(LimitUnit)
    /// Thresholds of warnings are percents from 1 to 100, rising, four at most.
    case thresholds([UInt8])
    /// Two limits of one set would share their counters.
    case repeated(LimitScope, LimitUnit)
    /// More limits than one decision may check.
    case tooMany(Int)

    /// A sentence for the person who wrote the limit.
    public var description: String {
        switch self {
        case .amountOutOfRange(let amount, let allowed):
            "amount \(amount) is outside of \(allowed.lowerBound)…\(allowed.upperBound)"
        case .periodOutOfRange(let microseconds):
            "a period of \(microseconds) µs is outside of 1 ms…366 days"
        case .burstOutOfRange(let burst):
            "a burst of \(burst) is below 1 or would take more than 366 days to refill"
        case .unsupported(let algorithm, let unit):
            "\(algorithm) cannot count \(unit): money takes a fixed window, a calendar month takes a fixed window"
        case .notMoney(let unit): "a limit on \(unit) cannot warn or be soft: only money can"
        case .thresholds(let percents):
            "warnings at \(percents) percent: expected at most four numbers from 1 to 100, each above the one before"
        case .repeated(let scope, let unit):
            "two limits on \(unit) of the \(scope) have the same algorithm and period"
        case .tooMany(let count):
            "\(count) limits on one request; at most \(LimitSet.maximumCount) are checked together"
        }
    }
}

/// So much of one unit, over one scope, in one period. Checked when made: an existing limit can be enforced exactly.
public struct Limit: Hashable, Sendable {
    /// Over whom it counts.
    public let scope: LimitScope
    /// What it counts.
    public let unit: LimitUnit
    /// How much is allowed in a period; for concurrency, at the same moment.
    public let amount: Int64
    /// The period; without meaning for concurrency.
    public let period: LimitPeriod
    /// How it counts; without meaning for concurrency.
    public let algorithm: LimitAlgorithm
    /// How much may come at once (token bucket only; elsewhere equal to `amount`).
    public let burst: Int64
    /// True for a budget that only warns: it never refuses a request.
    public let isSoft: Bool
    /// At how many percent of the amount a budget warns, rising; empty for everything else.
    public let warnings: [UInt8]

    /// When a budget warns that says nothing about it: near its end, and at it.
    public static let usualWarnings: [UInt8] = [80, 100]

    /// The longest time that any limit reaches, in microseconds: 366 days.
    public static let maximumSpan: Int64 = 366 * 86_400_000_000
    /// The most that one request may cost in tokens: larger counts are taken as this one. 2²², and amounts stop at 2³⁰: products stay below 2⁵³.
    public static let maximumTokensPerCall: Int64 = 1 << 22
    /// The most that one request may cost in micro-USD: 2⁴⁷, about 140 million dollars.
    public static let maximumMicroUSDPerCall: Int64 = 1 << 47

    /// A limit that can be enforced exactly.
    ///
    /// - Throws: `LimitProblem` when the numbers leave the range in which Redis' numbers (doubles) are exact integers, or when the
    ///   algorithm does not fit the unit.
    public init(
        scope: LimitScope, unit: LimitUnit, amount: Int64, period: LimitPeriod = .minute,
        algorithm: LimitAlgorithm = .tokenBucket, burst: Int64? = nil, isSoft: Bool = false, warnings: [UInt8]? = nil
    ) throws(LimitProblem) {
        let most: Int64 = unit == .microUSD ? 1 << 50 : 1 << 30
        guard amount >= 1, amount <= most else { throw .amountOutOfRange(amount, allowed: 1...most) }
        self.scope = scope
        self.unit = unit
        self.amount = amount
        self.burst = burst ?? amount
        self.isSoft = isSoft
        self.warnings = try Self.warnings(warnings, of: unit, isSoft: isSoft)
        guard unit != .concurrency else {
            self.period = .minute
            self.algorithm = .fixedWindow
            return
        }
        self.period = period
        self.algorithm = algorithm
        if unit == .microUSD && algorithm != .fixedWindow { throw .unsupported(algorithm, unit) }
        switch period {
        case .calendarMonth:
            guard algorithm == .fixedWindow else { throw .unsupported(algorithm, unit) }
        case .microseconds(let microseconds):
            guard microseconds >= 1000, microseconds <= Self.maximumSpan else { throw .periodOutOfRange(microseconds) }
            guard algorithm == .tokenBucket else { return }
            let refill = Int128(self.burst) * Int128(microseconds) / Int128(amount)
            guard self.burst >= 1, refill < Int128(Self.maximumSpan) else { throw .burstOutOfRange(self.burst) }
        }
    }

    private static func warnings(
        _ percents: [UInt8]?, of unit: LimitUnit, isSoft: Bool
    ) throws(LimitProblem) -> [UInt8] {
        guard unit == .microUSD else {
            if isSoft || percents != nil { throw .notMoney(unit) }
            return []
        }
        let percents = percents ?? usualWarnings
        guard percents.count <= 4, percents.allSatisfy({ (1...100).contains($0) }),
            zip(percents, percents.dropFirst()).allSatisfy(<)
        else { throw .thresholds(percents) }
        return percents
    }

    /// A limit on requests under way at the same moment.
    public static func concurrency(_ amount: Int64, scope: LimitScope) throws(LimitProblem) -> Limit {
        try Limit(scope: scope, unit: .concurrency, amount: amount)
    }

    /// True when its use is held back by running requests and given back at their end: concurrency and money.
    public var isHeld: Bool { unit == .concurrency || unit == .microUSD }
}
