// Error codes, what they concern, and whether trying again is safe. PROTOCOL.md, section 7.

/// Whether, and where, the same request may be tried again.
public enum RetryClass: UInt8, Sendable, CaseIterable {
    /// Trying again gives the same answer.
    case never = 0
    /// Not processed: the same node will do, after the given time.
    case safeHere = 1
    /// Not processed: try another connection.
    case safeElsewhere = 2
    /// It may have run or been billed: a new idempotency key and the caller's decision.
    case unsafe = 3
}

/// What an error ends.
public enum ErrorScope: UInt8, Sendable {
    /// The whole connection.
    case connection
    /// One stream.
    case stream
}

/// Every error code of sluice/1.
public enum ErrorCode: UInt16, Sendable, CaseIterable {
    /// Malformed frame, bad id, bad flag.
    case malformed = 0x0001
    /// A frame type that must be understood is not.
    case unknownFrame = 0x0002
    /// A frame is longer than allowed, or its inner lengths do not agree.
    case frameSize = 0x0003
    /// Opened or sent beyond credit.
    case creditViolation = 0x0004
    /// No common version.
    case version = 0x0005
    /// Unknown or wrong credentials; no detail on purpose.
    case authFailed = 0x0006
    /// A budget against abuse is spent.
    case calm = 0x0007
    /// HELLO did not come in time.
    case handshakeTimeout = 0x0008
    /// A frame stopped half-way, or a PING was not answered.
    case peerSilent = 0x0009
    /// The transport ended; never travels.
    case connectionLost = 0x000A
    /// A field of the request is wrong; the field is named.
    case invalidRequest = 0x0101
    /// No such model.
    case unknownModel = 0x0102
    /// The key may not do this.
    case forbidden = 0x0103
    /// A limit on size or count; the limit is named.
    case tooLarge = 0x0104
    /// The same idempotency key is running or done; recorded usage is given.
    case duplicate = 0x0105
    /// There is no such stream to continue, or not for this key, or not any more.
    case resumeUnknown = 0x0106
    /// Requests per period.
    case quotaRequests = 0x0201
    /// Tokens of a model per period.
    case quotaTokens = 0x0202
    /// Requests at the same time.
    case quotaConcurrency = 0x0203
    /// The money is spent.
    case budgetExhausted = 0x0204
    /// Shed by the node.
    case overloaded = 0x0301
    /// The node is going away.
    case draining = 0x0302
    /// All targets of the route are out.
    case noRoute = 0x0303
    /// Shared state cannot be reached and the tenant fails closed.
    case stateUnavailable = 0x0304
    /// The provider could not be reached; nothing was sent.
    case upstreamConnect = 0x0401
    /// The provider said 429.
    case upstreamThrottled = 0x0402
    /// The provider said 5xx.
    case upstreamFailed = 0x0403
    /// The answer ended without its terminal event.
    case upstreamTruncated = 0x0404
    /// The answer could not be parsed.
    case upstreamMalformed = 0x0405
    /// No first or no next token in time.
    case upstreamStalled = 0x0406
    /// The provider said 4xx.
    case upstreamRejected = 0x0407
    /// The request's time is over.
    case deadline = 0x0501
    /// The client's own CANCEL; carries usage.
    case cancelled = 0x0502
    /// The client gave no credit for too long.
    case slowConsumer = 0x0503
    /// The stream goes on elsewhere: its client has continued it on another connection.
    case moved = 0x0504
    /// Our own mistake.
    case `internal` = 0x05FF
    /// A code that this version does not know; only the retry class counts.
    case unrecognized = 0xFFFF

    /// The retry class that goes with the code unless the sender knows better.
    public var retryClass: RetryClass {
        switch self {
        case .version, .authFailed, .invalidRequest, .unknownModel, .forbidden, .tooLarge, .duplicate, .budgetExhausted,
            .upstreamRejected, .cancelled, .moved:
            .never
        case .quotaRequests, .quotaTokens, .quotaConcurrency, .noRoute, .upstreamThrottled: .safeHere
        case .calm, .handshakeTimeout, .overloaded, .draining, .stateUnavailable, .upstreamConnect: .safeElsewhere
        case .malformed, .unknownFrame, .frameSize, .creditViolation, .peerSilent, .connectionLost, .upstreamFailed,
            .upstreamTruncated, .upstreamMalformed, .upstreamStalled, .deadline, .slowConsumer, .internal,
            .resumeUnknown, .unrecognized:
            .unsafe
        }
    }

    /// What the error ends.
    public var scope: ErrorScope { rawValue < 0x0100 ? .connection : .stream }

    /// The name in the protocol document.
    public var name: String {
        switch self {
        case .malformed: "PROTOCOL"
        case .unknownFrame: "UNKNOWN_FRAME"
        case .frameSize: "FRAME_SIZE"
        case .creditViolation: "CREDIT_VIOLATION"
        case .version: "VERSION"
        case .authFailed: "AUTH_FAILED"
        case .calm: "CALM"
        case .handshakeTimeout: "TIMEOUT_HANDSHAKE"
        case .peerSilent: "PEER_SILENT"
        case .connectionLost: "CONNECTION_LOST"
        case .invalidRequest: "INVALID_REQUEST"
        case .unknownModel: "UNKNOWN_MODEL"
        case .forbidden: "FORBIDDEN"
        case .tooLarge: "TOO_LARGE"
        case .duplicate: "DUPLICATE"
        case .resumeUnknown: "RESUME_UNKNOWN"
        case .quotaRequests: "QUOTA_RPM"
        case .quotaTokens: "QUOTA_TPM"
        case .quotaConcurrency: "QUOTA_CONCURRENCY"
        case .budgetExhausted: "BUDGET_EXHAUSTED"
        case .overloaded: "OVERLOADED"
        case .draining: "DRAINING"
        case .noRoute: "NO_ROUTE"
        case .stateUnavailable: "STATE_UNAVAILABLE"
        case .upstreamConnect: "UPSTREAM_CONNECT"
        case .upstreamThrottled: "UPSTREAM_THROTTLED"
        case .upstreamFailed: "UPSTREAM_5XX"
        case .upstreamTruncated: "UPSTREAM_TRUNCATED"
        case .upstreamMalformed: "UPSTREAM_MALFORMED"
        case .upstreamStalled: "UPSTREAM_STALLED"
        case .upstreamRejected: "UPSTREAM_REJECTED"
        case .deadline: "DEADLINE"
        case .cancelled: "CANCELLED"
        case .slowConsumer: "SLOW_CONSUMER"
        case .moved: "MOVED"
        case .internal: "INTERNAL"
        case .unrecognized: "UNRECOGNIZED"
        }
    }
}
