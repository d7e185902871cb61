// Where fixed windows begin and end, in Redis' wall clock; calendar months included.

/// One fixed window of time, in microseconds since the Unix epoch, UTC.
struct Window: Equatable {
    /// Its first microsecond.
    let start: Int64
    /// The first microsecond after it.
    let end: Int64

    /// The window of `period` µs that holds `now`; a period of 0 is the calendar month.
    init(period: Int64, holding now: Int64) {
        guard period == 0 else {
            start = now - now % period
            end = start + period
            return
        }
        (start, end) = Self.month(holding: now)
    }

    /// The calendar month that holds `now`, by the civil calendar in days since 1970 with years that begin in March
    /// (so that the leap day is a year's last): the same steps as in the scripts.
    static func month(holding now: Int64) -> (start: Int64, end: Int64) {
        let day: Int64 = 86_400_000_000
        let shifted = now / day + 719_468  // days since 0000-03-01
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let year = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
        let month = (5 * dayOfYear + 2) / 153  // 0 is March
        let first = (153 * month + 2) / 5
        // The next month begins where its own first day lies; after February comes the 1st of March of the next year.
        let isLeap = (year + 1) % 4 == 0 && ((year + 1) % 100 != 0 || (year + 1) % 400 == 0)
        let next = month == 11 ? (isLeap ? 366 : 365) : (153 * (month + 1) + 2) / 5
        let start = (now / day - (dayOfYear - first)) * day
        return (start, start + (next - first) * day)
    }
}
