// Every limit that the wire enforces, each with its reason and what it may cost at worst.

/// The limits of one connection. All of them hold at the machines in this room; what a node limits across connections
/// (how many, per tenant, per address) is the node's.
public struct WireLimits: Sendable, Equatable {
    // MARK: Before authentication

    /// HELLO must be complete within this time of the start: a silent peer holds a socket. Cost: one socket.
    public var helloTime: Duration = .seconds(3)
    /// HELLO's longest payload and header: all that is buffered for a stranger. Cost: 4 KiB.
    public var helloBytes = 4096

    // MARK: Frames

    /// Longest payload received, 8,192…65,535: header and payload fill one TLS record. Cost: one frame in the input.
    public var frameBytes = 16_376
    /// First byte to last byte of a frame: a dribbling peer holds memory by time. Cost: one frame for 5 s.
    public var partialFrameTime: Duration = .seconds(5)

    // MARK: Streams

    /// Streams open at once, 1…4,096: Envoy's edge takes 100, HTTP/2 advises more than 100. Cost: 256 × 144 B of state.
    public var openStreams = 256
    /// New streams a second: what is open at once is bounded by credit, this bounds churn. Cost: CPU only.
    public var streamsPerSecond = 50_000
    /// Streams in a connection's life, far below 2³¹, so that ids never wrap.
    public var streamsPerConnection: UInt32 = 1_000_000_000

    // MARK: Requests

    /// Longest body: 1 MiB of text is more than the largest context in use. Cost: held by the owner, see the next.
    public var bodyBytes = 1 << 20
    /// Body bytes of open streams, received or granted. Cost: 4 MiB; further grants wait for earlier ones.
    public var inFlightBodyBytes = 4 << 20
    /// Body bytes that may come before admission. Cost: 16 KiB a stream.
    public var freeBodyBytes = 16_384
    /// Shortest body fragment that is not the last: a fragment costs an event. Cost: CPU only.
    public var bodyFragmentBytes = 4096
    /// All of a body, counted while the client is free to send it. Cost: the body for 10 s.
    public var bodyTime: Duration = .seconds(10)
    /// Slowest body, in bytes a second, after two seconds' grace.
    public var bodyBytesPerSecond = 4096

    // MARK: Responses

    /// Response window that this side offers in HELLO, in KiB, 16…1,024. Cost at the client: 64 KiB a stream.
    public var windowKiB = 64
    /// Queued for one stream: from here on its producer is told to stop. Cost: 256 × 16 KiB = 4 MiB.
    public var streamHighWatermark = 16_384
    /// Queued for one stream: from here down its producer is told to go on.
    public var streamLowWatermark = 4096
    /// Queued for all streams together: from here on every producer is told to stop. Cost: 1 MiB.
    public var queuedBytes = 1 << 20
    /// Queued for all streams together: from here on the peer is cut. Producers overshoot by what they had already read,
    /// one provider event each, so this is reached only when they ignore `false`. Cost: 16 MiB.
    public var queuedBytesHard = 16 << 20
    /// Bytes of one response. Cost: none, it passes through; bounds a provider that never ends.
    public var responseBytes = 16 << 20
    /// A stream that has bytes to send and no credit for this long is reported as a slow consumer. Cost: 16 KiB for 30 s.
    public var creditStallTime: Duration = .seconds(30)
    /// Bytes handed to the driver and not yet written: more only delays control frames. Cost: 64 KiB.
    public var underWayBytes = 65_536
    /// The driver's backlog does not shrink for this long: the peer does not read. Cost: 64 KiB for 20 s.
    public var writeStallTime: Duration = .seconds(20)
    /// The largest count in a report: a thousand requests a second for 35 years, or a million dollars. What is above is no count
    /// but a mistake, and sums of such counts cannot overflow. Senders stop counting here.
    public static let reportedCount: UInt64 = 1 << 40
    /// A message of the control plane, all fragments together. Cost: 64 MiB at a node, for a coordinator it trusts.
    public var stateMessageBytes = 64 << 20

    // MARK: Time

