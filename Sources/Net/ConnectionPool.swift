// Idle connections to one upstream, kept for the next request; one pool per lane and target.
import Core

/// Bounds of a pool.
public struct PoolLimits: Sendable {
    /// Connections at once, leased and idle together.
    public var connections = 1_024
    /// Requests that wait for a connection.
    public var waiters = 1_024
    /// Time to connect, TLS included.
    public var connectTime = Duration.seconds(2)
    /// An idle connection older than this is closed; shorter than the keep-alive of common servers (nginx 75 s, Node 5 s is announced by headers).
    public var idleTime = Duration.seconds(50)
    /// A connection older than this is not used again: a name that moved to other servers takes its busy connections along in time.
    public var age = Duration.seconds(600)

    /// Defaults for a provider.
    public init() {}
}

/// Why no connection was leased.
public enum PoolFailure: Error, Equatable, Sendable {
    /// All connections are leased and the queue is full.
    case full
    /// No connection could be made.
    case connect(ConnectFailure)
    /// The pool was closed.
    case closed
}

/// Connections to one endpoint, for one lane. The newest idle connection is used first, so that a lull lets the rest expire.
public final class ConnectionPool<M: Machine & ~Copyable> {
    /// A place in the queue for a connection; cancel it when the request ends first.
    public final class Wait {
        fileprivate var then: ((Result<Channel<M>, PoolFailure>) -> Void)?
        private weak var pool: ConnectionPool?

        fileprivate init(_ pool: ConnectionPool, _ then: @escaping (Result<Channel<M>, PoolFailure>) -> Void) {
            self.pool = pool
            self.then = then
        }

        /// Leaves the queue; `then` will not be called.
        public func cancel() {
            guard then != nil else { return }
            then = nil
            pool?.waitEnded()
        }
    }

    private let lane: Lane
    private let endpoint: Endpoint
    private let tls: TLSContext?
    private let serverName: String?
    private let limits: PoolLimits
    private let machine: (Instant) -> M
    private var idle: [(channel: Channel<M>, since: Instant)] = []
    /// Those that wait, in order, and some that have left the queue.
    private var waiting: [Wait] = []
    /// Requests that wait for a connection.
    public private(set) var waiters = 0
    private var sweep: LaneTimer?
    private var isClosed = false
    /// Connections that are being made.
    private var opening = 0
    /// Connections that exist, leased, idle and being made.
    public private(set) var size = 0
    /// Connections made since the start.
    public private(set) var made: Int64 = 0
    /// Leases served by an idle connection.
    public private(set) var reused: Int64 = 0

    /// A pool of connections to `endpoint`; nothing is opened until the first lease.
    public init(
        lane: Lane, endpoint: Endpoint, tls: TLSContext?, serverName: String? = nil, limits: PoolLimits = PoolLimits(),
        machine: @escaping (Instant) -> M
    ) {
        self.lane = lane
        self.endpoint = endpoint
        self.tls = tls
        self.serverName = serverName
        self.limits = limits
        self.machine = machine
    }

    /// Idle connections at present.
    public var idleCount: Int { idle.count }

    /// An idle connection, if one is at hand. The caller owns it until `giveBack` or its close.
    public func leaseIdle() -> Channel<M>? {
        while let (channel, _) = idle.popLast() {
            guard channel.isOpen else { continue }
            guard !isOld(channel) else {
                discard(channel)
                continue
            }
            reused += 1
            forget(channel)
            return channel
        }
        return nil
    }

    /// Leases a connection, idle or new; calls `then` once on the lane, perhaps before returning. With `fresh`, idle ones are passed over.
    @discardableResult
    public func lease(fresh: Bool = false, _ then: @escaping (Result<Channel<M>, PoolFailure>) -> Void) -> Wait? {
        guard !isClosed else {
            then(.failure(.closed))
            return nil
        }
        if !fresh, let channel = leaseIdle() {
            then(.success(channel))
            return nil
        }
        guard waiters < limits.waiters else {
            then(.failure(.full))
            return nil
        }
        let wait = Wait(self, then)
        waiting.append(wait)
        waiters += 1
        // An idle connection that may not be used makes room for a new one.
        if size >= limits.connections, let (channel, _) = idle.popLast() { discard(channel) }
        openForWaiting()
        return wait
    }

