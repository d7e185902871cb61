// A file as memory: what was stored survives the death of the process, without a system call.
import CLinux
import Core
import Glibc

/// A file of fixed size, mapped and locked. What is stored is in the kernel's page cache at once: kill -9 loses nothing; a power failure loses
/// what the kernel had not written yet, some seconds. Confined to its owner.
@safe public final class MappedFile {
    /// Its size in bytes.
    public let count: Int
    private let base: UnsafeMutableRawPointer
    private let descriptor: Int32

    /// Opens or makes the file, with its room on the disk reserved; an older content of the same size stays.
    ///
    /// - Throws: when it cannot be made, the disk is full, or another process has it.
    public init(path: String, count: Int) throws(SystemFailure) {
        func failure(_ call: String, _ code: Int32) -> SystemFailure {
            SystemFailure(call: call, subject: path, code: code)
        }
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("open", clinux_errno()) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = clinux_errno()
            close(descriptor)
            throw failure("flock", code)
        }
        // Reserved, because a store into a page that the disk has no room for kills the process.
        var code = posix_fallocate(descriptor, 0, off_t(count))
        if code == 0, ftruncate(descriptor, off_t(count)) != 0 { code = clinux_errno() }
        guard code == 0 else {
            close(descriptor)
            throw failure("fallocate", code)
        }
        let mapped = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            let code = clinux_errno()
            close(descriptor)
            throw failure("mmap", code)
        }
        unsafe base = mapped
        self.count = count
        self.descriptor = descriptor
    }

    deinit {
        // Safe: the mapping is this object's, and nothing points into it.
        unsafe munmap(base, count)
        close(descriptor)
    }

    /// Copies bytes to `offset`.
    ///
    /// - Precondition: they fit.
    public func write(_ bytes: RawSpan, at offset: Int) {
        precondition(offset >= 0 && offset + bytes.byteCount <= count, "the bytes fit into the file")
        // Safe: both ranges were checked and do not overlap, for nothing lends bytes of the mapping.
        unsafe bytes.withUnsafeBytes { source in
            if let from = source.baseAddress { unsafe (base + offset).copyMemory(from: from, byteCount: source.count) }
        }
    }

    /// Copies `length` bytes from one place to another.
    ///
    /// - Precondition: both lie in the file.
    public func copy(_ length: Int, from: Int, to: Int) {
        precondition(from >= 0 && to >= 0 && max(from, to) + length <= count, "both places lie in the file")
        // Safe: checked above; memmove allows an overlap.
        unsafe memmove(base + to, base + from, length)
    }

    /// Stores an integer, little-endian, in one step when `offset` is a multiple of its size.
    ///
    /// - Precondition: it fits.
    public func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
        precondition(offset >= 0 && offset + MemoryLayout<T>.size <= count, "the integer fits into the file")
        // Safe: checked above.
        unsafe base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }

    /// The integer at `offset`, little-endian.
    ///
    /// - Precondition: it lies in the file.
    public func load<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as: T.Type) -> T {
        precondition(offset >= 0 && offset + MemoryLayout<T>.size <= count, "the integer lies in the file")
        // Safe: checked above.
        return T(littleEndian: unsafe base.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// A copy of some bytes.
    ///
    /// - Precondition: they lie in the file.
    public func array(at offset: Int, count length: Int) -> [UInt8] {
        precondition(offset >= 0 && length >= 0 && offset + length <= count, "the bytes lie in the file")
        // Safe: checked above, and copied.
        return unsafe Array(UnsafeRawBufferPointer(start: base + offset, count: length))
    }
}
