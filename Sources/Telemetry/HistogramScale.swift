// The fixed ranges that a histogram counts in: fine log-linear ones for percentiles, a few round ones for Prometheus.

/// The ranges of a histogram. Values below 32 are counted one by one; above, each power of two is cut into 32 equal
/// ranges, so a range is never wider than 1/32 of its lower end. Round boundaries are counted beside them, exactly.
public final class HistogramScale: Sendable {
    /// Ranges per power of two, as a power of two.
    @usableFromInline static let precisionBits = 5
    /// 2⁴³ ns are 2.4 hours; longer values are counted in the last range and keep their exact share of the sum.
    @usableFromInline static let largestValue: Int64 = (1 << 43) - 1
    /// 38 shifts of 32 ranges, and the 32 single values below.
    static let rangeCount = index(of: largestValue) + 1

    /// How recorded integers are shown.
    public enum Unit: Sendable {
        /// Recorded in nanoseconds, shown in seconds.
        case seconds
        /// Recorded and shown as they are.
        case count
    }

    let unit: Unit
    /// Inclusive upper ends (`le`) in recorded units, ascending, with an end that nothing exceeds at the last place.
    @usableFromInline let bounds: [Int64]
    /// For each fine range, the first boundary that is not below its lower end.
    @usableFromInline let firstBoundary: [UInt8]

    /// A scale with Prometheus boundaries at `bounds`.
    ///
    /// - Precondition: at most 100 ascending boundaries, at least 1/16 apart, so that no fine range holds two.
    public init(unit: Unit, bounds: [Int64]) {
        precondition(bounds.count <= 100 && !bounds.isEmpty, "a histogram has between 1 and 100 boundaries")
        for (low, high) in zip(bounds, bounds.dropFirst()) {
            precondition(low > 0 && high - low >= max(1, low / 16), "boundaries ascend by at least a sixteenth")
        }
        self.unit = unit
        self.bounds = bounds + [.max]
        firstBoundary = (0..<HistogramScale.rangeCount).map { range in
            let low = HistogramScale.lowerEnd(of: range)
            return UInt8(bounds.firstIndex { $0 >= low } ?? bounds.count)
        }
    }

    /// The fine range that counts `value` (0…`largestValue`).
    @inlinable static func index(of value: Int64) -> Int {
        guard value >= 1 << precisionBits else { return Int(value) }
        let shift = 63 - precisionBits - value.leadingZeroBitCount
        return shift << precisionBits + Int(value >> Int64(shift))
    }

    /// The smallest value that a fine range counts.
    static func lowerEnd(of range: Int) -> Int64 {
        guard range >= 2 << precisionBits else { return Int64(range) }
        let shift = range >> precisionBits - 1
        return Int64(range - shift << precisionBits) << Int64(shift)
    }

    /// How many different values a fine range counts.
    static func width(of range: Int) -> Int64 {
        range < 2 << precisionBits ? 1 : 1 << Int64(range >> precisionBits - 1)
    }

    /// Durations from 100 µs to 120 s: a gateway's own share at the low end, a long answer at the high end.
    public static let duration = HistogramScale(
        unit: .seconds,
        bounds: [
            100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
            250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000,
            60_000_000_000, 120_000_000_000,
        ])

    /// Numbers of LLM tokens, in the powers of four that OpenTelemetry advises for `gen_ai.client.token.usage`.
    public static let tokenUsage = HistogramScale(
        unit: .count, bounds: (0..<14).map { 1 << Int64(2 * $0) })

    /// Sizes in bytes from 64 B to 16 MiB.
    public static let bytes = HistogramScale(unit: .count, bounds: (3..<13).map { 1 << Int64(2 * $0) })
}
