// Addresses of sockets: IPv4, IPv6 and Unix paths, as text and as the kernel wants them.
import CLinux
import Glibc

/// Where a socket listens or connects to, numerically.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// Four bytes and a port.
    case ipv4(UInt32, port: UInt16)
    /// Sixteen bytes and a port.
    case ipv6([UInt8], port: UInt16)
    /// A path in the file system, at most 107 bytes.
    case unix(String)

    /// Reads `1.2.3.4:80`, `[::1]:80` or `unix:/path`; nil when it is none of these. Never resolves names.
    public static func parse(_ text: String) -> SocketAddress? {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            return path.isEmpty || path.utf8.count > 107 ? nil : .unix(path)
        }
        guard let endpoint = Endpoint.parse(text), case .host(let host, let port) = endpoint else { return nil }
        return numeric(host, port: port)
    }

    /// The address of a numeric host; nil when `host` is a name.
    static func numeric(_ host: String, port: UInt16) -> SocketAddress? {
        var four = in_addr()
        // Safe: inet_pton writes exactly one in_addr or in6_addr.
        if unsafe inet_pton(AF_INET, host, &four) == 1 { return .ipv4(UInt32(bigEndian: four.s_addr), port: port) }
        var six = [UInt8](repeating: 0, count: 16)
        return unsafe inet_pton(AF_INET6, host, &six) == 1 ? .ipv6(six, port: port) : nil
    }

    /// The port; 0 for a Unix path.
    public var port: UInt16 {
        switch self {
        case .ipv4(_, let port), .ipv6(_, let port): port
        case .unix: 0
        }
    }

    /// The same host with another port; a Unix path as it is.
    func with(port: UInt16) -> SocketAddress {
        switch self {
        case .ipv4(let address, _): .ipv4(address, port: port)
        case .ipv6(let bytes, _): .ipv6(bytes, port: port)
        case .unix: self
        }
    }

    /// The host without its port; the path for a Unix socket.
    public var host: String {
        switch self {
        case .ipv4(let address, _):
            return [24, 16, 8, 0].map { String((address >> $0) & 0xFF) }.joined(separator: ".")
        case .ipv6(let bytes, _):
            var text = [CChar](repeating: 0, count: 64)
            // Safe: bytes holds the sixteen that AF_INET6 means; text has room for the longest form.
            guard unsafe inet_ntop(AF_INET6, bytes, &text, 64) != nil else { return "?" }
            return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        case .unix(let path): return path
        }
    }

    /// The form that `parse` reads.
    public var description: String {
        switch self {
        case .ipv4(_, let port): "\(host):\(port)"
        case .ipv6(_, let port): "[\(host)]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// True for addresses that only this machine reaches; a Unix path is one.
    public var isLoopback: Bool {
        switch self {
        case .ipv4(let address, _): address >> 24 == 127
        case .ipv6(let bytes, _): bytes == [UInt8](repeating: 0, count: 15) + [1]
        case .unix: true
        }
    }

    var family: Int32 {
        switch self {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    var isUnix: Bool { family == AF_UNIX }

    /// Lends the kernel's form of the address.
    func withKernelForm<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // Safe: sockaddr_storage is large and aligned enough for every address family.
        return unsafe withUnsafeMutablePointer(to: &storage) { storage in
            let raw = UnsafeMutableRawPointer(storage)
            switch self {
            case .ipv4(let address, let port):
                let form = unsafe raw.assumingMemoryBound(to: sockaddr_in.self)
                unsafe form.pointee.sin_family = sa_family_t(AF_INET)
                unsafe form.pointee.sin_port = port.bigEndian
                unsafe form.pointee.sin_addr.s_addr = address.bigEndian
                length = socklen_t(MemoryLayout<sockaddr_in>.size)
            case .ipv6(let bytes, let port):
                let form = unsafe raw.assumingMemoryBound(to: sockaddr_in6.self)
                unsafe form.pointee.sin6_family = sa_family_t(AF_INET6)
                unsafe form.pointee.sin6_port = port.bigEndian
                unsafe withUnsafeMutableBytes(of: &form.pointee.sin6_addr) { room in
                    unsafe room.copyBytes(from: bytes.prefix(16))
                }
                length = socklen_t(MemoryLayout<sockaddr_in6>.size)
            case .unix(let path):
                let form = unsafe raw.assumingMemoryBound(to: sockaddr_un.self)
                unsafe form.pointee.sun_family = sa_family_t(AF_UNIX)
                unsafe withUnsafeMutableBytes(of: &form.pointee.sun_path) { room in
                    unsafe room.copyBytes(from: path.utf8.prefix(room.count - 1))
                }
                length = socklen_t(MemoryLayout<sockaddr_un>.size)
            }
            return unsafe body(raw.assumingMemoryBound(to: sockaddr.self), length)
        }
    }

    /// Reads the kernel's form.
    static func fromKernel(_ storage: inout sockaddr_storage) -> SocketAddress {
        // Safe: the family says which form the storage holds.
        unsafe withUnsafePointer(to: &storage) { storage in
            let raw = unsafe UnsafeRawPointer(storage)
            switch unsafe Int32(storage.pointee.ss_family) {
            case AF_INET:
                let form = unsafe raw.assumingMemoryBound(to: sockaddr_in.self).pointee
                return .ipv4(UInt32(bigEndian: form.sin_addr.s_addr), port: UInt16(bigEndian: form.sin_port))
            case AF_INET6:
                var form = unsafe raw.assumingMemoryBound(to: sockaddr_in6.self).pointee
                let bytes = unsafe withUnsafeBytes(of: &form.sin6_addr) { unsafe [UInt8]($0) }
                return .ipv6(bytes, port: UInt16(bigEndian: form.sin6_port))
            default: return .unix("")
            }
        }
    }
}
