// Values with units, as people write them: durations, sizes, amounts, money, references to secrets.

/// Why a value cannot be understood: what was expected, in words.
public struct ValueProblem: Error, Equatable, Sendable {
    /// For example `expected a duration such as 30s, found 'abc'`.
    public let message: String

    /// A problem in words.
    public init(_ message: String) { self.message = message }
}

/// Where a secret is kept; the configuration itself never holds one.
public enum SecretReference: Hashable, Sendable, CustomStringConvertible {
    /// An environment variable.
    case environment(String)
    /// A file; its content without the last line feed.
    case file(String)

    /// The form in which it is written.
    public var description: String {
        switch self {
        case .environment(let name): "env:\(name)"
        case .file(let path): "file:\(path)"
        }
    }
}

/// Reads values. Every function names what it expected when it fails.
public enum ConfigurationValue {
    /// `50ms`, `30s`, `10m`, `1h`, `2d`.
    public static func duration(_ text: String) throws(ValueProblem) -> Duration {
        let units: [(String, Int64)] = [
            ("ms", 1_000_000), ("us", 1_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
            ("d", 86_400_000_000_000),
        ]
        for (suffix, nanoseconds) in units where text.hasSuffix(suffix) {
            guard let number = Int64(text.dropLast(suffix.count)), number >= 0 else { continue }
            let (product, overflow) = number.multipliedReportingOverflow(by: nanoseconds)
            if !overflow { return .nanoseconds(product) }
        }
        throw ValueProblem("expected a duration such as 50ms, 30s or 10m, found '\(text)'")
    }

    /// `512`, `64KiB`, `1MiB`, `2GiB`.
    public static func bytes(_ text: String) throws(ValueProblem) -> Int {
        for (suffix, factor) in [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)]
        where text.hasSuffix(suffix) {
            guard let number = Int(text.dropLast(suffix.count)), number >= 0 else { continue }
            let (product, overflow) = number.multipliedReportingOverflow(by: factor)
            if !overflow { return product }
        }
        throw ValueProblem("expected a size such as 64KiB or 1MiB, found '\(text)'")
    }

    /// A whole number within `range`.
    public static func integer(_ text: String, in range: ClosedRange<Int>) throws(ValueProblem) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw ValueProblem("expected a number from \(range.lowerBound) to \(range.upperBound), found '\(text)'")
        }
        return number
    }

    /// `600`, `20k`, `2M`, `1G`, with at most nine decimals before the factor.
    public static func count(_ text: String) throws(ValueProblem) -> Int64 {
        let factors: [(Character, Int)] = [("k", 3), ("M", 6), ("G", 9)]
        let factor = factors.first { $0.0 == text.last }
        if let value = decimal(factor == nil ? text : String(text.dropLast()), scale: factor?.1 ?? 0) { return value }
        throw ValueProblem("expected a count such as 600, 20k or 2M, found '\(text)'")
    }

    /// `$500`, `$0.10`: micro-USD.
    public static func money(_ text: String) throws(ValueProblem) -> MicroUSD {
        if text.hasPrefix("$"), let amount = decimal(String(text.dropFirst()), scale: 6) { return MicroUSD(amount) }
        throw ValueProblem("expected an amount such as $500 or $0.10, found '\(text)'")
    }

    /// A decimal number times 10 to the power of `scale`, exactly; nil when digits would be lost.
    public static func decimal(_ text: String, scale: Int) -> Int64? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, !whole.isEmpty, parts.allSatisfy({ $0.allSatisfy(\.isASCIIDigit) }) else {
            return nil
        }
        var fraction = parts.count == 2 ? parts[1] : ""
        guard parts.count == 1 || !fraction.isEmpty else { return nil }
        while fraction.count > scale, fraction.last == "0" { fraction.removeLast() }
        guard fraction.count <= scale else { return nil }
        return Int64(whole + fraction + String(repeating: "0", count: scale - fraction.count))
    }

    /// `yes` or `no`.
    public static func flag(_ text: String) throws(ValueProblem) -> Bool {
        switch text {
        case "yes": return true
        case "no": return false
        default: throw ValueProblem("expected yes or no, found '\(text)'")
        }
    }

    /// `env:NAME` or `file:path`.
    public static func secret(_ text: String) throws(ValueProblem) -> SecretReference {
        if text.hasPrefix("env:"), text.count > 4 { return .environment(String(text.dropFirst(4))) }
        if text.hasPrefix("file:"), text.count > 5 { return .file(String(text.dropFirst(5))) }
        throw ValueProblem("expected env:NAME or file:path; a secret is never written here itself")
    }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}
