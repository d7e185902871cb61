// A moment on the monotonic clock, in nanoseconds; always handed in, never read here.

/// A moment on a monotonic clock whose zero means nothing. Machines receive it as an argument, so that tests own time.
@frozen public struct Instant: Comparable, Hashable, Sendable {
    /// Nanoseconds since the clock's arbitrary zero.
    public var nanoseconds: Int64

    /// The moment `nanoseconds` after the clock's zero.
    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// A moment that never comes.
    public static let distantFuture = Instant(nanoseconds: .max)

    /// Earlier or later.
    @inlinable public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    /// The moment `duration` later; stays at `distantFuture` instead of overflowing.
    @inlinable public static func + (left: Instant, duration: Duration) -> Instant {
        let (sum, overflow) = left.nanoseconds.addingReportingOverflow(duration.nanoseconds)
        return overflow ? .distantFuture : Instant(nanoseconds: sum)
    }

    /// The moment `duration` earlier.
    @inlinable public static func - (left: Instant, duration: Duration) -> Instant {
        Instant(nanoseconds: left.nanoseconds &- duration.nanoseconds)
    }

    /// The time from `right` to `left`.
    @inlinable public static func - (left: Instant, right: Instant) -> Duration {
        .nanoseconds(left.nanoseconds &- right.nanoseconds)
    }
}

extension Duration {
    /// Whole nanoseconds, saturating at ±292 years.
    @inlinable public var nanoseconds: Int64 {
        // 10⁹ is 2⁹ × 1,953,125. Below an hour, where almost all durations are, that leaves one division of 64 bits instead of 128.
        if attoseconds >= 0, let short = Int64(exactly: attoseconds >> 9) { return short / 1_953_125 }
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return carry ? (seconds < 0 ? .min : .max) : sum
    }

    /// Whole milliseconds, rounded down.
    @inlinable public var milliseconds: Int64 { nanoseconds / 1_000_000 }
}
