// Every spelling of "come again later".

/// Reads the delay that a provider asks for.
enum RetryAfter {
    /// The longest delay that is passed on, in seconds; official clients stop at the same. A longer one counts as this.
    static let longest = 120.0
    /// A day: what is longer is no delay, but perhaps a point in time.
    private static let absurd = 86_400.0

    /// From `retry-after-ms`, else `retry-after` in seconds or as an HTTP date. What is absent, malformed, past or absurd counts as not said.
    static func parse(milliseconds: String?, seconds: String?, wallClockMicroseconds: Int64) -> Duration? {
        if let delay = milliseconds.flatMap(decimal).flatMap({ believable($0 / 1_000) }) { return delay }
        guard let seconds else { return nil }
        if let value = decimal(seconds) { return believable(value) }
        let now = wallClockMicroseconds / 1_000_000
        guard let date = HTTPDate.parse(seconds, nowSeconds: now) else { return nil }
        return believable(Double(date) - Double(wallClockMicroseconds) / 1e6)
    }

    private static func believable(_ seconds: Double) -> Duration? {
        guard seconds > 0, seconds <= absurd else { return nil }
        return .milliseconds(Int64((min(seconds, longest) * 1_000).rounded(.up)))
    }

    /// Digits with at most one fraction; none of the other forms that a floating point number has.
    private static func decimal(_ text: String) -> Double? {
        guard text.utf8.count <= 20, text.utf8.allSatisfy({ $0 &- 0x30 < 10 || $0 == UInt8(ascii: ".") }) else {
            return nil
        }
        return Double(text)
    }
}
