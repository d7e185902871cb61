// Signals as events on a lane, by signalfd.
import CLinux
import Glibc

/// Signals that a program handles, read on a lane like any other input.
public final class Signals {
    private let watcher: Watcher

    /// Blocks SIGTERM, SIGINT, SIGHUP and SIGUSR1 for all threads and ignores SIGPIPE. Must come first in `main`,
    /// before any thread exists, because threads inherit the mask.
    public static func blockAllFirst() {
        var set = handled()
        // Safe: the set is a local value.
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        ignoreBrokenPipes()
    }

    /// Lets a write to a reader that is gone fail with an error instead of ending the process.
    public static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

    /// Calls `onSignal` on the lane for each signal that arrives. From any thread.
    ///
    /// - Throws: `SystemFailure` when the kernel gives no descriptor.
    public init(lane: Lane, onSignal: @escaping (Int32) -> Void) throws(SystemFailure) {
        var set = Signals.handled()
        // Safe: the set is a local value.
        let descriptor = unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC))
        guard descriptor >= 0 else { throw SystemFailure(call: "signalfd", code: clinux_errno()) }
        watcher = Watcher(lane: lane, onSignal: onSignal)
        watcher.descriptor = descriptor
        let begin = Unshared { [watcher] in watcher.watch(EPOLLIN.rawValue) }
        if lane.isCurrent { begin.value() } else { lane.execute { begin.value() } }
    }

    private static func handled() -> sigset_t {
        var set = sigset_t()
        // Safe: the set is a local value.
        unsafe sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { _ = unsafe sigaddset(&set, number) }
        return set
    }

    private final class Watcher: Pollable {
        let onSignal: (Int32) -> Void

        init(lane: Lane, onSignal: @escaping (Int32) -> Void) {
            self.onSignal = onSignal
            super.init(lane: lane)
        }

        override func ready(_ events: UInt32) {
            var record = signalfd_siginfo()
            // Safe: the kernel writes one whole record or nothing.
            while unsafe read(descriptor, &record, MemoryLayout<signalfd_siginfo>.size) > 0 {
                onSignal(Int32(record.ssi_signo))
            }
        }
    }
}
