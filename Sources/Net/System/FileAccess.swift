// Files, blocking: for start-up, reload and threads off the lanes.
import CLinux
import Core
import Glibc

/// Blocking access to files. Never call it on a lane that serves requests.
public enum FileAccess {
    /// The whole content of a file of at most `limit` bytes.
    public static func read(_ path: String, limit: Int = 16 << 20) throws(SystemFailure) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFailure(call: "open", subject: path, code: clinux_errno()) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            // Safe: the chunk has as many bytes as the call may write.
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            guard count > 0 else {
                if clinux_errno() == EINTR { continue }
                throw SystemFailure(call: "read", subject: path, code: clinux_errno())
            }
            guard bytes.count + count <= limit else { throw SystemFailure(call: "read", subject: path, code: EFBIG) }
            bytes += chunk[..<count]
        }
    }

    /// Replaces a file in one step: readers see the old or the new content, also after a crash. Uses the room that `keepRoom` kept.
    public static func writeAtomically(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600) throws(SystemFailure) {
        let fresh = path + ".new"
        // Not truncated first: that would give kept room back to a disk that others fill.
        let descriptor = unsafe open(fresh, O_WRONLY | O_CREAT | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw SystemFailure(call: "open", subject: fresh, code: clinux_errno()) }
        var buffer = ByteBuffer(bytes)
        var code = writeAll(&buffer, to: descriptor)
        if code == 0, ftruncate(descriptor, off_t(bytes.count)) != 0 { code = clinux_errno() }
        let synced = fsync(descriptor) == 0 || code != 0
        close(descriptor)
        guard code == 0, synced else { throw SystemFailure(call: "write", subject: fresh, code: code) }
        guard unsafe rename(fresh, path) == 0 else {
            throw SystemFailure(call: "rename", subject: path, code: clinux_errno())
        }
    }

    /// Keeps room on the disk, so that `writeAtomically` can replace the file by as many bytes even when the disk is full.
    static func keepRoom(_ path: String, for count: Int) throws(SystemFailure) {
        let fresh = path + ".new"
        // Where the file system cannot allocate, the C library reads and writes instead.
        let descriptor = unsafe open(fresh, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemFailure(call: "open", subject: fresh, code: clinux_errno()) }
        defer { close(descriptor) }
        let code = posix_fallocate(descriptor, 0, off_t(count))
        guard code == 0 else { throw SystemFailure(call: "fallocate", subject: fresh, code: code) }
    }

    /// The size of a file in bytes; 0 when there is none.
    static func size(of path: String) -> Int {
        var status = stat()
        // Safe: the kernel fills a local struct.
        guard unsafe stat(path, &status) == 0 else { return 0 }
        return Int(status.st_size)
    }

    /// Makes a folder and its parents.
    public static func makeFolder(_ path: String, mode: UInt32 = 0o700) throws(SystemFailure) {
        var made = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            made += made.isEmpty || made == "/" ? String(part) : "/\(part)"
            guard unsafe mkdir(made, mode) != 0 else { continue }
            let code = clinux_errno()
            guard code == EEXIST else { throw SystemFailure(call: "mkdir", subject: made, code: code) }
        }
    }

    /// The folder of a file, without the last slash; `.` when its path names none.
    public static func folder(of file: String) -> String {
        guard let slash = file.lastIndex(of: "/") else { return "." }
        return slash == file.startIndex ? "/" : String(file[..<slash])
    }

    /// `path` itself when it is absolute, otherwise below `folder`.
    public static func path(_ path: String, in folder: String) -> String {
        if path.hasPrefix("/") || folder == "." { return path }
        return folder == "/" ? "/\(path)" : "\(folder)/\(path)"
    }

    /// True when something stands at `path`.
    public static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    /// Removes a file; silent when there is none.
    public static func remove(_ path: String) { _ = unsafe unlink(path) }

    /// Entries of a folder; 0 when it cannot be read.
    static func entryCount(_ path: String) -> Int {
        guard let folder = unsafe opendir(path) else { return 0 }
        defer { unsafe closedir(folder) }
        var count = -2
        while unsafe readdir(folder) != nil { count += 1 }
        return max(0, count)
    }

    /// Writes everything that waits in `buffer`; returns 0 or the error number. Blocks, also on a descriptor that is non-blocking.
    @discardableResult static func writeAll(_ buffer: inout ByteBuffer, to descriptor: Int32) -> Int32 {
        var last: UInt8 = 0
        return writeAll(&buffer, to: descriptor, last: &last)
    }

    /// The same; `last` becomes the last byte that was written, and stays as it is when none was.
    static func writeAll(_ buffer: inout ByteBuffer, to descriptor: Int32, last: inout UInt8) -> Int32 {
        while buffer.count > 0 {
            // Safe: the kernel reads only the waiting bytes, and what it took lies among them.
            let count = unsafe buffer.withUnsafeReadableBytes { bytes in
                let count = unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count)
                if count > 0 { last = unsafe bytes[count - 1] }
                return count
            }
            if count > 0 {
                buffer.consume(count)
                continue
            }
            let code = clinux_errno()
            switch code {
            case EINTR: continue
            case EAGAIN: waitForRoom(descriptor)
            default: return code
            }
        }
        return 0
    }

    /// Waits until a non-blocking descriptor takes bytes, or fails.
    private static func waitForRoom(_ descriptor: Int32) {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        // Safe: one local struct. Interrupted or failed: the next write tells.
        _ = unsafe poll(&wanted, 1, -1)
    }
}
