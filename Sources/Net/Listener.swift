// Accepts connections on one lane, within limits that protect the lane from strangers.
import CLinux
import Core
import Glibc

/// How many strangers a listener lets in.
public struct ListenerLimits: Sendable {
    /// Connections open at once.
    public var connections = 10_000
    /// Connections whose handshake or greeting is not done yet.
    public var pending = 256
    /// The same from one source address.
    public var pendingPerSource = 64
    /// New connections per second, sustained; bursts of twice as many pass.
    public var acceptsPerSecond = 500
    /// An accepted connection with a descriptor from this one on is closed: the kernel gives the lowest that is free, so as many are
    /// open. What is left is for connections to others.
    public var descriptors = Int.max
    /// Time for the TLS handshake.
    public var handshakeTime = Duration.seconds(5)

    /// The protocol's defaults.
    public init() {}
}

/// What a listener counted since it started.
public struct ListenerCounts: Sendable {
    /// Connections accepted.
    public var accepted: Int64 = 0
    /// Connections closed at once because a limit was reached.
    public var refused: Int64 = 0
    /// Handshakes that failed or took too long.
    public var handshakeFailures: Int64 = 0
    /// Times that accepting rested for want of descriptors.
    public var pauses: Int64 = 0
    /// Connections open now.
    public var open = 0
    /// Connections in the handshake now.
    public var pending = 0

    /// Nothing yet.
    public init() {}
}

/// A listening socket of one lane. Several lanes may listen on one port; the kernel spreads connections over them.
public final class Listener<M: Machine & ~Copyable>: Pollable {
    /// The address really bound; tells the port after binding to port 0.
    public let address: SocketAddress
    /// What happened so far.
    public private(set) var counts = ListenerCounts()
    /// True while nobody is accepted: who comes waits in the kernel's queue, or goes elsewhere.
    public var isPaused = false { didSet { watchAgain() } }
    private let tls: TLSContext?
    private let limits: ListenerLimits
    private let machine: (Instant) -> M
    private let onAccept: (Channel<M>) -> Void
    private var pendingBySource: [String: Int] = [:]
    private var allowance: Double
    private var allowanceAt: Instant

    /// Listens on `address`. `onAccept` receives each established channel on the lane and must set its callbacks.
    ///
    /// - Throws: `SystemFailure` when the address cannot be used.
    public init(
        lane: Lane, address: SocketAddress, tls: TLSContext? = nil, limits: ListenerLimits = ListenerLimits(),
        machine: @escaping (Instant) -> M, onAccept: @escaping (Channel<M>) -> Void
    ) throws(SystemFailure) {
        let descriptor = try Socket.listen(on: address)
        self.address = address.isUnix ? address : Socket.boundAddress(of: descriptor)
        self.tls = tls
        self.limits = limits
        self.machine = machine
        self.onAccept = onAccept
        allowance = Double(limits.acceptsPerSecond * 2)
        allowanceAt = lane.now
        super.init(lane: lane)
        self.descriptor = descriptor
        let begin = Unshared { [self] in watch(EPOLLIN.rawValue) }
        if lane.isCurrent { begin.value() } else { lane.execute { begin.value() } }
    }

    /// Stops accepting; open channels live on.
    public func close() {
        guard descriptor >= 0 else { return }
        unwatch()
        Glibc.close(descriptor)
        descriptor = -1
    }

    override func ready(_ events: UInt32) {
        // A bounded number a turn, so that a flood leaves time for those who are in.
        for _ in 0..<16 {
            guard takeAllowance() else { return pause(.milliseconds(20)) }
            switch Socket.accept(from: descriptor) {
            case .none: return
            case .exhausted: return rest()
            case .connection(let accepted, let peer):
                guard Int(accepted) < limits.descriptors else {
                    counts.refused += 1
                    Glibc.close(accepted)
                    return rest()
                }
                admit(accepted, from: peer)
            }
        }
    }

    /// Descriptors are short: without a pause the lane would be told of the waiting connection again and again.
    private func rest() {
        counts.pauses += 1
        pause(.milliseconds(100))
    }

    private func watchAgain() { watch(isPaused ? 0 : EPOLLIN.rawValue) }

    private func pause(_ time: Duration) {
        watch(0)
        lane.schedule(after: time) { [weak self] in self?.watchAgain() }
    }

    private func takeAllowance() -> Bool {
        let rate = Double(limits.acceptsPerSecond)
        let passed = Double((lane.now - allowanceAt).nanoseconds) / 1e9
        allowance = min(rate * 2, allowance + passed * rate)
        allowanceAt = lane.now
        guard allowance >= 1 else { return false }
        allowance -= 1
        return true
    }

    private func admit(_ accepted: Int32, from peer: SocketAddress) {
        let source = peer.host
        guard counts.open < limits.connections, counts.pending < limits.pending,
            pendingBySource[source, default: 0] < limits.pendingPerSource,
            let session = try? tls.map({ context throws(TLSFailure) in
                try TLSSession(context: context, ciphertext: lane.ciphertext, serverName: nil)
            })
        else {
            if tls == nil, counts.open < limits.connections { return establish(accepted, peer, nil, source) }
            counts.refused += 1
            Glibc.close(accepted)
            return
        }
        establish(accepted, peer, session, source)
    }

    private func establish(_ accepted: Int32, _ peer: SocketAddress, _ session: TLSSession?, _ source: String) {
        counts.accepted += 1
        counts.open += 1
        let transport = Transport(lane: lane, descriptor: accepted, peer: peer, tls: session, isConnected: true)
        let channel = Channel(transport: transport, machine: machine(lane.now))
        let pending = session == nil ? nil : beginHandshake(transport, source)
        channel.onOpen = { [self] channel in
            channel.onOpen = nil
            channel.onClose = nil
            if let pending { endHandshake(pending, source) }
            transport.onGone = { [weak self] in self?.counts.open -= 1 }
            onAccept(channel)
        }
        channel.onClose = { [self] _, _ in
            if let pending { endHandshake(pending, source) }
            counts.handshakeFailures += 1
            counts.open -= 1
        }
        transport.start()
    }

    private func beginHandshake(_ transport: Transport, _ source: String) -> LaneTimer {
        counts.pending += 1
        pendingBySource[source, default: 0] += 1
        return lane.schedule(after: limits.handshakeTime) { [weak transport] in
            transport?.abort(.timeout("the TLS handshake"))
        }
    }

    private func endHandshake(_ timer: LaneTimer, _ source: String) {
        timer.cancel()
        counts.pending -= 1
        let left = pendingBySource[source, default: 1] - 1
        pendingBySource[source] = left > 0 ? left : nil
    }
}

/// Carries a lane's object to its lane in a closure that another thread hands over.
struct Unshared<T>: @unchecked Sendable {
    let value: T
    init(_ value: T) { self.value = value }
}
