// The client side of one HTTP/1.1 connection: one exchange at a time, kept alive between them.
import Core

/// The head of a response, readable while its event is handled.
public struct HTTPResponseHead: Equatable, Sendable {
    /// The status code, 100...599.
    public let status: Int
    /// The whole head, from status line to empty line.
    public let slice: ByteSlice
    /// The length that the head states for the body; nil when it is chunked or ends with the connection.
    public let contentLength: Int?
    /// True when the body comes in chunks; they are joined before anybody sees them.
    public let isChunked: Bool
    /// True when the body is in a content coding such as gzip, which is not undone here (RFC 9110, 8.4).
    public let isEncoded: Bool
    let contentType: Range<Int>?

    /// True when the head says what the body is.
    public var hasContentType: Bool { contentType?.isEmpty == false }

    /// The value of a header, by lowercase name; `bytes` are those of `slice`.
    public func value(of name: StaticString, in bytes: RawSpan) -> String? {
        HeadReader.value(of: name, in: bytes).map { bytes.string($0) }
    }

    /// Where in `bytes` the value of a header lies, by lowercase name; for reading it without a copy.
    public func range(of name: StaticString, in bytes: RawSpan) -> Range<Int>? {
        HeadReader.value(of: name, in: bytes)
    }

    /// True when the Content-Type is this lowercase media type, whatever its parameters.
    public func isMediaType(_ type: StaticString, in bytes: RawSpan) -> Bool {
        guard let value = contentType else { return false }
        let end = value.lowerBound + type.utf8CodeUnitCount
        guard end <= value.upperBound, bytes.matchesIgnoringCase(type, in: value.lowerBound..<end) else { return false }
        guard end < value.upperBound else { return true }
        return [UInt8(ascii: ";"), 0x20, 9].contains(bytes.byte(at: end))
    }
}

/// One connection to a server. Strict about framing, so that nobody smuggles a response (RFC 9112, 11.2).
public struct HTTPClientConnection: Machine, ~Copyable {
    /// What happened.
    public enum Event: Equatable, Sendable {
        /// The response's head, interim responses skipped.
        case head(HTTPResponseHead)
        /// Bytes of the body, transfer coding removed.
        case body(ByteSlice)
        /// The exchange is complete; whether the connection may carry another.
        case end(reusable: Bool)
        /// The exchange failed; the connection is of no further use.
        case failed(HTTPFailure)
    }

    private enum State {
        case idle
        case awaitingHead
        case body(BodyReader, reusable: Bool)
        case failed
    }

    private var state = State.idle
    private var outgoing = ByteBuffer()
    private var scan = HeadScan()
    private var interims = 0
    private var isHead = false
    /// True once a byte of the answer to the last request came, be it of an interim response.
    public private(set) var hasAnswer = false
    private let limits: HTTPLimits

    /// A fresh connection.
    public init(limits: HTTPLimits = HTTPLimits()) { self.limits = limits }

    /// True when a request may be sent.
    public var isIdle: Bool { if case .idle = state { true } else { false } }
    /// Always: this side reads whenever bytes come.
    public var wantsInput: Bool { true }
    /// No timers of its own; the owner has the phases' limits.
    public var deadline: Instant? { nil }
    /// True after a failure.
    public var isFinished: Bool { if case .failed = state { true } else { false } }

    /// Sends a request. `head` appends the request line and all header lines but Content-Length, each ended by CRLF;
    /// `body` appends the body. The length is set behind the fact, so that the body is written only once. `room` is
    /// about how many bytes both will write: what is known in advance is allocated once.
    public mutating func send(
        isHead: Bool = false, room: Int = 0, head: (inout ByteBuffer) -> Void, body: (inout ByteBuffer) -> Void
    ) {
        precondition(isIdle, "one exchange at a time")
        outgoing.reserve(room + 32)
        head(&outgoing)
        outgoing.append(literal: "Content-Length:           \r\n\r\n")
        let start = outgoing.count
        body(&outgoing)
        // The length is known only now: it is set, right-aligned, into the blanks left for it.
        var length = outgoing.count - start
        precondition(length < 1_000_000_000, "the blanks hold nine digits")
        var place = start - 5
        repeat {
            outgoing.overwrite(at: place, with: UInt8(ascii: "0") + UInt8(length % 10))
            length /= 10
            place -= 1
        } while length > 0
        self.isHead = isHead
        interims = 0
        hasAnswer = false
        state = .awaitingHead
    }

