// What one lane saw of a target in the last ten seconds, and whether that is bad enough to stop asking it.
import Core

/// Outcomes of attempts in ten buckets of a second. Noting one costs a few integer operations and no memory.
public struct FailureWindow: Sendable {
    /// What an attempt says about its target. Refusals by the target's quota, faults of the request and cancels say nothing and are not noted.
    public enum Sample: Sendable {
        /// It answered.
        case success
        /// It failed: no connection, no TLS, 5xx, a broken stream, no first event in time.
        case failure
    }

    /// Fewer samples than this say nothing about a share of failures.
    public static let leastSamples = 20
    /// So many failures one after another are enough by themselves: a lane's budget of further attempts in quiet times covers few more.
    public static let rowLimit = 5

    private static let width: Int64 = 1_000_000_000
    private var successes: [10 of UInt32] = .init(repeating: 0)
    private var failures: [10 of UInt32] = .init(repeating: 0)
    /// The second, since the clock's zero, of the newest bucket.
    private var newest: Int64 = .min
    private var failuresInARow = 0

    /// A window that saw nothing.
    public init() {}

    /// Notes an outcome; true when the target should not be asked any more.
    public mutating func note(_ sample: Sample, at now: Instant) -> Bool {
        advance(to: now)
        // A sample that comes late counts in the newest bucket: the clock of a lane never goes back by more than a turn.
        let place = FailureWindow.place(of: newest)
        switch sample {
        case .success:
            successes[place] &+= 1
            failuresInARow = 0
            return false
        case .failure:
            failures[place] &+= 1
            failuresInARow += 1
        }
        let (good, bad) = counts
        return failuresInARow >= FailureWindow.rowLimit
            || (good + bad >= FailureWindow.leastSamples && bad >= good)
    }

    /// What it saw in the ten seconds before `now`.
    public mutating func counts(at now: Instant) -> (successes: Int, failures: Int) {
        advance(to: now)
        return counts
    }

    private var counts: (successes: Int, failures: Int) {
        var (good, bad) = (0, 0)
        for place in 0..<10 {
            good += Int(successes[place])
            bad += Int(failures[place])
        }
        return (good, bad)
    }

    private mutating func advance(to now: Instant) {
        let second = now.nanoseconds / FailureWindow.width
        guard second > newest else { return }
        if newest == .min || second - newest >= 10 {
            successes = .init(repeating: 0)
            failures = .init(repeating: 0)
        } else {
            for gone in newest + 1...second {
                successes[FailureWindow.place(of: gone)] = 0
                failures[FailureWindow.place(of: gone)] = 0
            }
        }
        newest = second
    }

    private static func place(of second: Int64) -> Int { Int(((second % 10) + 10) % 10) }
}
