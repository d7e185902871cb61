// How long what follows a whole answer is waited for: late usage, or the end mark.
import Core

/// The time between the last finish reason and the end of an answer whose end mark has not come.
struct AnswerGrace {
    private var settledAt: Int64 = -1
    private var hasUsage = false
    private(set) var ends = Instant.distantFuture

    /// For usage that is late: some servers count when they have answered.
    static let usageTime = Duration.seconds(5)
    /// For the end mark behind an answer and its usage.
    static let tailTime = Duration.seconds(1)

    /// True while it runs.
    var isRunning: Bool { settledAt >= 0 }

    /// Something came. A finish reason begins it, usage makes it shorter, a text behind it ends it; nothing else changes it.
    mutating func note(isSettled: Bool, at place: Int64, hasUsage: Bool, now: Instant) {
        guard isSettled else { return self = AnswerGrace() }
        let isNew = place != settledAt
        guard isNew || hasUsage != self.hasUsage else { return }
        let end = now + (hasUsage ? AnswerGrace.tailTime : AnswerGrace.usageTime)
        ends = isNew ? end : min(ends, end)
        (settledAt, self.hasUsage) = (place, hasUsage)
    }
}
