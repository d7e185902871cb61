// What other threads leave for a lane: closures and jobs behind a lock that the data path never takes.
import CLinux
import Glibc

/// A mutex without Swift's lock type, whose use the thread sanitizer misreads.
@safe final class ThreadLock: @unchecked Sendable {
    // Safe: the mutex lives as long as this object and never moves.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        unsafe mutex = .allocate(capacity: 1)
        unsafe mutex.initialize(to: pthread_mutex_t())
        unsafe pthread_mutex_init(mutex, nil)
    }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deallocate()
    }

    func withLock<R>(_ body: () throws -> R) rethrows -> R {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try body()
    }
}

/// Work that arrives from other threads.
@safe final class Inbox: @unchecked Sendable {
    enum Item {
        case closure(@Sendable () -> Void)
        case job(UnownedJob)
    }

    private let lock = ThreadLock()
    private var items: [Item] = []
    private var isAwake = false
    let descriptor: Int32

    init() throws(SystemFailure) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard descriptor >= 0 else { throw SystemFailure(call: "eventfd", code: clinux_errno()) }
    }

    deinit { close(descriptor) }

    /// Leaves an item and wakes the lane unless it is awake already.
    func leave(_ item: Item) {
        let mustWake = lock.withLock {
            items.append(item)
            defer { isAwake = true }
            return !isAwake
        }
        guard mustWake else { return }
        var one: UInt64 = 1
        // Safe: eight bytes of a local integer; a full counter still wakes the lane.
        _ = unsafe write(descriptor, &one, 8)
    }

    /// Takes everything; called by the lane when its eventfd is readable.
    func takeAll() -> [Item] {
        var count: UInt64 = 0
        // Safe: eight bytes of a local integer.
        _ = unsafe read(descriptor, &count, 8)
        return lock.withLock {
            defer {
                items.removeAll(keepingCapacity: true)
                isAwake = false
            }
            return items
        }
    }
}
