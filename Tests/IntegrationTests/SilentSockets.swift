// Sockets that connect and say nothing, or little: what a stranger needs to try to keep others out.
import Foundation

/// Connections from one address of 127.0.0.0/8, held until this object goes.
final class SilentSockets {
    private var descriptors: [Int32] = []

    /// Opens `count` connections to a port from 127.0.0.`last`.
    init(_ count: Int, from last: UInt32 = 1, to port: Int, saying text: String = "") throws {
        for _ in 0..<count {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            descriptors.append(descriptor)
            guard call(bind, descriptor, last, 0), call(connect, descriptor, 1, UInt16(port)) else {
                throw ClusterFailure(description: "a socket to port \(port): error \(errno)")
            }
            if !text.isEmpty { _ = send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL)) }
        }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }

    private func call(
        _ body: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32, _ descriptor: Int32, _ last: UInt32,
        _ port: UInt16
    ) -> Bool {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = (0x7F00_0000 | last).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
