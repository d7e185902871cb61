// The connecting side of a sluice/1 connection, without I/O: the client library, the tool, a node towards its coordinator.

public import Core

/// One connection to a node or a coordinator. PROTOCOL.md, section 6, has its state tables.
public struct ClientConnection: Machine, ~Copyable {
    /// What the owner must know or do. Rare and large ones are indirect, so that a delta stays small.
    public enum Event {
        /// Requests may be made.
        indirect case ready(HelloOK)
        /// A provider has the request.
        case accepted(stream: UInt32, Accepted)
        /// A piece of the answer.
        case delta(stream: UInt32, choice: UInt8, kind: DeltaKind, bytes: ByteSlice)
        /// Something in the answer that is not text.
        case event(stream: UInt32, StreamEvent)
        /// The answer is complete; the stream is gone.
        case end(stream: UInt32, End)
        /// The request failed; the stream is gone.
        indirect case error(stream: UInt32, StreamError)
        /// More streams may be opened; `available` of them now.
        case streamCredit(available: Int)
        /// The coordinator's whole state.
        indirect case snapshot(stream: UInt32, Snapshot)
        /// What changed.
        indirect case update(stream: UInt32, Update)
        /// Open new streams elsewhere. After the second one, each stream above its id follows as `.error` with `draining`.
        indirect case goAway(GoAway)
        /// The server's load and wishes.
        case hint(Hint)
        /// The connection failed; every open stream is lost. Finished after `transmit`.
        case failed(ConnectionError)
    }

    /// When response credit goes back to the server.
    public enum ResponseCredit: Sendable {
        /// When the event is handed out: the owner never lags behind.
        case automatic
        /// When the owner says `consumed`.
        case manual
    }

    enum Phase {
        /// HELLO is out. Next: open, failed.
        case awaitingAnswer
        /// Streams come and go. Next: failed, finished.
        case open
        /// CONN_ERROR must still be sent, or must not. Next: finished.
        case failed
        /// To be closed.
        case finished
    }

    let shared: SharedLimits
    var phase = Phase.awaitingAnswer
    var hello: Hello?
    let responseCredit: ResponseCredit
    let window: UInt32
    let role: PeerRole
    var clock: Instant
    var chance: Chance

    var streams = StreamTable<ClientStream>()
    var lastOpened: UInt32 = 0
    var maximumStream: UInt32 = 0
    var maximumFrame = 16_376
    var maximumBody = 0
    let offered: Capabilities
    var capabilities: Capabilities = []
    /// Streams above it are lost; `max` while there was no second GOAWAY.
    var goAwayLast: UInt32 = .max
    var hasLost = false
    var isLeaving = false

    var ready = ByteBuffer()
    var sending = RowList()
    var control = PendingControl()

    var entrance: FrameEntrance
    var answerDue: Instant
    var pongDue = Instant.distantFuture
    var pingValue: UInt64 = 0

    /// A connection that says HELLO with its first `transmit`. `seed` feeds its PINGs.
    public init(
        hello: Hello, limits: WireLimits = .standard, at now: Instant, seed: UInt64,
        responseCredit: ResponseCredit = .automatic
    ) {
        precondition(hello.windowKiB >= 16 && hello.windowKiB <= 1024, "the response window is 16 to 1,024 KiB")
        shared = SharedLimits.of(limits)
        self.hello = hello
        self.responseCredit = responseCredit
        window = UInt32(hello.windowKiB) * 1024
        role = hello.role
        offered = hello.capabilities
        chance = Chance(seed: seed)
        clock = now
        entrance = FrameEntrance(at: now)
        answerDue = now + limits.helloTime + limits.helloTime
    }

    /// Streams without a terminal frame.
    public var openStreams: Int { streams.count }

    /// True once the server accepted and until the connection fails or finishes.
    public var isUsable: Bool {
        if case .open = phase { return true }
        return false
    }

    /// How many streams may be opened now.
    public var availableStreams: Int {
        guard isUsable, goAwayLast == .max, !isLeaving else { return 0 }
        return Int(maximumStream - lastOpened)
    }

    /// True while the stream has no terminal frame.
    public func isOpen(stream: UInt32) -> Bool { isUsable && streams.find(stream) != nil }

    /// Longest request body that the server takes, in bytes; 0 before `ready`.
    public var maximumBodyBytes: Int { maximumBody }

    /// False once the connection is over.
    public var wantsInput: Bool {
        switch phase {
        case .awaitingAnswer, .open: true
        case .failed, .finished: false
        }
    }

    /// True once nothing is left to be said.
    public var isFinished: Bool {
        if case .finished = phase { return true }
        return false
    }
}

/// One stream at the client.
struct ClientStream: StreamRow {
    struct Flags: OptionSet {
        let rawValue: UInt8
        /// CANCEL is out: what still comes is dropped, up to the terminal frame.
        static let cancelled = Flags(rawValue: 1)
        /// In the list of streams with body bytes to send.
        static let sending = Flags(rawValue: 2)
        /// A stream of the control plane.
        static let subscription = Flags(rawValue: 4)
        /// A message of several frames is incomplete.
        static let assembling = Flags(rawValue: 8)
    }

    var id: UInt32
    var next: Int32 = -1
    var flags: Flags = []
    var assembled: UInt8 = 0
    var granted: UInt32
    var received: UInt32 = 0
    var consumed: UInt32 = 0
    var bodySent: UInt32 = 0
    var bodyGranted: UInt32
    /// Body bytes that wait for credit, or fragments of a message that is incomplete.
    var queue: FrameQueue?

    init(id: UInt32, window: UInt32, freeBody: Int) {
        self.id = id
        granted = window
        bodyGranted = UInt32(freeBody)
    }
}
