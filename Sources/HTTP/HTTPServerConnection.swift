// The server side of one HTTP/1.1 connection: one exchange at a time, in order, smuggling-safe.
import Core

/// The head of a request, readable while its event is handled.
public struct HTTPRequestHead: Equatable, Sendable {
    /// The method as sent, such as `GET`.
    public let method: String
    /// The request target as sent, such as `/metrics?lane=0`.
    public let target: String
    /// The whole head, from request line to empty line.
    public let slice: ByteSlice

    /// The target without its query.
    public var path: String { String(target.prefix { $0 != "?" }) }

    /// The value of a header, by lowercase name; `bytes` are those of `slice`.
    public func value(of name: StaticString, in bytes: RawSpan) -> String? {
        HeadReader.value(of: name, in: bytes).map { bytes.string($0) }
    }
}

/// One connection from a client.
public struct HTTPServerConnection: Machine, ~Copyable {
    /// What happened.
    public enum Event: Equatable, Sendable {
        /// A request's head.
        case request(HTTPRequestHead)
        /// Bytes of its body, transfer coding removed.
        case body(ByteSlice)
        /// The request is complete: respond now.
        case end
        /// The peer sent something unacceptable; an error response was queued, and the connection ends.
        case failed(HTTPFailure)
    }

    private enum Reading {
        case head
        case body(BodyReader)
        /// The request is complete, its response is not.
        case waiting
        case finished
    }

    private enum Writing: Equatable { case none, chunked, untilClose }

    private var reading = Reading.head
    private var writing = Writing.none
    private var outgoing = ByteBuffer()
    private var scan = HeadScan()
    private var closesAfterResponse = false
    private var isHeadRequest = false
    private var isOne = true
    private var idleSince: Instant
    private let limits: HTTPLimits
    private let idleTime: Duration

    /// A fresh connection; closed when no request comes for `idleTime`.
    public init(limits: HTTPLimits = HTTPLimits(body: 1 << 20), idleTime: Duration = .seconds(60), at now: Instant) {
        self.limits = limits
        self.idleTime = idleTime
        idleSince = now
    }

    /// False while a response is outstanding or waits to be handed out: requests behind it wait in the socket, so that a client that sends
    /// requests and reads no response makes nothing pile up here.
    public var wantsInput: Bool {
        switch reading {
        case .head: outgoing.count == 0
        case .body: true
        case .waiting, .finished: false
        }
    }

    /// When an idle or dawdling client is sent away.
    public var deadline: Instant? {
        switch reading {
        case .head, .body: idleSince + idleTime
        case .waiting, .finished: nil
        }
    }

    /// True when the last response has been handed out and the connection must close.
    public var isFinished: Bool { if case .finished = reading { outgoing.count == 0 } else { false } }

    /// Bytes of responses that were not handed out yet.
    public var bufferedBytes: Int { outgoing.count }

    /// Takes the next event out of the input.
    public mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Event? {
        do {
            return try read(&input, now)
        } catch {
            return fail(error)
        }
    }

    private mutating func read(_ input: inout ByteBuffer, _ now: Instant) throws(HTTPFailure) -> Event? {
        switch reading {
        case .waiting, .finished: return nil
        case .head: return try readHead(&input, now)
        case .body(var body):
            switch try body.next(&input) {
            case .needsInput:
                reading = .body(body)
                return nil
            case .bytes(let slice):
                reading = .body(body)
                return .body(slice)
            case .end:
                reading = .waiting
                return .end
            }
        }
    }

    private mutating func readHead(_ input: inout ByteBuffer, _ now: Instant) throws(HTTPFailure) -> Event? {
        guard let length = try HeadReader.length(of: input, scan: &scan, limits: limits) else { return nil }
        let head = try readRequest(input, length)
        let fields = try HeadReader.fields(of: input.bytes(of: head.slice))
        // Without exactly one Host, two readers of this request may disagree about whom it concerns.
        guard fields.hosts == 1 || (fields.hosts == 0 && !isOne) else { throw .host }
        guard isOne || !fields.isChunked else { throw .transferEncoding }
        if let length = fields.contentLength, length > limits.body { throw .bodyTooLarge }
        input.consume(length)
        closesAfterResponse = fields.closes || (!isOne && !fields.keepsAlive)
        isHeadRequest = head.method == "HEAD"
        if fields.expectsContinue, input.count == 0 { outgoing.append(literal: "HTTP/1.1 100 Continue\r\n\r\n") }
        let framing: BodyFraming = fields.isChunked ? .chunked : .length(fields.contentLength ?? 0)
        reading = .body(BodyReader(framing, limits: limits))
        idleSince = now
        return .request(head)
    }

