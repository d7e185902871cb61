// How a refusal says when to come again: each spelling that providers use, and one that nobody should believe.
import Core

/// A spelling of "come again later".
enum RetryForm: String, CaseIterable, Sendable {
    /// `retry-after` in whole seconds, rounded up, and `retry-after-ms`.
    case both
    /// `retry-after-ms` alone.
    case ms
    /// `retry-after` in seconds with a fraction.
    case seconds
    /// `retry-after` as a date of HTTP.
    case date
    /// Both headers, with delays that cannot be meant.
    case absurd

    /// The header lines, each ended by CR LF.
    func fields(_ wait: Duration, wallClockMicroseconds now: Int64) -> String {
        let milliseconds = wait.milliseconds
        return switch self {
        case .both: "retry-after: \((milliseconds + 999) / 1000)\r\nretry-after-ms: \(milliseconds)\r\n"
        case .ms: "retry-after-ms: \(milliseconds)\r\n"
        case .seconds: "retry-after: \(milliseconds / 1000).\(RetryForm.padded(milliseconds % 1000, 3))\r\n"
        case .date: "retry-after: \(RetryForm.date((now / 1_000 + milliseconds + 999) / 1_000))\r\n"
        case .absurd: "retry-after: -5\r\nretry-after-ms: 99999999999\r\n"
        }
    }

    /// `Mon, 23 Nov 2026 09:00:30 GMT`, from seconds since 1970.
    static func date(_ seconds: Int64) -> String {
        let (days, second) = (seconds / 86_400, seconds % 86_400)
        // Days since 1 March of the year 0, in eras of 400 years (H. Hinnant, "chrono-compatible low-level date algorithms").
        let shifted = days + 719_468
        let (era, day) = (shifted / 146_097, shifted % 146_097)
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * year + year / 4 - year / 100)
        let part = (5 * dayOfYear + 2) / 153
        let month = part < 10 ? part + 3 : part - 9
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][Int(days % 7)]
        let time = [second / 3_600, second / 60 % 60, second % 60].map { padded($0, 2) }.joined(separator: ":")
        let dayOfMonth = padded(dayOfYear - (153 * part + 2) / 5 + 1, 2)
        let fullYear = year + era * 400 + (month <= 2 ? 1 : 0)
        return "\(weekday), \(dayOfMonth) \(names[Int(month) - 1]) \(fullYear) \(time) GMT"
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let text = "\(number)"
        return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }
}
