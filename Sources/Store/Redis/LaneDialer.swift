// Carries Redis connections over Net: TCP, Unix sockets, TLS; everything on one lane.

import Core
import Net

/// Opens the sockets of one lane's Redis connections.
public final class LaneDialer: RedisDialer {
    private let lane: Lane
    private let endpoint: Endpoint
    private let tls: TLSContext?
    private let serverName: String?

    /// Dials `endpoint` on `lane`; with `tls` the server must prove to be `serverName` (the endpoint's host when nil).
    public init(lane: Lane, endpoint: Endpoint, tls: TLSContext? = nil, serverName: String? = nil) {
        self.lane = lane
        self.endpoint = endpoint
        self.tls = tls
        self.serverName = serverName
    }

    /// The lane's present moment.
    public var now: Instant { lane.now }

    /// Connects, TLS included, within `timeout`.
    public func dial(_ connection: RedisConnection, timeout: Duration) {
        let limits = connection.limits
        Connector.connect(
            on: lane, to: endpoint, tls: tls, serverName: serverName, timeout: timeout, afresh: true,
            machine: { _ in RedisMachine(limits: limits) },
            then: { [weak connection] (result: Result<Channel<RedisMachine>, ConnectFailure>) in
                switch result {
                case .failure(let failure): connection?.linkClosed(nil, failure.description)
                case .success(let channel):
                    guard let connection else { return channel.abort() }
                    // A settlement is handed to the kernel before its answer's last frame: a node that dies between the two has
                    // then settled what it told nobody, and never told what it did not settle.
                    channel.goesFirst = true
                    channel.onDeadline = { $0.machine.hostLateness = $0.lane.turnTimes.lateness }
                    let link = LaneLink(channel)
                    channel.onEvent = { [weak connection] _, event in connection?.linkEvent(event, from: link) }
                    channel.onClose = { [weak connection] _, reason in
                        connection?.linkClosed(link, reason.description)
                    }
                    connection.linkOpened(link)
                }
            })
    }

    /// A timer of the lane.
    public func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void {
        let timer = lane.schedule(after: delay, body)
        return { timer.cancel() }
    }
}

/// Dials any address on one lane.
public final class LaneNetwork: RedisNetwork {
    private let lane: Lane
    private let tls: TLSContext?

    /// Dials on `lane`; with `tls` each server must prove to be the host that it is dialed by.
    public init(lane: Lane, tls: TLSContext? = nil) {
        self.lane = lane
        self.tls = tls
    }

    /// The lane's present moment.
    public var now: Instant { lane.now }

    /// A dialer to one address.
    public func dialer(to endpoint: Endpoint) -> any RedisDialer {
        LaneDialer(lane: lane, endpoint: endpoint, tls: tls)
    }

    /// A timer of the lane.
    public func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void {
        let timer = lane.schedule(after: delay, body)
        return { timer.cancel() }
    }
}

/// One open channel as the connection sees it.
private final class LaneLink: RedisLink {
    private let channel: Channel<RedisMachine>

    init(_ channel: Channel<RedisMachine>) { self.channel = channel }

    func send(deadline: Instant, _ write: (inout ByteBuffer) -> Void) -> UInt64? {
        channel.machine.hostLateness = channel.lane.turnTimes.lateness
        let number = channel.machine.send(deadline: deadline, write)
        channel.wake()
        return number
    }

    func abort() { channel.abort() }
}
