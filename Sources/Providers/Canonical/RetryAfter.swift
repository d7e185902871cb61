// Every spelling of "come again later".

/// Reads the delay that a provider asks for.
enum RetryAfter {
    /// The longest delay that is believed; official clients stop at the same.
    static let longest = Duration.seconds(120)

    /// From `retry-after-ms`, then `retry-after` in seconds or as an HTTP date; nil when absent, negative or absurd.
    static func parse(milliseconds: String?, seconds: String?, wallClockMicroseconds: Int64) -> Duration? {
        if let milliseconds, let value = Double(milliseconds) { return believable(value / 1_000) }
        guard let seconds else { return nil }
        if let value = Double(seconds) { return believable(value) }
        guard let date = httpDate(seconds) else { return nil }
        return believable(Double(date) - Double(wallClockMicroseconds) / 1e6)
    }

    private static func believable(_ seconds: Double) -> Duration? {
        guard seconds > 0, seconds <= 120 else { return nil }
        return .milliseconds(Int64((seconds * 1_000).rounded(.up)))
    }

    /// Seconds since 1970 of `Mon, 23 Nov 2026 09:00:30 GMT` (RFC 9110, 5.6.7); nil for other forms.
    static func httpDate(_ text: String) -> Int64? {
        let words = text.split(separator: " ")
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard words.count == 6, words[5] == "GMT", let day = Int64(words[1]),
            let month = months.firstIndex(of: String(words[2])), let year = Int64(words[3])
        else { return nil }
        let clock = words[4].split(separator: ":").compactMap { Int64($0) }
        guard clock.count == 3, (1...31).contains(day), (1970...9999).contains(year) else { return nil }
        // Days from civil (Howard Hinnant): years begin in March, so that the leap day comes last.
        let shifted = year - (month < 2 ? 1 : 0)
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (Int64(month) + (month > 1 ? -2 : 10)) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return days * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]
    }
}
