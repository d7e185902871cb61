// Dates as people write them, in UTC: 2026-12-31 or 2026-12-31T18:00:00Z, and back.

/// A moment of the civil calendar.
enum UTCDate {
    /// Seconds since 1970 of `YYYY-MM-DD` (its first second) or `YYYY-MM-DDTHH:MM:SSZ`; nil when it is no such date.
    static func seconds(_ text: String) -> Int64? {
        let form = text.utf8.count == 10 ? "0000-00-00" : "0000-00-00T00:00:00Z"
        guard text.utf8.count == form.utf8.count,
            zip(text.utf8, form.utf8).allSatisfy({ $1 == 0x30 ? $0 &- 0x30 < 10 : $0 == $1 })
        else { return nil }
        let numbers = text.split(whereSeparator: { !$0.isNumber }).compactMap { Int64($0) }
        let (year, month, day) = (numbers[0], numbers[1], numbers[2])
        let (hour, minute, second) = numbers.count == 6 ? (numbers[3], numbers[4], numbers[5]) : (0, 0, 0)
        guard year >= 1970, (1...12).contains(month), day >= 1, hour < 24, minute < 60, second < 60 else { return nil }
        let days = dayNumber(year, month, day)
        // The 31st of June would be another day.
        guard civil(days) == (year, month, day) else { return nil }
        return ((days * 24 + hour) * 60 + minute) * 60 + second
    }

    /// `2026-12-31 18:00:00Z`.
    static func text(_ seconds: Int64) -> String {
        let (year, month, day) = civil(seconds / 86_400)
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let rest = seconds % 86_400
        return "\(year)-\(two(month))-\(two(day)) \(two(rest / 3_600)):\(two(rest / 60 % 60)):\(two(rest % 60))Z"
    }

    /// Days since 1970, by years that begin in March so that the leap day is the last.
    private static func dayNumber(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month > 2 ? year : year - 1
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(_ days: Int64) -> (Int64, Int64, Int64) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let year = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
        let month = (5 * dayOfYear + 2) / 153
        let civilMonth = month < 10 ? month + 3 : month - 9
        return (year + era * 400 + (civilMonth <= 2 ? 1 : 0), civilMonth, dayOfYear - (153 * month + 2) / 5 + 1)
    }
}
