// A budget that refills with time, in one integer.

import Core

/// A leaky bucket as a moment: the time at which everything taken so far will have been earned (GCRA).
struct RateBudget {
    private var earned = Instant(nanoseconds: .min)

    /// Takes what costs `cost` of time; false when that would be more than `depth` ahead of now.
    mutating func take(_ cost: Int64, depth: Int64, at now: Instant) -> Bool {
        let start = max(earned, now)
        earned = Instant(nanoseconds: start.nanoseconds &+ cost)
        return earned.nanoseconds &- now.nanoseconds <= depth
    }
}
