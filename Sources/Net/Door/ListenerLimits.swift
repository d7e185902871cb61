// What a listener takes from strangers, and what it counts.
import Core

/// How many strangers a listener lets in, and how long they may take.
public struct ListenerLimits: Sendable {
    /// Connections open at once.
    public var connections = 10_000
    /// Newcomers: connections whose handshake or greeting is not done yet. When there is no room for another, the oldest of the source that
    /// has most is closed. Cost: 0.5 KiB each until it speaks, then some 40 KiB.
    public var newcomers = 512
    /// The same of one source: an IPv4 address, or an IPv6 network of 64 bits.
    public var newcomersPerSource = 128
    /// Handshakes begun in a second, sustained, and at once: each costs the lane about half a millisecond. Sources take turns.
    public var handshakesPerSecond = 500
    /// Handshakes begun in one turn of the lane, so that those who are in wait 2 ms at most.
    public var handshakesPerTurn = 4
    /// An accepted connection with a descriptor from this one on is closed: the kernel gives the lowest that is free, so as many are
    /// open. What is left is for connections to others.
    public var descriptors = Int.max
    /// Time for a connection's first byte, and for a balancer's header before it.
    public var firstByteTime = Duration.seconds(1)
    /// Time for the TLS handshake.
    public var handshakeTime = Duration.seconds(5)
    /// Who must begin with a PROXY header that names the client; nobody else may.
    public var isBalancer: (@Sendable (SocketAddress) -> Bool)?
    /// When a connection is established.
    public var establishment = Establishment.handshake

    /// When a connection is no newcomer any more.
    public enum Establishment: Sendable {
        /// After the handshake; without TLS at once.
        case handshake
        /// When the owner says `Channel.greeted()`.
        case greeting
        /// Never: when there is no room, the one that said `Channel.greeted()` longest ago goes. For ports that many may ask and nobody may
        /// hold, such as an admin port.
        case never
    }

    /// The protocol's defaults.
    public init() {}

    /// The limits of an admin port: whoever comes has a place, also while 256 others sit there and say nothing.
    public static var admin: ListenerLimits {
        var limits = ListenerLimits()
        limits.connections = 256
        limits.newcomers = 256
        limits.newcomersPerSource = 64
        limits.establishment = .never
        return limits
    }
}

/// Why a listener closed a connection that it had not refused for what was said on it.
public enum ConnectionRefusal: String, CaseIterable, Sendable {
    /// All connections that the listener may have are established.
    case connections
    /// Descriptors are short.
    case descriptors
    /// No room for newcomers: it was the oldest of the source that had most.
    case crowded
    /// Its source had as many newcomers as one may have: it was the oldest of them.
    case source
    /// It did not say a word in time.
    case silent
    /// Its handshake took too long.
    case handshakeTime = "handshake_time"
    /// It comes from a balancer's address and does not begin with a PROXY header.
    case proxyHeader = "proxy_header"
}

/// What a listener counted since it started.
public struct ListenerCounts: Sendable {
    /// Connections accepted.
    public var accepted: Int64 = 0
    /// Connections closed for a limit, by reason.
    public var refusals: [ConnectionRefusal: Int64] = [:]
    /// The sum of these.
    public var refused: Int64 { refusals.values.reduce(0, +) }
    /// Handshakes that failed for what was said in them.
    public var handshakeFailures: Int64 = 0
    /// Times that accepting rested for want of descriptors.
    public var pauses: Int64 = 0
    /// Connections open now.
    public var open = 0
    /// Newcomers among them.
    public var pending = 0

    /// Nothing yet.
    public init() {}

    /// Adds what another listener counted.
    public mutating func merge(_ other: ListenerCounts) {
        accepted += other.accepted
        refusals.merge(other.refusals, uniquingKeysWith: +)
        handshakeFailures += other.handshakeFailures
        pauses += other.pauses
        open += other.open
        pending += other.pending
    }
}

/// Refusals of one kind since they were last told of.
public struct RefusalReport: Equatable, Sendable {
    /// What for.
    public let reason: ConnectionRefusal
    /// How many.
    public let count: Int
    /// Where the last of them came from.
    public let source: String
}

/// Decides when refusals are told: the first of a kind immediately, then at most once in ten seconds with their number.
struct RefusalLog {
    static let interval = Duration.seconds(10)
    private var waiting: [ConnectionRefusal: (count: Int, source: SocketAddress)] = [:]
    private var toldAt: [ConnectionRefusal: Instant] = [:]

    /// When `due` has something to tell; nil while nothing waits.
    var deadline: Instant? { waiting.keys.compactMap { toldAt[$0].map { $0 + RefusalLog.interval } }.min() }

    /// Notes one; returns what is to be told of now.
    mutating func note(_ reason: ConnectionRefusal, from source: SocketAddress, at now: Instant) -> RefusalReport? {
        if let told = toldAt[reason], now - told < RefusalLog.interval {
            waiting[reason] = ((waiting[reason]?.count ?? 0) + 1, source)
            return nil
        }
        let count = (waiting.removeValue(forKey: reason)?.count ?? 0) + 1
        toldAt[reason] = now
        return RefusalReport(reason: reason, count: count, source: source.host)
    }

    /// What has waited long enough.
    mutating func due(at now: Instant) -> [RefusalReport] {
        var reports: [RefusalReport] = []
        for reason in ConnectionRefusal.allCases {
            guard let (count, source) = waiting[reason], let told = toldAt[reason], now - told >= RefusalLog.interval
            else { continue }
            waiting[reason] = nil
            toldAt[reason] = now
            reports.append(RefusalReport(reason: reason, count: count, source: source.host))
        }
        return reports
    }
}
