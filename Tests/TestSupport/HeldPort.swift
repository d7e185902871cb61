// Ports of loopback that nobody else gets while the test process lives.
import Foundation

/// TCP ports for programs that a test starts later.
package enum HeldPort {
    /// A port of 127.0.0.1 that neither the kernel nor another call gives to anybody else until this process ends.
    ///
    /// A socket of ours stays bound to it without listening: whoever asks for that very port with SO_REUSEADDR, as servers do, may still
    /// listen there. While nobody does, connections to it are refused.
    package static func next() -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var isOn: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isOn, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                precondition(bind(descriptor, $0, length) == 0, "the kernel has a free port")
                _ = getsockname(descriptor, $0, &length)
            }
            return UInt16(bigEndian: pointer.pointee.sin_port)
        }
    }
}
