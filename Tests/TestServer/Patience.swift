// How long a test waits for a condition, on machines of any speed.
import Foundation

/// A limit for a condition that a test looks at again and again. It counts the pauses that the test asked for, not the time that went by: a machine
/// that is busy with other things makes a wait longer, and fails no test.
package struct Patience {
    private var left: Duration
    /// The end for a machine that hangs.
    private let end: ContinuousClock.Instant

    /// Enough for `seconds` on a machine that has nothing else to do.
    package init(seconds: Double) {
        left = .seconds(seconds)
        end = ContinuousClock.now + .seconds(max(60, 10 * seconds))
    }

    /// Counts a pause; false when there was enough of them.
    package mutating func lasts(_ pause: Duration) -> Bool {
        left -= pause
        return left > .zero && ContinuousClock.now < end
    }
}
