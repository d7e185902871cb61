// The accepting side of a sluice/1 connection, without I/O: a node's side towards clients, a coordinator's towards nodes.

public import Core

/// One accepted connection. PROTOCOL.md, section 6, has its state tables.
///
/// The owner answers `.hello` with `accept` or `reject`, each request with exactly one `end` or `fail`, and each request once more
/// with `release` when nothing runs for it upstream and its settlement is handed over: only then does its stream credit return.
/// Once the connection is over, every call is ignored.
public struct ServerConnection: Machine, ~Copyable {
    /// What the owner must know or do.
    public enum Event {
        /// Answer with `accept` or `reject`; nothing is read until then.
        indirect case hello(Hello)
        /// A new stream; `body` is its first part.
        case request(stream: UInt32, head: RequestHead, body: ByteSlice, isComplete: Bool)
        /// More of a body.
        case body(stream: UInt32, ByteSlice, isComplete: Bool)
        /// The client does not want the answer; exactly one terminal frame is still owed.
        case cancel(stream: UInt32, reason: CancelReason)
        /// After `sendDelta` or `sendEvent` said false: go on.
        case writable(stream: UInt32)
        /// Continue a stream of another connection here, or fail this one with `resumeUnknown`.
        case resume(stream: UInt32, Resume)
        /// A node wants configuration.
        indirect case subscribe(stream: UInt32, Subscribe)
        /// A node's load.
        indirect case report(stream: UInt32, Report)
        /// The client opens no more streams; the connection finishes by itself when the last one is released.
        case goAway(GoAway)
        /// No credit for 30 s: fail the stream with `slowConsumer`.
        case slowConsumer(stream: UInt32)
        /// The body does not come in time: fail the stream with `deadline`, class `safeElsewhere`.
        case slowBody(stream: UInt32)
        /// The answer is longer than the limit; what came beyond was dropped: stop upstream and fail the stream.
        case responseTooLong(stream: UInt32)
        /// The drain time after GOAWAY is over: fail what is still open.
        case drainExpired
        /// Every stream is released after our GOAWAY; the connection finishes by itself.
        case drained
        /// The connection failed; every open stream is lost. Finished after `transmit`.
        case failed(ConnectionError)
    }

    enum Phase {
        /// Nothing but HELLO is taken. Next: deciding, failed.
        case awaitingHello
        /// The owner decides about HELLO; nothing is read. Next: open, failed.
        case deciding
        /// Streams come and go. Next: failed, finished.
        case open
        /// CONN_ERROR must still be sent, or must not. Next: finished.
        case failed
        /// To be closed.
        case finished
    }

    enum Leaving {
        case no
        /// The first GOAWAY is out; the second follows PONG, or at this time.
        case announced(Instant, drain: Duration, reason: GoAwayReason)
        /// The second GOAWAY is out.
        case final(lastStream: UInt32)
    }

    struct Pending {
        enum Kind { case writable, slowConsumer, slowBody, responseTooLong, drainExpired, drained }
        var kind: Kind
        var stream: UInt32
    }

    let shared: SharedLimits
    var phase = Phase.awaitingHello
    var leaving = Leaving.no
    /// True once the client said GOAWAY: it opens no more streams.
    var peerLeaves = false
    /// True until HELLO_OK is on its way: it is the first frame, whatever else waits.
    var owesAnswer = false
    var chance: Chance
    var clock: Instant

    // Streams.
    var streams = StreamTable<ServerStream>()
    var highestSeen: UInt32 = 0
    var completed: UInt32 = 0
    var announcedMaximum: UInt32 = 0
    var window: UInt32 = 0
    var capabilities: Capabilities = []
    var role = PeerRole.client
    var inFlightBodyBytes = 0
    var waitingGrants = 0

    // Outbound: control frames are kept as values until `transmit`, at most one of each kind.
    var ready = ByteBuffer()
    var openStream: UInt32 = 0
    var openTag: UInt8 = 0
    var openMark = 0
    var active = RowList()
    var queued = 0
    var isTotalBlocked = false
    var spareQueue: FrameQueue?
    var pending: [Pending] = []
    var control = PendingControl()

    var entrance: FrameEntrance

    // Time.
    var helloDue: Instant
    var pongDue = Instant.distantFuture
    var pingValue: UInt64 = 0
    var ageDue = Instant.distantFuture
    var idleSince: Instant
    var drainDue = Instant.distantFuture
    var writeStallDue = Instant.distantFuture
    var streamsDue = Instant.distantFuture
    var lastGrease: Instant

    // Budgets against abuse.
    var streamRate = RateBudget()
    var creditFrames = 0
    var refusedResumes = 0
    var sentBytes: UInt64 = 0

    /// A connection that waits for HELLO. `seed` feeds the jitter of its age and its grease.
    public init(limits: WireLimits = .standard, at now: Instant, seed: UInt64) {
        shared = SharedLimits.of(limits)
        chance = Chance(seed: seed)
        clock = now
        helloDue = now + limits.helloTime
        entrance = FrameEntrance(at: now)
        idleSince = now
        lastGrease = now
    }

    /// Streams that are not yet released or whose terminal frame is not yet on its way.
    /// 0 once the connection is over.
    public var openStreams: Int { isUsable ? streams.count : 0 }

