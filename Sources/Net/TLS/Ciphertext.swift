// The flat memory through which a lane's TLS sessions read and write ciphertext.
import CLinux
import COpenSSL
import Core
import Glibc

/// One per lane: the memory behind every TLS session's BIO. Only one engine call is under way on a lane at a time, so one is enough,
/// and an idle connection holds no ciphertext at all.
@safe final class Ciphertext {
    // Safe: both pointers are owned here, live as long as this object, and never escape to another thread.
    let flat: UnsafeMutablePointer<cssl_flat>
    private let room: UnsafeMutableRawBufferPointer

    /// Bytes that one `recv` may bring: four full TLS records.
    static let roomBytes = 64 * 1024

    init() {
        unsafe flat = .allocate(capacity: 1)
        unsafe flat.initialize(to: cssl_flat())
        unsafe room = .allocate(byteCount: Ciphertext.roomBytes, alignment: 16)
    }

    deinit {
        unsafe free(flat.pointee.out)
        unsafe flat.deallocate()
        unsafe room.deallocate()
    }

    /// Receives ciphertext and makes it what the next engine call reads.
    func receive(_ descriptor: Int32) -> Transfer {
        // Safe: the kernel writes at most the room's bytes.
        let result = Socket.outcome(unsafe recv(descriptor, room.baseAddress, room.count, 0))
        if case .bytes(let count) = result {
            unsafe flat.pointee.in = UnsafePointer(room.baseAddress?.assumingMemoryBound(to: UInt8.self))
            unsafe flat.pointee.in_length = count
        }
        return result
    }

    /// Makes `bytes` what the next engine call reads; for engines without a socket.
    func offer(_ bytes: [UInt8]) {
        unsafe precondition(bytes.count <= room.count, "offered ciphertext fits the lane's room")
        unsafe room.copyBytes(from: bytes)
        unsafe flat.pointee.in = UnsafePointer(room.baseAddress?.assumingMemoryBound(to: UInt8.self))
        unsafe flat.pointee.in_length = bytes.count
    }

    /// Ciphertext bytes that engine calls produced and nobody took.
    var produced: Int { unsafe flat.pointee.out_length }

    /// Sends what engine calls produced; what the socket does not take goes to `backlog`.
    func send(_ descriptor: Int32, backlog: inout ByteBuffer) -> Transfer {
        let length = unsafe flat.pointee.out_length
        guard length > 0 else { return .wouldBlock }
        defer { reset() }
        if backlog.count > 0 {
            moveOutput(to: &backlog, from: 0)
            return Socket.send(descriptor, from: &backlog)
        }
        // Safe: out holds out_length written bytes.
        let result = Socket.outcome(
            unsafe Glibc.send(descriptor, flat.pointee.out, length, Int32(MSG_NOSIGNAL)))
        switch result {
        case .bytes(let sent) where sent < length: moveOutput(to: &backlog, from: sent)
        case .wouldBlock: moveOutput(to: &backlog, from: 0)
        case .bytes, .ended, .failed: break
        }
        return result
    }

    /// Moves what engine calls produced behind what `buffer` holds.
    func moveOutput(to buffer: inout ByteBuffer, from start: Int = 0) {
        let length = unsafe flat.pointee.out_length - start
        guard length > 0, let out = unsafe flat.pointee.out else { return }
        // Safe: out holds out_length written bytes; the copy is as long as the rest of them.
        _ = unsafe buffer.withUnsafeWritableBytes(minimum: length) { room in
            unsafe room.baseAddress?.copyMemory(from: out + start, byteCount: length)
            return length
        }
        unsafe flat.pointee.out_length = 0
    }

    /// Forgets what was left, and gives memory back that a burst made grow.
    func reset() {
        unsafe flat.pointee.out_length = 0
        unsafe flat.pointee.in_length = 0
        if unsafe flat.pointee.out_capacity > 1 << 20 {
            unsafe free(flat.pointee.out)
            unsafe flat.pointee.out = nil
            unsafe flat.pointee.out_capacity = 0
        }
    }
}
