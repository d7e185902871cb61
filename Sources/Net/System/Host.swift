// What the machine and the process tell of themselves, and how the process ends.
import COpenSSL
import CLinux
import Core
import Glibc

/// The machine and this process.
public enum Host {
    /// The monotonic clock.
    public static func monotonicNow() -> Instant { Instant(nanoseconds: clinux_monotonic()) }

    /// Microseconds since 1970.
    public static func wallClockMicroseconds() -> Int64 { clinux_wall_microseconds() }

    /// An environment variable; nil when it is not set.
    public static func environment(_ name: String) -> String? {
        // Safe: the text is copied before anything could change the environment.
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }

    /// Must come before the first thread that uses OpenSSL: without it, exit handlers race with such threads.
    public static func prepareForThreads() { OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil) }

    /// A seed from the kernel's random source; ends the process when it fails.
    public static func randomSeed() -> UInt64 {
        randomBytes(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// `count` bytes from the kernel's random source, at most 256; ends the process when it fails.
    public static func randomBytes(_ count: Int) -> [UInt8] {
        precondition((0...256).contains(count), "the kernel gives at most 256 bytes at once without a short read")
        var bytes = [UInt8](repeating: 0, count: count)
        // Safe: the array has `count` bytes.
        fillRandom(count) { unsafe getrandom(&bytes, count, 0) }
        return bytes
    }

    /// Calls `source` until it says that it gave all `count` bytes. Keys, claims and ids are made of them: zeros in their stead would open
    /// every door, so a source that fails ends the process.
    static func fillRandom(_ count: Int, _ source: () -> Int) {
        while true {
            let given = source()
            if given == count { return }
            guard given < 0, clinux_errno() == EINTR else {
                write("the kernel's random source gave \(given) of \(count) bytes: no secrets\n", toError: true)
                exit(70)
            }
        }
    }

    /// The machine's name.
    public static var name: String {
        var bytes = [CChar](repeating: 0, count: 256)
        // Safe: the array has 256 bytes, and the last one stays zero.
        guard unsafe gethostname(&bytes, 255) == 0 else { return "localhost" }
        return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Processors that this process may use.
    public static var processors: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    /// User and system time used so far, in microseconds.
    public static func processorMicroseconds() -> Int64 {
        var usage = rusage()
        // Safe: the kernel fills a local struct.
        _ = unsafe clinux_own_usage(&usage)
        let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        return Int64(seconds) * 1_000_000 + Int64(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
    }

    /// User and system time that another process used so far, in nanoseconds; nil when there is no such process.
    public static func processorNanoseconds(of process: Int32) -> Int64? {
        var clock = clockid_t()
        var time = timespec()
        // Safe: both calls fill local values only.
        guard unsafe clock_getcpuclockid(process, &clock) == 0, unsafe clock_gettime(clock, &time) == 0 else {
            return nil
        }
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Bytes of memory resident at present; 0 when the kernel does not tell.
    public static func residentBytes() -> Int64 {
        guard let text = try? FileAccess.read("/proc/self/statm", limit: 4_096) else { return 0 }
        let fields = String(decoding: text, as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let pages = Int64(fields[1]) else { return 0 }
        return pages * Int64(sysconf(Int32(_SC_PAGESIZE)))
    }

    /// Open file descriptors of this process.
    public static func openDescriptors() -> Int { FileAccess.entryCount("/proc/self/fd") }

    /// Raises the limit of open descriptors to what the system allows, and returns it.
    @discardableResult public static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        // Safe: the kernel fills and reads a local struct.
        guard unsafe clinux_get_descriptor_limit(&limit) == 0 else { return 1_024 }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe clinux_set_descriptor_limit(&limit)
        return Int(clamping: limit.rlim_cur)
    }

    /// Ends the process without running exit handlers, which race with threads that still use OpenSSL.
    public static func exit(_ code: Int32) -> Never { _exit(code) }

    /// Writes text to standard output or error, for people; retries until all is written or the descriptor fails.
    public static func write(_ text: String, toError: Bool = false) {
        var bytes = ByteBuffer()
        bytes.append(text)
        FileAccess.writeAll(&bytes, to: toError ? 2 : 1)
    }

    /// Writes bytes to standard output; false when nobody reads them any more.
    public static func write(bytes: [UInt8]) -> Bool {
        var buffer = ByteBuffer(bytes)
        return FileAccess.writeAll(&buffer, to: 1) == 0
    }

    /// True when standard input (0), output (1) or error (2) is a person's terminal.
    public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Gives unused heap pages back to the system.
    public static func trimMemory() { clinux_trim_memory() }
}
