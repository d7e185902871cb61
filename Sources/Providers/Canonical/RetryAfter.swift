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

    /// Seconds since 1970 of an HTTP date in any of its three forms (RFC 9110, 5.6.7); nil for anything else.
    ///
    ///     Mon, 23 Nov 2026 09:00:30 GMT     Monday, 23-Nov-26 09:00:30 GMT     Mon Nov 23 09:00:30 2026
    static func httpDate(_ text: String) -> Int64? {
        let words = text.split { $0 == " " || $0 == "-" }.map(String.init)
        let isOldest = words.count == 5
        guard isOldest || words.count == 6 && words[5] == "GMT" else { return nil }
        let (dayWord, monthWord) = isOldest ? (words[2], words[1]) : (words[1], words[2])
        let (yearWord, clockWord) = isOldest ? (words[4], words[3]) : (words[3], words[4])
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard let day = Int64(dayWord), let month = months.firstIndex(of: monthWord), var year = Int64(yearWord) else {
            return nil
        }
        // Two digits mean this century: a delay never reaches back, nor more than two minutes ahead.
        if yearWord.utf8.count == 2 { year += 2000 }
        let clock = clockWord.split(separator: ":").compactMap { Int64($0) }
        guard clock.count == 3, (0...23).contains(clock[0]), (0...59).contains(clock[1]), (0...60).contains(clock[2]),
            (1...31).contains(day), (1970...9999).contains(year)
        else { return nil }
        return daysSince1970(year, Int64(month) + 1, day) * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]
    }

    /// Years begin in March here, so that the leap day comes last (Howard Hinnant, "days from civil").
    private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = year - (month < 3 ? 1 : 0)
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
