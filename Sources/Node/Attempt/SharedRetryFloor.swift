// The attempts that all lanes of a node may make in quiet times.
import Core
import Policy
import Synchronization

/// One number that the lanes share; touched only by attempts beyond the first for which a lane has saved nothing.
final class SharedRetryFloor: Sendable {
    private let due = Atomic<Int64>(0)

    /// True when a further attempt may be made; it is counted.
    func take(at now: Instant) -> Bool {
        var known = due.load(ordering: .relaxed)
        // Bounded: each round that is lost was won by another lane.
        for _ in 0..<64 {
            guard let next = RetryFloor.next(after: known, at: now) else { return false }
            let (isDone, found) = due.compareExchange(expected: known, desired: next, ordering: .relaxed)
            if isDone { return true }
            known = found
        }
        return false
    }
}
