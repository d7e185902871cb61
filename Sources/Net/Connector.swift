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
    /// All addresses of a name are tried within `timeout`, the next one as soon as the one before fails or has not answered for 250 ms, IPv6
    /// and IPv4 in turn; the first that is open wins (RFC 8305). With `afresh` a name is looked up again, though it was a moment ago: for what
    /// replaces a connection that broke. The channel's callbacks must be set inside `then`.
    public static func connect<M: Machine & ~Copyable>(
        on lane: Lane, to endpoint: Endpoint, tls: TLSContext?, serverName: String? = nil,
        timeout: Duration = .seconds(2), afresh: Bool = false, machine: @escaping (Instant) -> M,
        then: @escaping (Result<Channel<M>, ConnectFailure>) -> Void
    ) {
        if afresh { Resolver.shared.distrust(endpoint) }
        connect(
            on: lane, to: endpoint, tls: tls, serverName: serverName, timeout: timeout, resolver: .shared,
            machine: machine, then: then)
    }

    static func connect<M: Machine & ~Copyable>(
        on lane: Lane, to endpoint: Endpoint, tls: TLSContext?, serverName: String?, timeout: Duration,
        resolver: Resolver, machine: @escaping (Instant) -> M,
        then: @escaping (Result<Channel<M>, ConnectFailure>) -> Void
    ) {
        let attempt = ConnectAttempt(
            lane: lane, endpoint: endpoint, tls: tls, serverName: serverName, resolver: resolver, machine: machine,
            then: then)
        attempt.start(timeout: timeout)
    }

    /// How long an address may leave a connection unanswered before the next one is tried beside it (RFC 8305, section 5).
    static let stagger = Duration.milliseconds(250)
    /// Addresses of a name that are tried.
    static let addressLimit = 16

    /// The order in which addresses are tried: as the resolver sorted them, but the families in turn.
    static func order(_ found: [SocketAddress]) -> [SocketAddress] {
        guard let first = found.first else { return [] }
        var same = found.filter { $0.family == first.family }[...]
        var other = found.filter { $0.family != first.family }[...]
        var ordered: [SocketAddress] = []
        while !same.isEmpty || !other.isEmpty {
            if let next = same.popFirst() { ordered.append(next) }
            if let next = other.popFirst() { ordered.append(next) }
        }
        return Array(ordered.prefix(addressLimit))
    }
}

/// One attempt to connect, over all addresses of a name.
private final class ConnectAttempt<M: Machine & ~Copyable> {
    let lane: Lane
    let endpoint: Endpoint
    let tls: TLSContext?
    let serverName: String?
    let resolver: Resolver
    let machine: (Instant) -> M
    var then: ((Result<Channel<M>, ConnectFailure>) -> Void)?
    var timer: LaneTimer?
    /// Fires when the next address has its turn.
    var turn: LaneTimer?
    var addresses: ArraySlice<SocketAddress> = []
    /// Connections under way.
    var racing: [Channel<M>] = []
    /// Of the address that failed last.
    var failure: ConnectFailure

    init(
        lane: Lane, endpoint: Endpoint, tls: TLSContext?, serverName: String?, resolver: Resolver,
        machine: @escaping (Instant) -> M, then: @escaping (Result<Channel<M>, ConnectFailure>) -> Void
    ) {
        self.lane = lane
        self.endpoint = endpoint
        self.tls = tls
        if case .host(let host, _) = endpoint, serverName == nil {
            self.serverName = host
        } else {
            self.serverName = serverName
        }
        self.resolver = resolver
        self.machine = machine
        self.then = then
        failure = .unresolved(endpoint.description)
    }

    func start(timeout: Duration) {
        timer = lane.schedule(after: timeout) { self.finish(.failure(.timeout)) }
        resolver.resolve(endpoint, on: lane) { found in
            self.addresses = Connector.order(found)[...]
            self.tryNext()
        }
    }

    private func tryNext() {
        turn?.cancel()
        while then != nil, let address = addresses.popFirst() {
            do {
                try tryOne(address)
                return awaitTurn(1)
            } catch let problem as SystemFailure {
                failure = .refused(.system(problem))
            } catch let problem as TLSFailure {
                failure = .refused(.tls(problem))
            } catch {
                preconditionFailure("only the system and TLS refuse an address")
            }
        }
        if racing.isEmpty { finish(.failure(failure)) }
    }

    /// A server that has answered, and is busy with the handshake, has four times as long before another is asked.
    private func awaitTurn(_ round: Int) {
        guard then != nil, !addresses.isEmpty else { return }
        turn?.cancel()
        turn = lane.schedule(after: Connector.stagger) { [self] in
            if round < 4, racing.contains(where: { $0.transport.state == .handshaking }) { return awaitTurn(round + 1) }
            tryNext()
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
        racing.append(channel)
        channel.onOpen = { [self] channel in
            channel.onOpen = nil
            channel.onClose = nil
            leave(channel)
            finish(.success(channel))
        }
        channel.onClose = { [self] channel, reason in
            leave(channel)
            failure = .refused(reason)
            tryNext()
        }
        transport.start()
    }

    private func leave(_ channel: Channel<M>) { racing.removeAll { $0 === channel } }

    private func finish(_ result: Result<Channel<M>, ConnectFailure>) {
        guard let then else { return }
        self.then = nil
        timer?.cancel()
        turn?.cancel()
        // None of the addresses is good: perhaps there are others by now.
        if case .failure = result { resolver.distrust(endpoint) }
        let losers = racing
        racing = []
        for channel in losers {
            channel.onOpen = nil
            channel.onClose = nil
            channel.abort()
        }
        then(result)
    }
}
