// How many requests a second a target finishes while others wait.
import Core

/// An average over about the last thirty ends, or five seconds. Says nothing about times in which nobody waited.
struct ServiceRate: Sendable {
    private var interval: Double?
    private var last: Instant?

    /// Ends a second; nil while nothing is known.
    var perSecond: Double? { interval.map { 1e9 / max($0, 1) } }

    /// A request ended while others waited.
    mutating func finished(at now: Instant) {
        defer { last = now }
        guard let last else { return }
        let passed = Double((now - last).nanoseconds)
        // Ends that come together count as one long interval shared: a plain average of intervals is the inverse of the rate.
        interval = interval.map { $0 + (passed - $0) / 30 } ?? passed
    }

    /// Nobody waits: the next interval would tell about demand instead of service.
    mutating func rest() { last = nil }
}
