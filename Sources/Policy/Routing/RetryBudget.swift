// How many attempts beyond the first all requests may make together: retries never feed an overload.
import Core

/// A tenth of an attempt for each request of a lane. Shares of this kind need no talk: the tenths of all lanes of all nodes are
/// together a tenth of the cluster's requests.
public struct RetryBudget: Sendable {
    /// Tenths of attempts that may be made.
    private var tenths: Int64 = 0

    /// Attempts that can be saved up.
    public static let most: Int64 = 100

    /// Nothing saved.
    public init() {}

    /// A request came.
    public mutating func noteRequest() { tenths = min(tenths + 1, 10 * RetryBudget.most) }

    /// True when a further attempt may be made; it is counted.
    public mutating func take() -> Bool {
        guard tenths >= 10 else { return false }
        tenths -= 10
        return true
    }
}

/// What may be tried again in quiet times, when a tenth of few requests is nothing: three attempts at once, and one more each second.
///
/// One number holds it all, so that the lanes of a node can share it without a lock.
public enum RetryFloor {
    /// Attempts that may be made at once after quiet.
    public static let burst: Int64 = 3
    /// An attempt comes back after this time.
    public static let interval = Duration.seconds(1)

    /// The number after one more attempt; nil when none may be made. `due` is the number before, 0 at the start.
    public static func next(after due: Int64, at now: Instant) -> Int64? {
        let start = max(due, now.nanoseconds)
        guard start - now.nanoseconds <= (burst - 1) * interval.nanoseconds else { return nil }
        return start + interval.nanoseconds
    }
}
