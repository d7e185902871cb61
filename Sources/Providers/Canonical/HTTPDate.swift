// Dates in HTTP headers (RFC 9110, 5.6.7): the usual form and the two old ones that recipients must know.

enum HTTPDate {
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// Seconds since 1970; nil for what is no date. `nowSeconds` decides the century of a year with two digits.
    static func parse(_ text: String, nowSeconds: Int64) -> Int64? {
        let words = text.split(separator: " ")
        switch words.count {
        // Mon, 23 Nov 2026 09:00:30 GMT
        case 6 where words[5] == "GMT":
            guard words[3].utf8.count == 4, let year = number(words[3]) else { return nil }
            return seconds(year: year, month: words[2], day: words[1], clock: words[4])
        // Monday, 23-Nov-26 09:00:30 GMT
        case 4 where words[3] == "GMT":
            let date = words[1].split(separator: "-")
            guard date.count == 3, date[2].utf8.count == 2, let short = number(date[2]) else { return nil }
            // A date that seems more than 50 years ahead lies in the past.
            let thisYear = 1970 + nowSeconds / 31_556_952
            var year = thisYear / 100 * 100 + short
            if year > thisYear + 50 { year -= 100 }
            return seconds(year: year, month: date[1], day: date[0], clock: words[2])
        // Mon Nov 23 09:00:30 2026
        case 5:
            guard words[4].utf8.count == 4, let year = number(words[4]) else { return nil }
            return seconds(year: year, month: words[1], day: words[2], clock: words[3])
        default: return nil
        }
    }

    private static func number(_ text: Substring) -> Int64? {
        text.utf8.allSatisfy { $0 &- 0x30 < 10 } ? Int64(text) : nil
    }

    private static func seconds(year: Int64, month: Substring, day: Substring, clock: Substring) -> Int64? {
        let parts = clock.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, parts.allSatisfy({ $0.utf8.count == 2 }), let hour = number(parts[0]),
            let minute = number(parts[1]), let second = number(parts[2]), hour < 24, minute < 60, second <= 60,
            let index = months.firstIndex(of: String(month)), let day = number(day), (1...31).contains(day),
            (1970...9999).contains(year)
        else { return nil }
        // Days from civil (Howard Hinnant): years begin in March, so that the leap day comes last.
        let month = Int64(index)
        let shifted = year - (month < 2 ? 1 : 0)
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 1 ? -2 : 10)) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return days * 86_400 + hour * 3_600 + minute * 60 + second
    }
}
