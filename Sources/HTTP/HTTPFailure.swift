// Why bytes are not acceptable HTTP/1.1, as a closed list.

/// A violation of HTTP/1.1 (RFC 9112) or of a limit, by the peer.
public enum HTTPFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The request or status line is malformed.
    case startLine
    /// A header line is malformed: folding, a space before the colon, a forbidden byte, a bare line feed.
    case header
    /// The head is larger than its limit, in bytes or in lines.
    case headTooLarge
    /// Content-Length is malformed or contradicts itself.
    case contentLength
    /// Transfer-Encoding is unknown, repeated, stands beside Content-Length, or comes from an HTTP/1.0 peer.
    case transferEncoding
    /// A request of HTTP/1.1 without exactly one Host (RFC 9112, 3.2).
    case host
    /// More interim responses than anybody has use for.
    case interimResponses
    /// A chunk's size line or end is malformed.
    case chunk
    /// The lines behind the last chunk are larger than their limit.
    case trailersTooLarge
    /// The body is larger than its limit.
    case bodyTooLarge
    /// The connection ended inside a message.
    case truncated
    /// Bytes came when nothing was asked for.
    case unexpectedBytes
    /// A line or event of an event stream is larger than its limit.
    case eventTooLarge

    /// One sentence for a log line.
    public var description: String {
        switch self {
        case .startLine: "malformed request or status line"
        case .header: "malformed header line"
        case .headTooLarge: "head larger than its limit"
        case .contentLength: "malformed or contradictory Content-Length"
        case .transferEncoding: "unacceptable Transfer-Encoding"
        case .host: "a request needs exactly one Host"
        case .interimResponses: "too many interim responses"
        case .chunk: "malformed chunk"
        case .trailersTooLarge: "trailers larger than their limit"
        case .bodyTooLarge: "body larger than its limit"
        case .truncated: "the connection ended inside a message"
        case .unexpectedBytes: "bytes outside of any exchange"
        case .eventTooLarge: "event larger than its limit"
        }
    }
}

/// Bounds of what a peer may send.
public struct HTTPLimits: Sendable {
    /// Bytes of a head, start line included.
    public var head = 64 * 1024
    /// Header lines of a head.
    public var headers = 128
    /// Bytes of a chunk's size line with its extensions, and of one trailer line.
    public var chunkLine = 256
    /// Bytes of all trailer lines of a message.
    public var trailers = 16 * 1024
    /// Interim responses (1xx) to one request.
    public var interimResponses = 16
    /// Bytes of a body, transfer coding removed.
    public var body = Int.max

    /// The defaults, with a limit on the body.
    public init(body: Int = .max) { self.body = body }
}
