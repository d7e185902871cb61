// Names to addresses, off the lanes: one lookup a name at a time, and a memory that outlives an outage of DNS.
import CLinux
import Core
import Dispatch
import Glibc

/// Resolves host names on threads of its own; numeric addresses never leave the lane.
public final class Resolver: @unchecked Sendable {
    /// The process' resolver.
    public static let shared = Resolver()

    /// Times and bounds.
    struct Limits: Sendable {
        /// The system's resolver does not tell lifetimes; providers' load balancers change within a minute.
        var fresh = Duration.seconds(30)
        /// So long after the last good lookup its addresses serve while there are no newer ones.
        var stale = Duration.seconds(3_600)
        /// Between two lookups of one name, good or bad.
        var pause = Duration.seconds(1)
        /// How long a connection waits for a lookup when it could go to an address of before.
        var grace = Duration.milliseconds(250)
        /// Lookups at once: each holds a thread, for up to half a minute when no server answers.
        var lookups = 8
        /// Names that wait for a thread.
        var queue = 256
        /// Names that are remembered.
        var names = 1_024
        /// Connections that wait for one name.
        var waiters = 4_096
    }

    /// The system's or a test's way to find the addresses of a name; empty when there are none. Blocks.
    typealias Lookup = @Sendable (String) -> [SocketAddress]

    private struct Entry {
        /// Those of the last good lookup.
        var addresses: [SocketAddress] = []
        var freshUntil: Instant
        var staleUntil: Instant
        /// No other lookup before this.
        var quietUntil: Instant
        /// Nil while no lookup is under way or waits for its thread.
        var waiting: [Reply]?

        func addresses(at now: Instant) -> [SocketAddress] { now < staleUntil ? addresses : [] }
    }

    private enum Step {
        case now([SocketAddress])
        case wait(old: [SocketAddress])
    }

    private let queue = DispatchQueue(label: "sluice.resolver", attributes: .concurrent)
    private let lock = ThreadLock()
    private let limits: Limits
    private let lookup: Lookup
    private var entries: [String: Entry] = [:]
    private var running = 0
    private var pending: [String] = []

    init(_ limits: Limits = Limits(), lookup: @escaping Lookup = Resolver.ask) {
        self.limits = limits
        self.lookup = lookup
    }

    /// Finds the addresses of `endpoint` and calls `then` once on the lane; an empty list means that there are none.
    ///
    /// What was found in the last 30 s is taken without asking. After that a name is asked for again, once whoever asks; its addresses of the
    /// last hour serve when that fails or takes longer than 250 ms. After a failure there is no other lookup for a second.
    func resolve(_ endpoint: Endpoint, on lane: Lane, then: @escaping ([SocketAddress]) -> Void) {
        switch endpoint {
        case .unix(let path): then([.unix(path)])
        case .host(let host, let port):
            if let numeric = SocketAddress.numeric(host, port: port) { return then([numeric]) }
            let reply = Reply(lane) { found in then(found.map { $0.with(port: port) }) }
            switch lock.withLock({ step(host, reply, at: lane.now) }) {
            case .now(let addresses): reply.give(addresses)
            case .wait(let old) where !old.isEmpty: lane.schedule(after: limits.grace) { reply.give(old) }
            case .wait: break
            }
        }
    }

    /// The addresses of `endpoint` may be wrong: a connection broke, or none came about. Who asks next has it looked up again.
    func distrust(_ endpoint: Endpoint) {
        guard case .host(let host, _) = endpoint else { return }
        _ = lock.withLock { entries[host]?.freshUntil = Instant(nanoseconds: 0) }
    }

    /// Under the lock.
    private func step(_ host: String, _ reply: Reply, at now: Instant) -> Step {
        var entry = entries[host] ?? Entry(freshUntil: now, staleUntil: now, quietUntil: now)
        let old = entry.addresses(at: now)
        if now < entry.freshUntil { return .now(old) }
        if let waiting = entry.waiting {
            guard waiting.count < limits.waiters else { return .now(old) }
            entries[host]?.waiting?.append(reply)
            return .wait(old: old)
        }
        guard now >= entry.quietUntil else { return .now(old) }
        if running < limits.lookups {
            running += 1
            queue.async { [self] in work(host) }
        } else if pending.count < limits.queue {
            pending.append(host)
        } else {
            return .now(old)
        }
        entry.waiting = [reply]
        if entries[host] == nil { makeRoom() }
        entries[host] = entry
        return .wait(old: old)
    }

    /// Forgets the name whose addresses are the oldest; those that are being asked for stay.
    private func makeRoom() {
        guard entries.count >= limits.names else { return }
        let idle = entries.filter { $0.value.waiting == nil }
        if let oldest = idle.min(by: { $0.value.staleUntil < $1.value.staleUntil }) { entries[oldest.key] = nil }
    }

    /// Asks for one name after another, as long as there are any.
    private func work(_ first: String) {
        var next: String? = first
        while let host = next {
            let found = lookup(host)
            let now = Host.monotonicNow()
            let (replies, addresses) = lock.withLock {
                defer {
                    next = pending.isEmpty ? nil : pending.removeFirst()
                    if next == nil { running -= 1 }
                }
                return take(found, for: host, at: now)
            }
            for reply in replies { reply.lane.execute { reply.give(addresses) } }
        }
    }

    /// Under the lock.
    private func take(_ found: [SocketAddress], for host: String, at now: Instant) -> ([Reply], [SocketAddress]) {
        guard var entry = entries[host], let replies = entry.waiting else { return ([], []) }
        entry.waiting = nil
        entry.quietUntil = now + limits.pause
        if !found.isEmpty {
            entry.addresses = found
            entry.freshUntil = now + limits.fresh
            entry.staleUntil = now + limits.stale
        }
        entries[host] = entry
        return (replies, entry.addresses(at: now))
    }

    /// Carries a lane's closure over to the resolver's thread and back; it runs on the lane only, and once.
    private final class Reply: @unchecked Sendable {
        let lane: Lane
        private var then: (([SocketAddress]) -> Void)?

        init(_ lane: Lane, _ then: @escaping ([SocketAddress]) -> Void) {
            self.lane = lane
            self.then = then
        }

        func give(_ addresses: [SocketAddress]) {
            let then = self.then
            self.then = nil
            then?(addresses)
        }
    }

    /// Asks the system.
    static func ask(_ host: String) -> [SocketAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        // Safe: the list is freed below and not used afterwards.
        guard unsafe getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
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
