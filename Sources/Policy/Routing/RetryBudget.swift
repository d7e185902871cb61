// How many attempts beyond the first all requests of a lane may make together: retries never feed an overload.
import Core

/// A tenth of an attempt for each request, and a floor for quiet times: three at once, and one more each second.
public struct RetryBudget: Sendable {
    /// Tenths of attempts that may be made.
    private var tenths: Int64 = 10 * RetryBudget.floor
    private var refilledAt: Instant?

    /// Attempts that may be made at once after quiet.
    public static let floor: Int64 = 3
    /// Attempts that can be saved up.
    public static let most: Int64 = 100

    /// The full floor.
    public init() {}

    /// A request came.
    public mutating func noteRequest() { tenths = min(tenths + 1, 10 * RetryBudget.most) }

    /// True when a further attempt may be made; it is counted.
    public mutating func take(at now: Instant) -> Bool {
        let seconds = refilledAt.map { (now - $0).nanoseconds / 1_000_000_000 } ?? RetryBudget.floor
        if seconds > 0 {
            tenths = max(tenths, min(tenths + 10 * seconds, 10 * RetryBudget.floor))
            refilledAt = now
        }
        guard tenths >= 10 else { return false }
        tenths -= 10
        return true
    }
}
