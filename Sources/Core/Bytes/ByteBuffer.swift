// A growable byte queue that a connection owns: bytes are appended at the tail and consumed at the head.

/// Where a run of bytes lies inside a `ByteBuffer`, counted from the start of its storage.
///
/// A slice stays readable after its bytes were consumed, until the next call that appends to or releases the buffer.
@frozen public struct ByteSlice: Equatable, Sendable {
    /// Offset from the start of the buffer's storage, in bytes.
    public let start: Int
    /// Length in bytes.
    public let count: Int

    /// A slice of `count` bytes at the storage offset `start`.
    @inlinable public init(start: Int, count: Int) {
        self.start = start
        self.count = count
    }

    /// The part of this slice from `offset` on.
    ///
    /// - Precondition: `offset` is within the slice.
    @inlinable public func dropFirst(_ offset: Int) -> ByteSlice {
        precondition(offset >= 0 && offset <= count, "a slice can only lose bytes that it has")
        return ByteSlice(start: start + offset, count: count - offset)
    }

    /// The first `length` bytes of this slice.
    ///
    /// - Precondition: `length` is within the slice.
    @inlinable public func prefix(_ length: Int) -> ByteSlice {
        precondition(length >= 0 && length <= count, "a prefix cannot be longer than its slice")
        return ByteSlice(start: start, count: length)
    }
}

/// A growable byte queue with one owner: appended at the tail, consumed at the head, integers in network byte order.
///
/// Memory is not held while the buffer is empty and `releaseIfEmpty()` was called, so an idle connection costs nothing here.
/// Every access is bounds-checked; the raw pointer never leaves this file except through the two `withUnsafe…` doors that
/// Net and Store use for system calls.
@safe @frozen public struct ByteBuffer: ~Copyable, @unchecked Sendable {
    @usableFromInline var base: UnsafeMutableRawPointer?
    @usableFromInline var capacity: Int
    @usableFromInline var head: Int
    @usableFromInline var tail: Int

    /// An empty buffer; nothing is allocated until the first append.
    @inlinable public init() {
        unsafe base = nil
        capacity = 0
        head = 0
        tail = 0
    }

    /// An empty buffer with room for `capacity` bytes.
    @inlinable public init(capacity: Int) {
        self.init()
        reserve(capacity)
    }

    /// A buffer that holds a copy of `bytes`.
    @inlinable public init(_ bytes: [UInt8]) {
        self.init()
        append(bytes)
    }

    @inlinable deinit {
        unsafe base?.deallocate()
    }

    /// Bytes that are waiting to be consumed.
    @inlinable public var count: Int { tail - head }

    /// True when nothing waits to be consumed.
    @inlinable public var isEmpty: Bool { tail == head }

    /// Bytes of memory that the buffer holds at present.
    @inlinable public var allocatedBytes: Int { capacity }

