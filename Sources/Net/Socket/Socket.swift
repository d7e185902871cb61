// The system calls on sockets that the rest of Net uses, each in one place.
import CLinux
import Core
import Glibc

/// What a read or write on a non-blocking socket came to.
enum Transfer: Equatable {
    case bytes(Int)
    case wouldBlock
    case ended
    case failed(Int32)
}

enum Socket {
    /// A non-blocking socket of the address' family.
    static func open(for address: SocketAddress) throws(SystemFailure) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, type, 0)
        guard descriptor >= 0 else {
            throw SystemFailure(call: "socket", subject: address.description, code: clinux_errno())
        }
        return descriptor
    }

    /// A listening socket; several may share one port, and the kernel spreads connections over them.
    static func listen(on address: SocketAddress, backlog: Int32 = 1_024) throws(SystemFailure) -> Int32 {
        let descriptor = try open(for: address)
        if case .unix(let path) = address {
            FileAccess.remove(path)
        } else {
            _ = clinux_set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
            _ = clinux_set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1)
        }
        var call = "bind"
        // Safe: the kernel copies the address during the call.
        var code = unsafe address.withKernelForm { unsafe bind(descriptor, $0, $1) }
        if code == 0 {
            call = "listen"
            code = Glibc.listen(descriptor, backlog)
        }
        guard code == 0 else {
            let failure = SystemFailure(call: call, subject: address.description, code: clinux_errno())
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    /// Makes the next `close` send a reset and drop what was not sent (socket(7), SO_LINGER with a time of zero).
    static func resetOnClose(_ descriptor: Int32) {
        var rule = linger(l_onoff: 1, l_linger: 0)
        // Safe: the kernel copies the rule during the call.
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &rule, socklen_t(MemoryLayout<linger>.size))
    }

    /// The address a socket is bound to; tells the port after binding to port 0.
    static func boundAddress(of descriptor: Int32) -> SocketAddress {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // Safe: storage is large enough for every family, and length says so.
        _ = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe getsockname(
                descriptor, UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), &length)
        }
        return SocketAddress.fromKernel(&storage)
    }

    /// What accepting brought.
    enum Acceptance {
        case connection(Int32, SocketAddress)
        /// Nobody waits, or who waited has gone.
        case none
        /// The process or the system has no descriptor or memory left; whoever waits still waits.
        case exhausted
    }

    /// Takes one waiting connection.
    static func accept(from descriptor: Int32) -> Acceptance {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // Safe: storage is large enough for every family, and length says so.
        let accepted = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe clinux_accept(
                descriptor, UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), &length)
        }
        if accepted >= 0 { return .connection(accepted, SocketAddress.fromKernel(&storage)) }
        switch clinux_errno() {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted
        default: return .none
        }
    }

    /// Settings of every connection: no Nagle delay, dead peers found within 30 s idle or 20 s of unacknowledged bytes.
    static func configure(_ descriptor: Int32, for address: SocketAddress) {
        guard !address.isUnix else { return }
        let tcp = Int32(IPPROTO_TCP)
        _ = clinux_set_option(descriptor, tcp, TCP_NODELAY, 1)
        _ = clinux_set_option(descriptor, tcp, TCP_USER_TIMEOUT, 20_000)
        _ = clinux_set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
        _ = clinux_set_option(descriptor, tcp, TCP_KEEPIDLE, 15)
        _ = clinux_set_option(descriptor, tcp, TCP_KEEPINTVL, 5)
        _ = clinux_set_option(descriptor, tcp, TCP_KEEPCNT, 3)
    }

    /// What TCP knows of both directions of a connection: bytes that the peer's kernel acknowledged, and bytes that came from it, its FIN counted
    /// as one. Nil where the kernel does not tell.
    static func delivery(of descriptor: Int32) -> (acknowledged: Int64, received: Int64)? {
        var (acknowledged, received): (UInt64, UInt64) = (0, 0)
        // Safe: the kernel writes both numbers during the call.
        guard unsafe clinux_tcp_delivery(descriptor, &acknowledged, &received) == 1 else { return nil }
        // The SYN counts as a byte of the side that connects.
        return (Int64(clamping: acknowledged) - 1, Int64(clamping: received))
    }

    /// Receives into the room at the buffer's tail.
    static func receive(_ descriptor: Int32, into buffer: inout ByteBuffer, atMost limit: Int) -> Transfer {
        var result = Transfer.wouldBlock
        // Safe: the kernel writes only into the room that was lent.
        _ = unsafe buffer.withUnsafeWritableBytes(minimum: limit) { room in
            let count = unsafe recv(descriptor, room.baseAddress, min(room.count, limit), 0)
            result = outcome(count)
            return max(0, count)
        }
        return result
    }

    /// Sends from the head of the buffer and consumes what was taken.
    static func send(_ descriptor: Int32, from buffer: inout ByteBuffer) -> Transfer {
        // Safe: the kernel reads only the waiting bytes.
        let count = unsafe buffer.withUnsafeReadableBytes { bytes in
            unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        }
        let result = outcome(count)
        if case .bytes(let sent) = result { buffer.consume(sent) }
        return result
    }

    static func outcome(_ count: Int) -> Transfer {
        if count > 0 { return .bytes(count) }
        if count == 0 { return .ended }
        let code = clinux_errno()
        return code == EAGAIN || code == EINTR ? .wouldBlock : .failed(code)
    }
}