    /// Returns a leased connection that is ready for another exchange. One with bytes that are unsent or unread is closed instead:
    /// they belong to the last exchange.
    public func giveBack(_ channel: Channel<M>) {
        let isClean = channel.transport.outputBacklog == 0 && channel.transport.input.isEmpty
        guard channel.isOpen, !isClosed, !isOld(channel), isClean else { return discard(channel) }
        if let wait = nextWaiting() {
            forget(channel)
            wait(.success(channel))
            return
        }
        channel.onEvent = { channel, _ in channel.abort() }
        channel.onDrained = nil
        channel.onClose = nil
        idle.append((channel, lane.now))
        if sweep == nil { armSweep() }
    }

    private func isOld(_ channel: Channel<M>) -> Bool { lane.now - channel.transport.since >= limits.age }

    /// Ends a leased connection that cannot be used again.
    public func discard(_ channel: Channel<M>) {
        forget(channel)
        channel.abort()
    }

    /// Closes idle connections and refuses further leases; leased ones end with their requests.
    public func close() {
        isClosed = true
        sweep?.cancel()
        for (channel, _) in idle { channel.close() }
        while let wait = nextWaiting() { wait(.failure(.closed)) }
    }

    /// Takes the callbacks of its last user, or the pool's own, off a channel.
    private func forget(_ channel: Channel<M>) {
        channel.onEvent = nil
        channel.onDrained = nil
        channel.onClose = nil
    }

    /// Counts the end of a channel, leased or idle; set once in its life.
    private func watchEnd(of channel: Channel<M>) {
        let transport = channel.transport
        transport.onGone = { [weak self, unowned transport] in
            guard let self else { return }
            size -= 1
            idle.removeAll { $0.channel.transport === transport }
            openForWaiting()
        }
    }

    private func open() {
        size += 1
        opening += 1
        Connector.connect(
            on: lane, to: endpoint, tls: tls, serverName: serverName, timeout: limits.connectTime, machine: machine
        ) { [self] result in
            opening -= 1
            switch result {
            case .failure(let failure):
                size -= 1
                // One failed attempt answers one waiting request: the rest have attempts of their own under way.
                nextWaiting()?(.failure(.connect(failure)))
                openForWaiting()
            case .success(let channel):
                made += 1
                watchEnd(of: channel)
                giveBackFresh(channel)
            }
        }
    }

    private func giveBackFresh(_ channel: Channel<M>) {
        if let wait = nextWaiting() {
            forget(channel)
            wait(.success(channel))
        } else {
            giveBack(channel)
        }
    }

    private func nextWaiting() -> ((Result<Channel<M>, PoolFailure>) -> Void)? {
        while !waiting.isEmpty {
            let wait = waiting.removeFirst()
            guard let then = wait.then else { continue }
            wait.then = nil
            waiters -= 1
            return then
        }
        return nil
    }

    /// One has left the queue. Those that have are taken out when they are most of it, so that each costs little and they hold no memory.
    private func waitEnded() {
        waiters -= 1
        if waiting.count > 2 * waiters + 16 { waiting.removeAll { $0.then == nil } }
    }

    /// Makes a connection if one waits that none is being made for: a lease may begin within the end of a connection, and both ask.
    private func openForWaiting() {
        if !isClosed, waiters > opening, size < limits.connections { open() }
    }

    private func armSweep() {
        sweep = lane.schedule(after: limits.idleTime / 2) { [weak self] in
            guard let self else { return }
            sweep = nil
            let oldest = lane.now - limits.idleTime
            for (channel, since) in idle where since < oldest { channel.close() }
            if !idle.isEmpty { armSweep() }
        }
    }
}