    /// All waiting bytes.
    @inlinable public var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let pointer = unsafe UnsafeRawBufferPointer(start: base.map { unsafe $0 + head }, count: tail - head)
            // Safe: the span borrows self, so the storage can neither move nor be freed while it lives.
            return unsafe _overrideLifetime(RawSpan(_unsafeBytes: pointer), borrowing: self)
        }
    }

    /// The waiting bytes as a slice that survives `consume`.
    @inlinable public var slice: ByteSlice { ByteSlice(start: head, count: tail - head) }

    /// `length` bytes that begin `offset` bytes behind the head, as a slice that survives `consume`.
    @inlinable public func slice(at offset: Int, count length: Int) -> ByteSlice {
        precondition(offset >= 0 && length >= 0 && length <= count - offset, "a slice lies within the waiting bytes")
        return ByteSlice(start: head + offset, count: length)
    }

    /// The bytes of a slice that this buffer gave out.
    @inlinable @_lifetime(borrow self) public func bytes(of slice: ByteSlice) -> RawSpan {
        precondition(
            slice.start >= 0 && slice.count >= 0 && slice.count <= tail - slice.start,
            "a slice lies within the written part of its buffer")
        let pointer = unsafe UnsafeRawBufferPointer(start: base.map { unsafe $0 + slice.start }, count: slice.count)
        // Safe: bounds were checked against the written part, and the span borrows self.
        return unsafe _overrideLifetime(RawSpan(_unsafeBytes: pointer), borrowing: self)
    }

    /// Lends the bytes of a slice to `body`; for buffers that are a property of a class, whose spans cannot leave the access.
    @inlinable public func withBytes<R>(of slice: ByteSlice, _ body: (RawSpan) throws -> R) rethrows -> R {
        try body(bytes(of: slice))
    }

    /// The byte `offset` bytes behind the head.
    @inlinable public func byte(at offset: Int) -> UInt8 { load(UInt8.self, at: offset) }

    /// The big-endian integer `offset` bytes behind the head.
    @inlinable public func integer<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as: T.Type = T.self) -> T {
        T(bigEndian: load(T.self, at: offset))
    }

    @inlinable func load<T: BitwiseCopyable>(_: T.Type, at offset: Int) -> T {
        precondition(offset >= 0 && MemoryLayout<T>.size <= count - offset, "a read stays within the waiting bytes")
        guard let base = unsafe base else { preconditionFailure("a buffer with waiting bytes has storage") }
        // Safe: the bounds check above covers all bytes of T.
        return unsafe base.loadUnaligned(fromByteOffset: head + offset, as: T.self)
    }

    /// Drops `length` bytes from the head.
    @inlinable public mutating func consume(_ length: Int) {
        precondition(length >= 0 && length <= count, "only waiting bytes can be consumed")
        head += length
    }

    /// Drops everything that waits; keeps the memory.
    @inlinable public mutating func removeAll() {
        head = 0
        tail = 0
    }

    /// Drops the newest `length` bytes, as if they had never been appended.
    @inlinable public mutating func removeLast(_ length: Int) {
        precondition(length >= 0 && length <= count, "only waiting bytes can be taken back")
        tail -= length
    }

    /// Gives the memory back when nothing waits.
    @inlinable public mutating func releaseIfEmpty() {
        guard head == tail else { return }
        unsafe base?.deallocate()
        unsafe base = nil
        capacity = 0
        head = 0
        tail = 0
    }

    /// Makes room for `length` more bytes. Invalidates slices.
    @inlinable public mutating func reserve(_ length: Int) {
        precondition(length >= 0, "room is counted upwards")
        if head == tail {
            head = 0
            tail = 0
        }
        if capacity - tail < length { makeRoom(length) }
    }

    @usableFromInline mutating func makeRoom(_ length: Int) {
        let waiting = tail - head
        // Moving down is cheaper than growing when at least half of the storage has been consumed.
        if let base = unsafe base, capacity - waiting >= length, head >= capacity / 2 {
            unsafe base.copyMemory(from: base + head, byteCount: waiting)
        } else {
            let grown = max(64, capacity * 2, waiting + length)
            let fresh = UnsafeMutableRawPointer.allocate(byteCount: grown, alignment: 16)
            if let base = unsafe base {
                unsafe fresh.copyMemory(from: base + head, byteCount: waiting)
                unsafe base.deallocate()
            }
            unsafe base = fresh
            capacity = grown
        }
        head = 0
        tail = waiting
    }

    /// Appends one byte.
    @inlinable public mutating func append(_ byte: UInt8) {
        reserve(1)
        // Safe: reserve made room for one byte at the tail.
        unsafe base?.storeBytes(of: byte, toByteOffset: tail, as: UInt8.self)
        tail += 1
    }

    /// Appends an integer in network byte order.
    @inlinable public mutating func append<T: FixedWidthInteger & BitwiseCopyable>(integer: T) {
        reserve(MemoryLayout<T>.size)
        // Safe: reserve made room for all bytes of T at the tail.
        unsafe base?.storeBytes(of: integer.bigEndian, toByteOffset: tail, as: T.self)
        tail += MemoryLayout<T>.size
    }

    /// Appends the lowest `count` bytes of an integer in network byte order; one to eight.
    @inlinable public mutating func append(lowest count: Int, of integer: Int64) {
        precondition(count >= 1 && count <= 8, "an integer has one to eight bytes")
        reserve(8)
        let shifted = UInt64(bitPattern: integer) << UInt64(64 - 8 * count)
        // Safe: reserve made room for eight bytes at the tail, of which the first count are kept.
        unsafe base?.storeBytes(of: shifted.bigEndian, toByteOffset: tail, as: UInt64.self)
        tail += count
    }

    /// Appends a copy of `span`.
    @inlinable public mutating func append(_ span: RawSpan) {
        unsafe span.withUnsafeBytes { unsafe append(copying: $0) }
    }

    /// Appends a copy of `bytes`.
    @inlinable public mutating func append(_ bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe append(copying: $0) }
    }

    /// Appends the UTF-8 bytes of `text`.
    @inlinable public mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { unsafe append(copying: UnsafeRawBufferPointer($0)) }
    }

    /// Appends the UTF-8 bytes of a literal without making a `String`.
    @inlinable public mutating func append(literal text: StaticString) {
        guard text.hasPointerRepresentation else { return append(text.description) }
        unsafe append(copying: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Appends everything that waits in `other` and consumes it there.
    @inlinable public mutating func append(draining other: inout ByteBuffer) {
        append(other.bytes)
        other.removeAll()
    }

    @inlinable mutating func append(copying source: UnsafeRawBufferPointer) {
        guard let start = source.baseAddress, source.count > 0 else { return }
        reserve(source.count)
        // Safe: reserve made room for source.count bytes at the tail, and source cannot overlap storage that self owns alone.
        unsafe base?.advanced(by: tail).copyMemory(from: start, byteCount: source.count)
        tail += source.count
    }

    /// Overwrites the big-endian integer `offset` bytes behind the head, for lengths that are known only afterwards.
    @inlinable public mutating func overwrite<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int, with integer: T) {
        precondition(offset >= 0 && MemoryLayout<T>.size <= count - offset, "a write stays within the waiting bytes")
        // Safe: the bounds check above covers all bytes of T.
        unsafe base?.storeBytes(of: integer.bigEndian, toByteOffset: head + offset, as: T.self)
    }

    /// The waiting bytes as an array.
    @inlinable public func array() -> [UInt8] { array(of: slice) }

    /// The bytes of a slice as an array.
    @inlinable public func array(of slice: ByteSlice) -> [UInt8] {
        unsafe bytes(of: slice).withUnsafeBytes { unsafe [UInt8]($0) }
    }

    /// The bytes of a slice as text; malformed UTF-8 is repaired with U+FFFD.
    @inlinable public func string(of slice: ByteSlice) -> String {
        unsafe bytes(of: slice).withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }

    /// Lends the waiting bytes to a system call.
    @unsafe @inlinable public func withUnsafeReadableBytes<R: ~Copyable, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        unsafe try body(UnsafeRawBufferPointer(start: base.map { unsafe $0 + head }, count: tail - head))
    }

    /// Lends at least `minimum` bytes of room at the tail to a system call; `body` returns how many it wrote.
    @unsafe @inlinable public mutating func withUnsafeWritableBytes(
        minimum: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int
    ) -> Int {
        reserve(minimum)
        let room = unsafe UnsafeMutableRawBufferPointer(start: base.map { unsafe $0 + tail }, count: capacity - tail)
        let written = unsafe body(room)
        precondition(written >= 0 && written <= capacity - tail, "a writer stays within the room it was lent")
        tail += written
        return written
    }
}
