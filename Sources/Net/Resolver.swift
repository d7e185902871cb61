// Names to addresses, off the lanes, with a short memory.
import CLinux
import Core
import Dispatch
import Glibc

/// Resolves host names on a thread of its own; numeric addresses never leave the lane.
public final class Resolver: @unchecked Sendable {
    /// The process' resolver.
    public static let shared = Resolver()

    private struct Entry {
        let addresses: [SocketAddress]
        let expires: Instant
    }

    private let queue = DispatchQueue(label: "sluice.resolver", attributes: .concurrent)
    private let lock = ThreadLock()
    private var known: [String: Entry] = [:]
    /// The system's resolver does not tell lifetimes; providers' load balancers change within a minute.
    private let lifetime = Duration.seconds(30)
    private let limit = 1_024

    /// Finds the addresses of `endpoint` and calls `then` on the lane; an empty list means that there are none.
    func resolve(_ endpoint: Endpoint, on lane: Lane, then: @escaping ([SocketAddress]) -> Void) {
        switch endpoint {
        case .unix(let path): then([.unix(path)])
        case .host(let host, let port):
            if let numeric = SocketAddress.numeric(host, port: port) { return then([numeric]) }
            let key = "\(host):\(port)"
            let now = lane.now
            if let entry = lock.withLock({ known[key] }), entry.expires > now { return then(entry.addresses) }
            let reply = Reply(then)
            queue.async { [self] in
                let found = Resolver.ask(host, port: port)
                if !found.isEmpty { remember(key, Entry(addresses: found, expires: now + lifetime)) }
                lane.execute { reply.body(found) }
            }
        }
    }

    /// Carries a lane's closure over to the resolver's thread and back; it runs on the lane only.
    private final class Reply: @unchecked Sendable {
        let body: ([SocketAddress]) -> Void
        init(_ body: @escaping ([SocketAddress]) -> Void) { self.body = body }
    }

    private func remember(_ key: String, _ entry: Entry) {
        lock.withLock {
            if known.count >= limit { known.removeAll() }
            known[key] = entry
        }
    }

    private static func ask(_ host: String, port: UInt16) -> [SocketAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        // Safe: the list is freed below and not used afterwards.
        guard unsafe getaddrinfo(host, String(port), &hints, &list) == 0 else { return [] }
        defer { unsafe freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var next = unsafe list
        while let entry = unsafe next {
            var storage = sockaddr_storage()
            let length = unsafe Int(entry.pointee.ai_addrlen)
            if length <= MemoryLayout<sockaddr_storage>.size, let address = unsafe entry.pointee.ai_addr {
                // Safe: length was checked against the storage.
                unsafe withUnsafeMutableBytes(of: &storage) { room in
                    unsafe room.copyMemory(from: UnsafeRawBufferPointer(start: address, count: length))
                }
                let parsed = SocketAddress.fromKernel(&storage)
                if !found.contains(parsed) { found.append(parsed) }
            }
            unsafe next = entry.pointee.ai_next
        }
        return found
    }
}
