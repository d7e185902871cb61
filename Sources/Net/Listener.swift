// Accepts connections on one lane, within limits that protect the lane from strangers.
import Core
import Glibc

/// A listening socket of one lane. Several lanes may listen on one port; the kernel spreads connections over them.
public final class Listener<M: Machine & ~Copyable> {
    /// The address really bound; tells the port after binding to port 0.
    public let address: SocketAddress
    private let door: Door

    /// Listens on `address`. `onAccept` receives each channel whose handshake is done, on the lane, and must set its callbacks.
    ///
    /// - Throws: `SystemFailure` when the address cannot be used.
    public init(
        lane: Lane, address: SocketAddress, tls: TLSContext? = nil, limits: ListenerLimits = ListenerLimits(),
        machine: @escaping (Instant) -> M, onAccept: @escaping (Channel<M>) -> Void
    ) throws(SystemFailure) {
        let descriptor = try Socket.listen(on: address)
        self.address = address.isUnix ? address : Socket.boundAddress(of: descriptor)
        door = Door(lane: lane, descriptor: descriptor, limits: limits, isPaced: tls != nil) { newcomer in
            var session: TLSSession?
            if let tls {
                session = try? TLSSession(context: tls, ciphertext: lane.ciphertext, serverName: nil)
                guard session != nil else { return nil }
            }
            let transport = Transport(
                lane: lane, descriptor: newcomer.takeDescriptor(), peer: newcomer.client, tls: session,
                isConnected: true)
            let channel = Channel(transport: transport, machine: machine(lane.now))
            channel.onOpen = { [weak newcomer] channel in
                channel.onOpen = nil
                channel.onClose = nil
                newcomer?.shookHands()
                onAccept(channel)
            }
            channel.onClose = { [weak newcomer] _, _ in newcomer?.failed() }
            return transport
        }
        let begin = Unshared(door)
        if lane.isCurrent { begin.value.watchAgain() } else { lane.execute { begin.value.watchAgain() } }
    }

    /// What happened so far.
    public var counts: ListenerCounts { door.counts }

    /// True while nobody is accepted: who comes waits in the kernel's queue, or goes elsewhere.
    public var isPaused: Bool {
        get { door.isPaused }
        set { door.isPaused = newValue }
    }

    /// Told of connections that were closed for a limit: of each kind the first immediately, then at most once in ten seconds.
    public var onRefusals: (([RefusalReport]) -> Void)? {
        get { door.onRefusals }
        set { door.onRefusals = newValue }
    }

    /// Stops accepting; open channels live on.
    public func close() { door.close() }
}

/// Carries a lane's object to its lane in a closure that another thread hands over.
struct Unshared<T>: @unchecked Sendable {
    let value: T
    init(_ value: T) { self.value = value }
}