    /// The highest stream that was taken.
    public var highestStream: UInt32 {
        if case .final(let last) = leaving { return min(last, highestSeen) }
        return highestSeen
    }

    /// True while the stream may still be sent to: it was opened and has no terminal frame.
    public func isOpen(stream: UInt32) -> Bool {
        guard isUsable, let slot = streams.find(stream) else { return false }
        return !streams.rows[slot].flags.contains(.closing)
    }

    /// Bytes that wait in the machine for the client's credit or the socket.
    public func bufferedBytes(stream: UInt32) -> Int {
        guard let slot = streams.find(stream) else { return 0 }
        return streams.rows[slot].queue?.bytes.count ?? 0
    }

    /// Bytes that wait in the machine for all streams together.
    public var queuedBytes: Int { queued + ready.count }

    /// True once HELLO was accepted and until the connection fails or finishes.
    public var isUsable: Bool {
        if case .open = phase { return true }
        return false
    }

    /// True for a client that wants to hear wishes, and that was not told to go away.
    public var takesWishes: Bool {
        guard case .no = leaving, !peerLeaves else { return false }
        return isUsable && capabilities.contains(.hints)
    }

    /// False while the owner decides about HELLO, and once the connection is over.
    public var wantsInput: Bool {
        switch phase {
        case .awaitingHello, .open: true
        case .deciding, .failed, .finished: false
        }
    }

    /// True once nothing is left to be said.
    public var isFinished: Bool {
        if case .finished = phase { return true }
        return false
    }
}

/// One stream at the server.
struct ServerStream: StreamRow {
    struct Flags: OptionSet {
        let rawValue: UInt16
        /// END or ERROR was given by the owner.
        static let closing = Flags(rawValue: 1)
        /// END or ERROR is on its way, behind everything else of the stream.
        static let terminalSent = Flags(rawValue: 2)
        /// The owner released the stream.
        static let released = Flags(rawValue: 4)
        /// CANCEL came: nothing but the terminal frame is sent.
        static let cancelled = Flags(rawValue: 8)
        /// In the list of streams that may send.
        static let active = Flags(rawValue: 16)
        /// The producer was told to stop.
        static let blocked = Flags(rawValue: 32)
        /// All of the body came, or none is wanted any more.
        static let bodyDone = Flags(rawValue: 64)
        /// The owner granted the body, and there is no room for it yet.
        static let wantsGrant = Flags(rawValue: 128)
        /// The body's CREDIT was sent.
        static let granted = Flags(rawValue: 256)
        /// A stream of the control plane.
        static let subscription = Flags(rawValue: 512)
        /// Reported as slow, or as too long.
        static let reported = Flags(rawValue: 1024)
    }

    var id: UInt32
    var next: Int32 = -1
    var flags: Flags = []
    var priority: Priority
    var responseGranted: UInt32
    var responseSent: UInt32 = 0
    var bodyLength: UInt32 = 0
    var bodyReceived: UInt32 = 0
    var bodyCharged: UInt32 = 0
    var deficit: Int32 = 0
    var opened: Instant
    /// When the client's time for the body began; it stands still while the client waits for CREDIT.
    var bodyStart: Instant
    var bodyAtStart: UInt32 = 0
    var stalledSince = Instant.distantFuture
    var queue: FrameQueue?

    init(id: UInt32, priority: Priority, window: UInt32, at now: Instant) {
        self.id = id
        self.priority = priority
        responseGranted = window
        opened = now
        bodyStart = now
    }
}

/// Control frames that wait to be sent: one of each kind, so that no peer can make them pile up.
struct PendingControl {
    struct Bits: OptionSet {
        let rawValue: UInt8
        static let ping = Bits(rawValue: 1)
        static let pong = Bits(rawValue: 2)
        static let goAway = Bits(rawValue: 4)
        static let hint = Bits(rawValue: 8)
        static let failure = Bits(rawValue: 16)
        static let grease = Bits(rawValue: 32)
    }
    var bits: Bits = []
    var ping: UInt64 = 0
    var pong: UInt64 = 0
    var hint = Hint(load: 0)
    var goAway: GoAway?
    var failure: ConnectionError?
    var grease: UInt64 = 0

    var isEmpty: Bool { bits.isEmpty }

    /// Appends everything but CONN_ERROR, which goes last.
    mutating func transmit(into output: inout ByteBuffer) {
        if bits.contains(.pong) {
            let mark = output.beginFrame(.pong)
            output.append(integer: pong)
            output.endFrame(mark)
        }
        if bits.contains(.goAway) {
            goAway?.encode(into: &output)
            goAway = nil
        }
        if bits.contains(.ping) {
            let mark = output.beginFrame(.ping)
            output.append(integer: ping)
            output.endFrame(mark)
        }
        if bits.contains(.hint) { hint.encode(into: &output) }
        if bits.contains(.grease) {
            // Types 0x82…0xFF and up to 15 bytes that mean nothing.
            let type = 0x82 + UInt8(grease % 126)
            let length = UInt16(grease >> 8 & 15)
            let header = FrameHeader(length: length, type: type, flags: [], stream: 0)
            output.append(integer: header.word)
            for place in 0..<length { output.append(UInt8(truncatingIfNeeded: grease >> (16 + UInt64(place)))) }
        }
        bits.formIntersection(.failure)
    }
}
