// Makes outgoing connections: resolve, connect, TLS, all within one time limit.
import CLinux
import Core
import Glibc

/// Why no connection came about.
public enum ConnectFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The name has no address.
    case unresolved(String)
    /// The last address that was tried refused or did not answer.
    case refused(CloseReason)
    /// The time limit passed.
    case timeout

    /// One sentence for a log line.
    public var description: String {
        switch self {
        case .unresolved(let name): "no address for \(name)"
        case .refused(let reason): reason.description
        case .timeout: "connecting took too long"
        }
    }
}

/// Outgoing connections.
public enum Connector {
    /// Connects to `endpoint` and hands over an open channel, or says why there is none; calls `then` exactly once, on the lane.
    ///
    /// The channel's callbacks must be set inside `then`.
    public static func connect<M: Machine & ~Copyable>(
        on lane: Lane, to endpoint: Endpoint, tls: TLSContext?, serverName: String? = nil,
        timeout: Duration = .seconds(2), machine: @escaping (Instant) -> M,
        then: @escaping (Result<Channel<M>, ConnectFailure>) -> Void
    ) {
        let attempt = ConnectAttempt(
            lane: lane, endpoint: endpoint, tls: tls, serverName: serverName, machine: machine, then: then)
        attempt.start(timeout: timeout)
    }
}

/// One attempt to connect, over all addresses of a name.
private final class ConnectAttempt<M: Machine & ~Copyable> {
    let lane: Lane
    let endpoint: Endpoint
    let tls: TLSContext?
    let serverName: String?
    let machine: (Instant) -> M
    var then: ((Result<Channel<M>, ConnectFailure>) -> Void)?
    var timer: LaneTimer?
    var addresses: ArraySlice<SocketAddress> = []
    var channel: Channel<M>?

    init(
        lane: Lane, endpoint: Endpoint, tls: TLSContext?, serverName: String?, machine: @escaping (Instant) -> M,
        then: @escaping (Result<Channel<M>, ConnectFailure>) -> Void
    ) {
        self.lane = lane
        self.endpoint = endpoint
        self.tls = tls
        if case .host(let host, _) = endpoint, serverName == nil {
            self.serverName = host
        } else {
            self.serverName = serverName
        }
        self.machine = machine
        self.then = then
    }

    func start(timeout: Duration) {
        timer = lane.schedule(after: timeout) { self.finish(.failure(.timeout)) }
        Resolver.shared.resolve(endpoint, on: lane) { found in
            self.addresses = found[...]
            self.tryNext(.unresolved(self.endpoint.description))
        }
    }

    private func tryNext(_ failure: ConnectFailure) {
        guard then != nil else { return }
        guard let address = addresses.popFirst() else { return finish(.failure(failure)) }
        do {
            try tryOne(address)
        } catch let failure as SystemFailure {
            tryNext(.refused(.system(failure)))
        } catch let failure as TLSFailure {
            tryNext(.refused(.tls(failure)))
        } catch {
            tryNext(failure)
        }
    }

    private func tryOne(_ address: SocketAddress) throws {
        let session = try tls.map { context throws(TLSFailure) in
            try TLSSession(context: context, ciphertext: lane.ciphertext, serverName: serverName)
        }
        let descriptor = try Socket.open(for: address)
        // Safe: the kernel copies the address during the call.
        let code = unsafe address.withKernelForm { unsafe Glibc.connect(descriptor, $0, $1) }
        if code != 0, clinux_errno() != EINPROGRESS {
            let failure = SystemFailure(call: "connect", subject: address.description, code: clinux_errno())
            close(descriptor)
            throw failure
        }
        let transport = Transport(
            lane: lane, descriptor: descriptor, peer: address, tls: session, isConnected: code == 0)
        let channel = Channel(transport: transport, machine: machine(lane.now))
        self.channel = channel
        channel.onOpen = { channel in
            channel.onOpen = nil
            channel.onClose = nil
            self.channel = nil
            self.finish(.success(channel))
        }
        channel.onClose = { _, reason in
            self.channel = nil
            self.tryNext(.refused(reason))
        }
        transport.start()
    }

    private func finish(_ result: Result<Channel<M>, ConnectFailure>) {
        guard let then else { return }
        self.then = nil
        timer?.cancel()
        if let channel {
            channel.onClose = nil
            channel.abort()
        }
        channel = nil
        then(result)
    }
}
