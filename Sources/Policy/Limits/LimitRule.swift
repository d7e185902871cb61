// A limit as the four integers with which the model and the scripts compute; all arithmetic on limits stands here.

/// The kind of arithmetic that a limit needs; the first byte of its entry in a script's plan.
public enum LimitKind: UInt8, Sendable, Hashable {
    /// Token bucket: numbers = whole µs per unit, remainder, divisor, burst in µs.
    case bucket = 1
    /// Fixed window, charged at once: numbers = amount, period in µs (0: calendar month).
    case window
    /// Sliding counter: numbers = amount, period in µs, tick in µs.
    case counter
    /// Sliding log: numbers = amount, period in µs.
    case log
    /// Concurrency: numbers = amount.
    case concurrency
    /// Money: numbers = amount, period in µs (0: calendar month), 1 when it only warns. Held first, spent at settlement.
    case budget
}

/// A limit in numbers. All results stay below 2⁵³, where a double is an exact integer; the scripts do the same steps.
public struct LimitRule: Sendable, Hashable {
    /// Its arithmetic.
    public let kind: LimitKind
    /// What it counts.
    public let unit: LimitUnit
    /// Its four integers, by kind.
    public let numbers: (a: Int64, b: Int64, c: Int64, d: Int64)

    init(_ limit: Limit) {
        unit = limit.unit
        let period: Int64 = if case .microseconds(let length) = limit.period { length } else { 0 }
        switch (limit.unit, limit.algorithm) {
        case (.concurrency, _):
            kind = .concurrency
            numbers = (limit.amount, 0, 0, 0)
        case (.microUSD, _):
            kind = .budget
            numbers = (limit.amount, period, limit.isSoft ? 1 : 0, 0)
        case (_, .tokenBucket):
            kind = .bucket
            let divisor = Self.greatestCommonDivisor(period, limit.amount)
            let (time, units) = (period / divisor, limit.amount / divisor)
            let refill = (Int128(limit.burst) * Int128(period) + Int128(limit.amount - 1)) / Int128(limit.amount)
            numbers = (time / units, time % units, units, Int64(refill))
        case (_, .fixedWindow):
            kind = .window
            numbers = (limit.amount, period, 0, 0)
        case (_, .slidingCounter):
            kind = .counter
            numbers = (limit.amount, period, max(1, period / Self.counterTicks), 0)
        case (_, .slidingWindow):
            kind = .log
            numbers = (limit.amount, period, 0, 0)
        }
    }

    /// Into how many steps a sliding counter cuts its period: the weight of the older window falls in these steps.
    public static let counterTicks: Int64 = 65_536

    /// Appends kind and unit (1 byte each) and the four integers as little-endian doubles, which hold them exactly.
    func append(to plan: inout [UInt8]) {
        plan += [kind.rawValue, unit.rawValue]
        for number in [numbers.a, numbers.b, numbers.c, numbers.d] {
            let bits = Double(number).bitPattern
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                plan.append(UInt8(truncatingIfNeeded: bits >> shift))
            }
        }
    }

    private static func greatestCommonDivisor(_ left: Int64, _ right: Int64) -> Int64 {
        var (larger, smaller) = (left, right)
        while smaller != 0 { (larger, smaller) = (smaller, larger % smaller) }
        return max(1, larger)
    }

    /// Equal kinds, units and numbers.
    public static func == (left: LimitRule, right: LimitRule) -> Bool {
        left.kind == right.kind && left.unit == right.unit && left.numbers == right.numbers
    }

    /// Hashes kind, unit and numbers.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(kind)
        hasher.combine(unit)
        hasher.combine(numbers.a)
        hasher.combine(numbers.b)
        hasher.combine(numbers.c)
        hasher.combine(numbers.d)
    }
}

extension LimitRule {
    /// The time that `cost` units take to refill in a token bucket, in µs, rounded up; at most 366 days.
    ///
    /// Exact: `cost ≤ 2²²` and the divisor is at most 2³⁰, so the product of the remainders is below 2⁵³.
    public func refill(_ cost: Int64) -> Int64 {
        let (whole, overflow) = cost.multipliedReportingOverflow(by: numbers.a)
        if overflow || whole >= Limit.maximumSpan { return Limit.maximumSpan }
        return min(Limit.maximumSpan, whole + (cost * numbers.b + numbers.c - 1) / numbers.c)
    }

    /// How many whole units `microseconds` of a token bucket are worth.
    func units(in microseconds: Int64) -> Int64 {
        let interval = Int128(numbers.a) * Int128(numbers.c) + Int128(numbers.b)
        return interval == 0 ? 0 : Int64(Int128(microseconds) * Int128(numbers.c) / interval)
    }

    /// What is left, in units of the limit, given the number that a reply carries (µs for a token bucket, else units).
    public func remaining(_ number: Int64) -> Int64 { kind == .bucket ? units(in: number) : number }
}
