// A value that several threads change, behind a lock that the thread sanitizer understands.

/// A value behind a mutex, for what is not on the data path of a node.
///
/// Not `Synchronization.Mutex`: the thread sanitizer does not see that one as a lock and reports each use of it as a race.
public final class Guarded<Value>: @unchecked Sendable {
    private let lock = ThreadLock()
    private var value: Value

    /// Guards a value that nobody else has.
    public init(_ value: sending Value) { self.value = value }

    /// Runs `body` while nobody else does. It must not wait for anything.
    public func withLock<R>(_ body: (inout Value) throws -> R) rethrows -> R {
        try lock.withLock { try body(&value) }
    }
}