    /// Moves the request out.
    public mutating func transmit(into output: inout ByteBuffer, at now: Instant) {
        guard outgoing.count > 0 else { return }
        output.append(draining: &outgoing)
        outgoing.releaseIfEmpty()
    }

    /// Takes the next event out of the input.
    public mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Event? {
        do {
            return try read(&input)
        } catch {
            state = .failed
            return .failed(error)
        }
    }

    private mutating func read(_ input: inout ByteBuffer) throws(HTTPFailure) -> Event? {
        switch state {
        case .failed: return nil
        case .idle:
            guard input.count > 0 else { return nil }
            throw .unexpectedBytes
        case .awaitingHead: return try readHead(&input)
        case .body(var body, let reusable):
            let step = try body.next(&input)
            switch step {
            case .needsInput:
                state = .body(body, reusable: reusable)
                return nil
            case .bytes(let slice):
                state = .body(body, reusable: reusable)
                return .body(slice)
            case .end:
                state = .idle
                // An answer may come before the whole request was sent: what is left of it would go out before the next one.
                return .end(reusable: reusable && input.count == 0 && outgoing.count == 0)
            }
        }
    }

    private mutating func readHead(_ input: inout ByteBuffer) throws(HTTPFailure) -> Event? {
        if input.count > 0 { hasAnswer = true }
        while let length = try HeadReader.length(of: input, scan: &scan, limits: limits) {
            let slice = input.slice(at: 0, count: length)
            let (status, isOne) = try readStatus(input.bytes(of: slice))
            let fields = try HeadReader.fields(of: input.bytes(of: slice))
            // What an HTTP/1.0 server says about transfer codings cannot be trusted (RFC 9112, 6.1).
            guard isOne || !fields.isChunked else { throw .transferEncoding }
            input.consume(length)
            // Interim responses carry nothing for the owner; 101 was never asked for.
            guard status >= 200 else {
                guard status != 101 else { throw .startLine }
                interims += 1
                guard interims <= limits.interimResponses else { throw .interimResponses }
                continue
            }
            let framing = try framing(status, fields)
            let reusable = framing != .untilClose && !fields.closes && (isOne || fields.keepsAlive)
            state = .body(BodyReader(framing, limits: limits), reusable: reusable)
            return .head(
                HTTPResponseHead(
                    status: status, slice: slice, contentLength: fields.contentLength, isChunked: fields.isChunked,
                    isEncoded: fields.isEncoded, contentType: fields.contentType))
        }
        return nil
    }

    private func framing(_ status: Int, _ fields: HeadFields) throws(HTTPFailure) -> BodyFraming {
        if isHead || status == 204 || status == 304 { return .none }
        if fields.isChunked { return .chunked }
        guard let length = fields.contentLength else { return .untilClose }
        guard length <= limits.body else { throw .bodyTooLarge }
        return .length(length)
    }

    /// `HTTP/1.x SP 3DIGIT SP reason`.
    private func readStatus(_ bytes: RawSpan) throws(HTTPFailure) -> (status: Int, isOne: Bool) {
        let end = HeadReader.lineEnd(in: bytes, from: 0)
        guard end >= 12, bytes.matches("HTTP/1.", in: 0..<7), bytes.byte(at: 8) == 0x20,
            let status = HeadReader.decimal(bytes, 9..<12), (100...599).contains(status),
            end == 12 || bytes.byte(at: 12) == 0x20
        else { throw .startLine }
        for place in 12..<end where bytes.byte(at: place) < 0x20 && bytes.byte(at: place) != 9 { throw .startLine }
        switch bytes.byte(at: 7) {
        case UInt8(ascii: "1"): return (status, true)
        case UInt8(ascii: "0"): return (status, false)
        default: throw .startLine
        }
    }

    /// The server closed the connection.
    public mutating func inputEnded(at now: Instant) -> Event? {
        switch state {
        case .idle, .failed: return nil
        case .body(let body, _) where body.endsWithConnection:
            state = .failed
            return .end(reusable: false)
        case .awaitingHead, .body:
            state = .failed
            return .failed(.truncated)
        }
    }

    /// Nothing to do: there are no timers here.
    public mutating func advance(to now: Instant) -> Event? { nil }
}
