// A thread of a program under test that hangs.
import Foundation

/// One thread of a child process, stopped by the kernel as a debugger does it: the others go on.
package final class StoppedThread: @unchecked Sendable {
    private typealias Trace = @convention(c) (Int, Int, Int, Int) -> Int
    private let goOn = DispatchSemaphore(value: 0)
    private let isStopped = DispatchSemaphore(value: 0)
    private var code = 0

    /// Stops a thread until `release`. Whoever stopped a thread must be the one who lets it go, so a thread of our own does both.
    package init(_ thread: Int32) async throws {
        // A function of C with a variable number of arguments cannot be imported; on Linux all of them are passed in registers.
        guard let symbol = dlsym(nil, "ptrace") else { throw TestFailure("no ptrace") }
        let trace = unsafeBitCast(symbol, to: Trace.self)
        let (seize, interrupt, detach) = (0x4206, 0x4207, 17)
        Thread.detachNewThread { [self] in
            code = trace(seize, Int(thread), 0, 0) | trace(interrupt, Int(thread), 0, 0)
            var status: Int32 = 0
            if code == 0 { waitpid(thread, &status, Int32(bitPattern: 0x4000_0000)) }
            isStopped.signal()
            goOn.wait()
            if code == 0 { _ = trace(detach, Int(thread), 0, 0) }
            isStopped.signal()
        }
        await Self.wait(isStopped)
        guard code == 0 else { throw TestFailure("thread \(thread) cannot be stopped") }
    }

    package func release() async {
        goOn.signal()
        await Self.wait(isStopped)
    }

    private static func wait(_ semaphore: DispatchSemaphore) async {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                semaphore.wait()
                continuation.resume()
            }
        }
    }

    /// The number of the thread of that name.
    package static func number(named name: String, of process: Int32) -> Int32? {
        let folder = "/proc/\(process)/task"
        return (try? FileManager.default.contentsOfDirectory(atPath: folder))?.first { thread in
            (try? String(contentsOfFile: "\(folder)/\(thread)/comm", encoding: .utf8)) == "\(name)\n"
        }.flatMap { Int32($0) }
    }
}
