// Where a test's cluster lives: a folder and thirty ports that no other test has, in this process or another.
import Foundation

/// A folder in the temporary directory and a range of ports; both are given back at the end.
final class Place: @unchecked Sendable {
    let folder: URL
    /// The first of the ports; the last one is kept bound, so that other test processes leave the range alone.
    let base: Int
    private let guardian: Int32
    static let ports = 30

    private static let prefix = "sluice-test-"

    init() throws {
        _ = Place.tidied
        var found: (Int, Int32)?
        for _ in 0..<200 where found == nil {
            // Below 32768, where the kernel begins to choose ports for outgoing connections.
            let base = Int.random(in: 200...600) * 50
            found = Place.claim(base).map { (base, $0) }
        }
        guard let found else { throw ClusterFailure(description: "no thirty free ports in a row") }
        (base, guardian) = found
        folder = FileManager.default.temporaryDirectory
            .appending(path: "\(Place.prefix)\(ProcessInfo.processInfo.processIdentifier)-\(base)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    func leave() {
        close(guardian)
        try? FileManager.default.removeItem(at: folder)
    }

    /// Folders of test processes that were killed.
    private static let tidied: Void = {
        let root = FileManager.default.temporaryDirectory
        for name in (try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? [] where name.hasPrefix(prefix)
        {
            let pid = name.dropFirst(prefix.count).prefix { $0.isNumber }
            guard !pid.isEmpty, !FileManager.default.fileExists(atPath: "/proc/\(pid)") else { continue }
            try? FileManager.default.removeItem(at: root.appending(path: name))
        }
    }()

    /// The guarding socket when all ports from `base` are free.
    private static func claim(_ base: Int) -> Int32? {
        // It listens, so that scripts see it as well.
        guard let guardian = bound(base + ports - 1), listen(guardian, 1) == 0 else { return nil }
        for port in base..<base + ports - 1 {
            guard let socket = bound(port) else {
                close(guardian)
                return nil
            }
            close(socket)
        }
        return guardian
    }

    private static func bound(_ port: Int) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let isBound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        if isBound { return descriptor }
        close(descriptor)
        return nil
    }
}
