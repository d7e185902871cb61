// Where log lines go: lanes append, a thread of its own writes, memory is bounded and what is lost is counted.
import CLinux
import Core
import Dispatch
import Glibc
import Synchronization

/// A sink for whole lines. Each lane gathers a turn's lines and hands them over in one step.
///
/// A sink that takes nothing (a pipe whose reader stopped, a full disk, a closed pipe) never holds up who writes lines: what does not
/// fit in the bound, and what a failed write leaves, is dropped and counted.
public final class LineWriter: @unchecked Sendable {
    /// How long after the last loss `trouble(at:)` still tells of it: a slow reader loses lines now and then.
    public static let memory = Duration.seconds(10)

    private let descriptor: Int32
    private let limit: Int
    private let lock = ThreadLock()
    private var waiting = ByteBuffer()
    private var isWriting = false
    private let queue = DispatchQueue(label: "sluice.lines")
    private let droppedBytes = Atomic<Int>(0)
    /// Monotonic nanoseconds of the last loss; 0 while nothing was lost.
    private let lostAt = Atomic<Int64>(0)
    /// The error of the last write, 0 when it succeeded.
    private let failure = Atomic<Int32>(0)
    /// The last byte that the sink took; used by the writing thread only.
    private var lastByte = LineWriter.lineFeed

    private static let lineFeed = UInt8(ascii: "\n")

    /// Writes to an open descriptor; holds at most `limit` bytes that are not yet written.
    public init(descriptor: Int32 = 1, limit: Int = 8 << 20) {
        self.descriptor = descriptor
        self.limit = limit
    }

    /// Bytes that were dropped: the sink was slower than the program, or a write failed.
    public var dropped: Int { droppedBytes.load(ordering: .relaxed) }

    /// Why lines are lost at present; nil while none are.
    public func trouble(at now: Instant) -> String? {
        let code = failure.load(ordering: .relaxed)
        let last = Instant(nanoseconds: lostAt.load(ordering: .relaxed))
        guard code != 0 || (last.nanoseconds != 0 && now - last < LineWriter.memory) else { return nil }
        let reason = code == 0 ? "its reader is too slow" : SystemFailure(call: "write", code: code).description
        return "log lines are lost (\(dropped) bytes so far): \(reason)"
    }

    /// Takes all lines out of `lines`; drops and counts them when too much is waiting already. Never blocks on the sink.
    public func append(draining lines: inout ByteBuffer) {
        guard lines.count > 0 else { return }
        let mustStart = lock.withLock {
            if waiting.count + lines.count > limit {
                countLoss(lines.count)
                lines.removeAll()
            } else {
                waiting.append(draining: &lines)
            }
            defer { isWriting = true }
            return !isWriting
        }
        if mustStart { queue.async { [self] in writeAll() } }
    }

    /// Waits until everything handed over so far was written or dropped, at most `limit`; false when the time was not enough.
    @discardableResult public func drain(atMost limit: Duration) -> Bool {
        let done = DispatchSemaphore(value: 0)
        queue.async { done.signal() }
        return done.wait(timeout: .now() + .nanoseconds(Int(clamping: limit.nanoseconds))) == .success
    }

    private func countLoss(_ bytes: Int) {
        droppedBytes.add(bytes, ordering: .relaxed)
        lostAt.store(Host.monotonicNow().nanoseconds, ordering: .relaxed)
    }

    private func writeAll() {
        while true {
            var taken = ByteBuffer()
            // A failed write may have cut a line: the next one does not continue it.
            if lastByte != LineWriter.lineFeed { taken.append(LineWriter.lineFeed) }
            let count = lock.withLock {
                let count = waiting.count
                if taken.count == 0 { swap(&taken, &waiting) } else { taken.append(draining: &waiting) }
                isWriting = count > 0
                return count
            }
            guard count > 0 else { return }
            let code = FileAccess.writeAll(&taken, to: descriptor, last: &lastByte)
            failure.store(code, ordering: .relaxed)
            if code != 0 { countLoss(min(count, taken.count)) }
        }
    }
}
