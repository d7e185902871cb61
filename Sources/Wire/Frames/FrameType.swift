// The kinds of frames of sluice/1 and their numbers.

/// What a frame is. PROTOCOL.md, section 3.
public enum FrameType: UInt8, Sendable, CaseIterable {
    /// Client → server, first frame, once.
    case hello = 0x01
    /// Server → client, answer to HELLO, once.
    case helloOK = 0x02
    /// Either way: asks for a PONG.
    case ping = 0x03
    /// Either way: echoes the newest PING.
    case pong = 0x04
    /// Either way: raises an absolute credit.
    case credit = 0x05
    /// Either way: no new streams above an id.
    case goAway = 0x06
    /// Either way: why the connection is being closed.
    case connectionError = 0x07
    /// Client → server: opens a stream.
    case request = 0x10
    /// Client → server: more of a request's body.
    case body = 0x11
    /// Client → server: the answer is no longer wanted.
    case cancel = 0x12
    /// Client → server: opens a stream that continues one of a connection that broke; only with the capability `resume`.
    case resume = 0x13
    /// Server → client: the provider takes the request from here on.
    case accepted = 0x20
    /// Server → client: a piece of text.
    case delta = 0x21
    /// Server → client: something in the answer that is not text.
    case event = 0x22
    /// Server → client, terminal: the answer is complete.
    case end = 0x23
    /// Server → client, terminal: the request failed.
    case error = 0x24
    /// Node → coordinator: opens a stream of configuration.
    case subscribe = 0x30
    /// Coordinator → node: the whole configuration.
    case snapshot = 0x31
    /// Coordinator → node: what changed.
    case update = 0x32
    /// Node → coordinator: load and health.
    case report = 0x33
    /// Server → client, may be ignored: load and wishes.
    case hint = 0x81

    /// Frame types with this bit may be skipped by a receiver that does not know them.
    public static let ignorableBit: UInt8 = 0x80

    /// The name in the protocol document.
    public var name: String {
        switch self {
        case .hello: "HELLO"
        case .helloOK: "HELLO_OK"
        case .ping: "PING"
        case .pong: "PONG"
        case .credit: "CREDIT"
        case .goAway: "GOAWAY"
        case .connectionError: "CONN_ERROR"
        case .request: "REQUEST"
        case .body: "BODY"
        case .cancel: "CANCEL"
        case .resume: "RESUME"
        case .accepted: "ACCEPTED"
        case .delta: "DELTA"
        case .event: "EVENT"
        case .end: "END"
        case .error: "ERROR"
        case .subscribe: "SUBSCRIBE"
        case .snapshot: "SNAPSHOT"
        case .update: "UPDATE"
        case .report: "REPORT"
        case .hint: "HINT"
        }
    }
}
