// Where log lines go: lanes append, a thread of its own writes, memory is bounded and what does not fit is counted.
import CLinux
import Core
import Dispatch
import Glibc
import Synchronization

/// A sink for whole lines. Each lane gathers a turn's lines and hands them over in one step.
public final class LineWriter: @unchecked Sendable {
    private let descriptor: Int32
    private let limit: Int
    private let lock = ThreadLock()
    private var waiting = ByteBuffer()
    private var isWriting = false
    private let queue = DispatchQueue(label: "sluice.lines")
    private let droppedBytes = Atomic<Int>(0)

    /// Writes to an open descriptor; holds at most `limit` bytes that are not yet written.
    public init(descriptor: Int32 = 1, limit: Int = 8 << 20) {
        self.descriptor = descriptor
        self.limit = limit
    }

    /// Bytes that were dropped because the sink was slower than the program.
    public var dropped: Int { droppedBytes.load(ordering: .relaxed) }

    /// Takes all lines out of `lines`; drops and counts them when too much is waiting already. Never blocks on the sink.
    public func append(draining lines: inout ByteBuffer) {
        guard lines.count > 0 else { return }
        let mustStart = lock.withLock {
            if waiting.count + lines.count > limit {
                droppedBytes.add(lines.count, ordering: .relaxed)
                lines.removeAll()
            } else {
                waiting.append(draining: &lines)
            }
            defer { isWriting = true }
            return !isWriting
        }
        if mustStart { queue.async { [self] in writeAll() } }
    }

    /// Waits until everything handed over so far was written.
    public func drain() { queue.sync {} }

    private func writeAll() {
        while true {
            var taken = ByteBuffer()
            lock.withLock {
                swap(&taken, &waiting)
                isWriting = taken.count > 0
            }
            guard taken.count > 0 else { return }
            FileAccess.writeAll(&taken, to: descriptor)
        }
    }
}
