// Lets straight-line work on a lane wait for a callback of the same lane.
import Core

/// A place where one piece of async work waits until something on its lane opens it. Confined to its lane: no lock, no hop.
///
/// It closes again behind whoever passed. The waiter looks at its own state after `wait`, which may return early:
///
///     while reply == nil { await latch.wait() }
@safe public final class Latch: @unchecked Sendable {
    private var waiter: UnsafeContinuation<Void, Never>?
    private var isOpen = false

    /// A closed latch.
    public init() {}

    /// Returns when the latch was opened since the last `wait`.
    ///
    /// - Precondition: nobody else waits.
    public func wait() async {
        if isOpen {
            isOpen = false
            return
        }
        unsafe precondition(waiter == nil, "one waiter at a time")
        // Safe: `open` takes the continuation out before it resumes it, so it is resumed once; the owner opens the latch on every path.
        unsafe await withUnsafeContinuation { unsafe waiter = $0 }
    }

    /// Lets the waiter go on in this turn of the lane, or the next `wait` pass.
    public func open() {
        guard let waiter = unsafe waiter else {
            isOpen = true
            return
        }
        unsafe self.waiter = nil
        unsafe waiter.resume()
    }
}
