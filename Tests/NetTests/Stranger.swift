// A plain socket of a test's own, from whichever address of 127.0.0.0/8 it likes: what attackers and balancers are made of.
import Foundation
import TestSupport

/// One connection, non-blocking.
final class Stranger {
    private let descriptor: Int32

    /// Connects to a port of 127.0.0.1 from the address 127.0.0.`from`.
    init(from last: UInt32, to port: UInt16, saying bytes: [UInt8] = []) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        func address(_ last: UInt32, _ port: UInt16) -> sockaddr_in {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = (0x7F00_0000 | last).bigEndian
            return address
        }
        func call(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32, _ address: sockaddr_in) throws {
            var address = address
            let code = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard code == 0 else { throw TestFailure("a stranger's socket: error \(errno)") }
        }
        let descriptor = descriptor
        try call({ bind(descriptor, $0, $1) }, address(last, 0))
        try call({ connect(descriptor, $0, $1) }, address(1, port))
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        say(bytes)
    }

    deinit { close(descriptor) }

    func say(_ bytes: [UInt8]) { if !bytes.isEmpty { _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) } }

    /// What has come by now; nil when the other side has closed.
    func hear() -> [UInt8]? {
        var room = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &room, room.count, 0)
        if count > 0 { return Array(room[..<count]) }
        return count < 0 && errno == EAGAIN ? [] : nil
    }

    /// False once the other side has closed; what it said is lost.
    var stands: Bool { hear() != nil }
}