    /// `METHOD SP target SP HTTP/1.x`.
    private mutating func readRequest(
        _ input: borrowing ByteBuffer, _ length: Int
    ) throws(HTTPFailure) -> HTTPRequestHead {
        let bytes = input.bytes(of: input.slice(at: 0, count: length))
        let end = HeadReader.lineEnd(in: bytes, from: 0)
        var space = 0
        while space < end, HeadReader.isNameByte(bytes.byte(at: space)) { space += 1 }
        guard space > 0, end >= space + 11, bytes.byte(at: space) == 0x20, bytes.byte(at: end - 9) == 0x20,
            bytes.matches("HTTP/1.", in: (end - 8)..<(end - 1))
        else { throw .startLine }
        for place in (space + 1)..<(end - 9) {
            guard bytes.byte(at: place) > 0x20, bytes.byte(at: place) < 0x7F else { throw .startLine }
        }
        switch bytes.byte(at: end - 1) {
        case UInt8(ascii: "1"): isOne = true
        case UInt8(ascii: "0"): isOne = false
        default: throw .startLine
        }
        return HTTPRequestHead(
            method: bytes.string(0..<space), target: bytes.string((space + 1)..<(end - 9)),
            slice: input.slice(at: 0, count: length))
    }

    private mutating func fail(_ failure: HTTPFailure) -> Event {
        let status =
            switch failure {
            case .headTooLarge, .trailersTooLarge: 431
            case .bodyTooLarge: 413
            case .transferEncoding: 501
            case .startLine, .header, .contentLength, .host, .interimResponses, .chunk, .truncated, .unexpectedBytes,
                .eventTooLarge:
                400
            }
        if writing == .none {
            closesAfterResponse = true
            var text = ByteBuffer()
            text.append("\(failure.description)\n")
            appendWhole(status, "Content-Type: text/plain\r\n", text.bytes)
        }
        reading = .finished
        return .failed(failure)
    }

    /// Answers the request whole. `headers` are lines ended by CRLF, without Content-Length and Connection.
    ///
    /// An answer before the request's end closes the connection: what is left of the body must not be read as a request.
    public mutating func respond(status: Int, headers: String = "", body: RawSpan) {
        precondition(writing == .none, "a response that was begun must be finished")
        noteEarlyAnswer()
        appendWhole(status, headers, body)
        responseDone()
    }

    /// Begins a response whose length is not known; `write` and `finish` follow.
    public mutating func beginResponse(status: Int, headers: String) {
        precondition(writing == .none, "one response at a time")
        noteEarlyAnswer()
        writing = isOne ? .chunked : .untilClose
        if writing == .untilClose { closesAfterResponse = true }
        appendStart(status, headers)
        outgoing.append(literal: isOne ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n")
    }

    private mutating func noteEarlyAnswer() {
        if case .body(let body) = reading, !body.isDone { closesAfterResponse = true }
    }

    /// Sends a piece of a begun response.
    public mutating func write(_ bytes: RawSpan) {
        precondition(writing != .none, "a response must be begun before it is written")
        guard bytes.byteCount > 0, !isHeadRequest else { return }
        if writing == .chunked {
            outgoing.append(String(bytes.byteCount, radix: 16))
            outgoing.append(literal: "\r\n")
        }
        outgoing.append(bytes)
        if writing == .chunked { outgoing.append(literal: "\r\n") }
    }

    /// Ends a begun response.
    public mutating func finish() {
        precondition(writing != .none, "a response must be begun before it is finished")
        if writing == .chunked, !isHeadRequest { outgoing.append(literal: "0\r\n\r\n") }
        writing = .none
        responseDone()
    }

    /// Ends the connection without completing the response, so that the client sees that it was cut.
    public mutating func cut() {
        writing = .none
        reading = .finished
    }

    private mutating func responseDone() { reading = closesAfterResponse ? .finished : .head }

    private mutating func appendStart(_ status: Int, _ headers: String) {
        outgoing.append(literal: "HTTP/1.1 ")
        outgoing.append(decimal: status)
        outgoing.append(literal: " ")
        outgoing.append(literal: HTTPServerConnection.reason(status))
        outgoing.append(literal: "\r\n")
        outgoing.append(headers)
        if closesAfterResponse { outgoing.append(literal: "Connection: close\r\n") }
    }

    private mutating func appendWhole(_ status: Int, _ headers: String, _ body: RawSpan) {
        appendStart(status, headers)
        // These two have no body, and 204 must not even state its length (RFC 9110, 8.6).
        guard status != 204, status != 304 else { return outgoing.append(literal: "\r\n") }
        outgoing.append(literal: "Content-Length: ")
        outgoing.append(decimal: body.byteCount)
        outgoing.append(literal: "\r\n\r\n")
        if !isHeadRequest { outgoing.append(body) }
    }

    static func reason(_ status: Int) -> StaticString {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 204: "No Content"
        case 304: "Not Modified"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        default: "Status"
        }
    }

    /// Moves responses out.
    public mutating func transmit(into output: inout ByteBuffer, at now: Instant) {
        guard outgoing.count > 0 else { return }
        output.append(draining: &outgoing)
        outgoing.releaseIfEmpty()
        idleSince = now
    }

    /// The client sends no more; a response under way is still delivered.
    public mutating func inputEnded(at now: Instant) -> Event? {
        switch reading {
        case .head, .finished:
            reading = .finished
            return nil
        case .waiting:
            closesAfterResponse = true
            return nil
        case .body:
            reading = .finished
            return .failed(.truncated)
        }
    }

    /// The client was idle too long.
    public mutating func advance(to now: Instant) -> Event? {
        guard let deadline, deadline <= now else { return nil }
        let wasInBody = if case .body = reading { true } else { false }
        reading = .finished
        return wasInBody ? .failed(.truncated) : nil
    }
}
