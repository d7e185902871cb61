// How many repetitions all requests of a client may have together, so that an outage does not double its own load.
import Core

/// A store of permissions to repeat. Each request adds a share of one, time adds some more, each repetition takes one.
///
/// Repetitions are thus a tenth of the requests in the long run, and a client with few requests still has ten a second.
/// The shape is Finagle's; what feeds a metastable failure is the repetition that comes because the last one did.
public struct RetryBudget: Sendable, Equatable {
    /// Permissions that each request adds, in thousandths.
    public let thousandthsPerRequest: Int64
    /// Permissions that each second adds.
    public let perSecond: Int64
    /// Most that are kept; the store begins full.
    public let limit: Int64
    private var thousandths: Int64
    private var countedAt: Instant?

    /// A full store. `limit` 0 forbids every repetition.
    public init(thousandthsPerRequest: Int64 = 100, perSecond: Int64 = 10, limit: Int64 = 100) {
        precondition(
            (0...1_000).contains(thousandthsPerRequest) && (0...10_000).contains(perSecond)
                && (0...1_000_000).contains(limit), "a budget is a share up to 1, 10,000 a second, 1,000,000 in all")
        self.thousandthsPerRequest = thousandthsPerRequest
        self.perSecond = perSecond
        self.limit = limit
        thousandths = limit * 1_000
    }

    /// A request was made.
    mutating func earn() { thousandths = min(limit * 1_000, thousandths + thousandthsPerRequest) }

    /// True when a request may be repeated now; the permission is taken.
    mutating func spend(at now: Instant) -> Bool {
        let passed = countedAt.map { min(now - $0, .seconds(1_000)) } ?? .zero
        // Time is counted in whole milliseconds; the rest stays for the next call.
        let milliseconds = passed.milliseconds
        if milliseconds > 0 || countedAt == nil {
            countedAt = now
            thousandths = min(limit * 1_000, thousandths + milliseconds * perSecond)
        }
        guard thousandths >= 1_000 else { return false }
        thousandths -= 1_000
        return true
    }
}