    /// Silence after which this side sends PING. Half-open peers are found after this plus the next.
    public var pingIdle: Duration = .seconds(30)
    /// PONG must come within this time.
    public var pongTime: Duration = .seconds(10)
    /// Shortest time between two PINGs from the peer; gRPC takes 5 min and two strikes.
    public var pingInterval: Duration = .seconds(10)
    /// PINGs that may come sooner, in a connection's life. Cost: three PONGs.
    public var pingStrikes = 3
    /// A connection without streams says GOAWAY after this time.
    public var idleTime: Duration = .seconds(600)
    /// A connection says GOAWAY at this age, ± 10 % by its seed, so that certificates rotate and load spreads.
    public var age: Duration = .seconds(1800)
    /// Streams may run on this long after GOAWAY.
    public var drainTime: Duration = .seconds(620)
    /// Between the two GOAWAYs when the peer does not answer the PING between them.
    public var goAwayTime: Duration = .seconds(1)

    // MARK: Abuse budgets

    /// Oddities (a cancel within 1 s, a CREDIT that does not rise, an ignorable frame) in store. NIO takes 200, HAProxy 50.
    public var glitches = 200
    /// Oddities that come back each second.
    public var glitchesPerSecond = 2
    /// CREDIT frames beyond two for every 4 KiB sent. Envoy has the same for WINDOW_UPDATE.
    public var creditFrames = 16
    /// RESUMEs that may be refused in a connection's life; 0: the capability is not offered. As many as a client may have lost
    /// with one connection. Cost: one look-up each.
    public var refusedResumes = 0
    /// Bytes a second that frames may bring, each charged at least `frameCharge`. Cost: CPU only.
    public var inboundBytesPerSecond = 128 << 20
    /// Bytes at once.
    public var inboundBurstBytes = 16 << 20
    /// The least that a frame is charged: bookkeeping costs more than bytes.
    public var frameCharge = 256

    /// The standard limits.
    public static let standard = WireLimits()

    /// The standard limits, to be changed.
    public init() {}

    /// What is wrong with these limits, for whoever lets people set them; empty when they hold together.
    public var problems: [String] {
        var problems: [String] = []
        func check(_ isRight: Bool, _ sentence: String) { if !isRight { problems.append(sentence) } }
        check((8192...65_535).contains(frameBytes), "the longest frame is 8,192 to 65,535 bytes")
        check((1...4096).contains(openStreams), "open streams are 1 to 4,096")
        check((1...16 << 20).contains(bodyBytes), "the longest body is 1 byte to 16 MiB")
        check((1...16_384).contains(freeBodyBytes), "the free part of a body is 1 byte to 16 KiB")
        check((16...1024).contains(windowKiB), "the response window is 16 to 1,024 KiB")
        check(bodyBytes <= inFlightBodyBytes, "one body must fit the bodies in flight")
        check(streamLowWatermark < streamHighWatermark, "the low watermark lies below the high one")
        check(queuedBytes <= 4 << 20, "at most 4 MiB wait in queues")
        check(streamsPerConnection < 1 << 31, "stream ids stay below 2^31")
        return problems
    }
}

/// The limits of one request's content. Counts are limited as well as bytes, because bookkeeping costs more than bytes.
public struct BodyLimits: Sendable, Equatable {
    /// Messages. Cost: one item each, nothing is kept.
    public var messages = 2048
    /// Parts of all messages together.
    public var parts = 4096
    /// Tools.
    public var tools = 128
    /// Stop sequences.
    public var stops = 8
    /// Pairs of metadata, keys of at most 64 bytes, values of at most 256.
    public var metadata = 16
    /// Providers that get members of their own.
    public var passthroughs = 4
    /// Texts of an embeddings request.
    public var inputs = 2048
    /// One schema or other JSON object. Cost: CPU, the text is scanned once.
    public var schemaBytes = 65_536
    /// All schemas together.
    public var schemaBytesTogether = 262_144
    /// Nesting of JSON; deeper text is refused before any provider sees it.
    public var jsonDepth = 32

    /// The standard limits.
    public static let standard = BodyLimits()

    /// The standard limits, to be changed.
    public init() {}
}
