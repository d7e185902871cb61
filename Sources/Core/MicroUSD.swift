// Money as an integer of millionths of a dollar.

/// An amount of money in micro-USD. Integers only, so that sums are exact; arithmetic saturates instead of wrapping.
public struct MicroUSD: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Millionths of a US dollar.
    public let amount: Int64

    /// `amount` millionths of a dollar.
    public init(_ amount: Int64) { self.amount = amount }

    /// Nothing.
    public static let zero = MicroUSD(0)

    /// Less or more.
    public static func < (left: MicroUSD, right: MicroUSD) -> Bool { left.amount < right.amount }

    /// The sum, saturating.
    public static func + (left: MicroUSD, right: MicroUSD) -> MicroUSD {
        let (sum, overflow) = left.amount.addingReportingOverflow(right.amount)
        return MicroUSD(overflow ? (left.amount < 0 ? .min : .max) : sum)
    }

    /// For example `$12.50` or `$0.000042`.
    public var description: String {
        let magnitude = amount.magnitude
        var fraction = String(magnitude % 1_000_000)
        fraction = String(repeating: "0", count: 6 - fraction.count) + fraction
        while fraction.count > 2, fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(amount < 0 ? "-" : "")$\(magnitude / 1_000_000).\(fraction)"
    }
}
