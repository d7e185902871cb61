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
    /// `50ms`, `30s`, `10m`, `1h`, `2d`; also `250us`. Without a sign, a blank or a fraction.
    public static func duration(_ text: String) throws(ValueProblem) -> Duration {
        let units: [(String, Int64)] = [
            ("ms", 1_000_000), ("us", 1_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
            ("d", 86_400_000_000_000),
        ]
        for (suffix, nanoseconds) in units where text.hasSuffix(suffix) {
            guard let number = whole(text.dropLast(suffix.count)) else { continue }
            let (product, overflow) = number.multipliedReportingOverflow(by: nanoseconds)
            if !overflow { return .nanoseconds(product) }
        }
        throw ValueProblem("expected a duration such as 50ms, 30s or 10m, found '\(text)'")
    }

    /// A duration within `range`.
    public static func duration(_ text: String, in range: ClosedRange<Duration>) throws(ValueProblem) -> Duration {
        let duration = try duration(text)
        guard range.contains(duration) else {
            throw ValueProblem(
                "expected a duration from \(words(range.lowerBound)) to \(words(range.upperBound)), found '\(text)'")
        }
        return duration
    }

    /// The shortest form that `duration` reads back, down to whole microseconds: `90s` is `90s`, not `1m30s`.
    public static func words(_ duration: Duration) -> String {
        let nanoseconds = duration.nanoseconds
        let units: [(String, Int64)] = [
            ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
            ("ms", 1_000_000),
        ]
        for (suffix, unit) in units where nanoseconds >= unit && nanoseconds % unit == 0 {
            return "\(nanoseconds / unit)\(suffix)"
        }
        return nanoseconds == 0 ? "0s" : "\(nanoseconds / 1_000)us"
    }

    /// A whole number within `range`.
    public static func integer(_ text: String, in range: ClosedRange<Int>) throws(ValueProblem) -> Int {
        guard let number = whole(text[...]), let value = Int(exactly: number), range.contains(value) else {
            throw ValueProblem("expected a number from \(range.lowerBound) to \(range.upperBound), found '\(text)'")
        }
        return value
    }

    /// `64KiB`, `1MiB`, `512B`, within `range`.
    public static func bytes(_ text: String, in range: ClosedRange<Int>) throws(ValueProblem) -> Int {
        for (suffix, factor) in [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)]
        where text.hasSuffix(suffix) {
            guard let number = whole(text.dropLast(suffix.count)), let count = Int(exactly: number) else { continue }
            let (bytes, overflow) = count.multipliedReportingOverflow(by: factor)
            if !overflow, range.contains(bytes) { return bytes }
        }
        let (least, most) = (words(bytes: range.lowerBound), words(bytes: range.upperBound))
        throw ValueProblem("expected a size from \(least) to \(most), such as 64KiB or 1MiB, found '\(text)'")
    }

    /// The shortest form that `bytes` reads back.
    public static func words(bytes: Int) -> String {
        for (suffix, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        where bytes >= factor && bytes % factor == 0 {
            return "\(bytes / factor)\(suffix)"
        }
        return "\(bytes)B"
    }

    /// Digits and nothing else.
    private static func whole(_ text: Substring) -> Int64? {
        text.utf8.allSatisfy { $0 &- 0x30 < 10 } ? Int64(text) : nil
    }

    /// One of `words`.
    public static func choice(_ text: String, of words: [String]) throws(ValueProblem) -> String {
        if words.contains(text) { return text }
        throw ValueProblem("expected \(choice(of: words)), found '\(text)'")
    }

    /// `a, b or c`.
    public static func choice(of words: [String]) -> String {
        let last = words.last ?? ""
        return words.count > 1 ? "\(words.dropLast().joined(separator: ", ")) or \(last)" : last
    }

    /// `600`, `20k`, `2M`, `1G`, with at most nine decimals before the factor.
    public static func count(_ text: String) throws(ValueProblem) -> Int64 {
        let factors: [(Character, Int)] = [("k", 3), ("M", 6), ("G", 9)]
        let factor = factors.first { $0.0 == text.last }
        if let value = decimal(factor == nil ? text : String(text.dropLast()), scale: factor?.1 ?? 0) { return value }
        throw ValueProblem("expected a count such as 600, 20k or 2M, found '\(text)'")
    }

    /// The shortest form that `count` reads back.
    public static func words(count: Int64) -> String {
        for (suffix, factor) in [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)] as [(String, Int64)]
        where count >= factor && count % factor == 0 {
            return "\(count / factor)\(suffix)"
        }
        return "\(count)"
    }

    /// `$500`, `$0.10`: micro-USD.
    public static func money(_ text: String) throws(ValueProblem) -> MicroUSD {
        if text.hasPrefix("$"), let amount = decimal(String(text.dropFirst()), scale: 6) { return MicroUSD(amount) }
        throw ValueProblem("expected an amount such as $500 or $0.10, found '\(text)'")
    }

    /// A decimal number times 10 to the power of `scale`, exactly; nil when digits would be lost.
    public static func decimal(_ text: String, scale: Int) -> Int64? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, !whole.isEmpty, parts.allSatisfy({ $0.utf8.allSatisfy { $0 &- 0x30 < 10 } })
        else { return nil }
        var fraction = parts.count == 2 ? parts[1] : ""
        guard parts.count == 1 || !fraction.isEmpty else { return nil }
        while fraction.count > scale, fraction.last == "0" { fraction.removeLast() }
        guard fraction.count <= scale else { return nil }
        return Int64(whole + fraction + String(repeating: "0", count: scale - fraction.count))
    }

    /// `yes` or `no`.
    public static func flag(_ text: String) throws(ValueProblem) -> Bool {
        try choice(text, of: ["yes", "no"]) == "yes"
    }

    /// `env:NAME` or `file:path`.
    public static func secret(_ text: String) throws(ValueProblem) -> SecretReference {
        if text.hasPrefix("env:"), text.count > 4 { return .environment(String(text.dropFirst(4))) }
        if text.hasPrefix("file:"), text.count > 5 { return .file(String(text.dropFirst(5))) }
        throw ValueProblem("expected env:NAME or file:path; a secret is never written here itself")
    }
}
