// The simulator's end of an HTTP/1.1 connection: requests in whole, answers in any shape, also in wrong ones.
import Core

/// A server's HTTP/1.1 connection that hands over one whole request at a time.
///
/// It writes its own bytes, because a provider that fails must be able to break HTTP: heads that never end, bodies that stop.
/// While an answer is under way, further requests stay unread in the input.
struct SimulatorConnection: Machine, ~Copyable {
    /// Longest head; the fields that clients send need a few hundred bytes.
    static let headLimit = 64 * 1024
    /// Longest body: a long conversation with images in it.
    static let bodyLimit = 16 << 20
    /// Time for a request to arrive whole, and for an idle connection to bring its next one.
    static let requestTime = Duration.seconds(60)
    static let idleTime = Duration.seconds(600)

    enum Event {
        /// A whole request; answer it through the writing methods, the last of which is `finish` or `abandon`.
        case request(SimulatorRequest)
        /// Bytes that are no request; a refusal was written, the connection ends.
        case refused(Int)
        /// The peer closed its end.
        case peerGone
    }

    private enum State {
        case head(scanned: Int)
        case body(SimulatorRequest.Layout)
        case answering(keepsAlive: Bool)
        case finished
    }

    private var state = State.head(scanned: 0)
    private var output = ByteBuffer()
    private(set) var deadline: Instant?

    init(at now: Instant) { deadline = now + SimulatorConnection.idleTime }

    var wantsInput: Bool { true }

    var isFinished: Bool {
        if case .finished = state { true } else { false }
    }

    /// True between a request and the end of its answer.
    var isAnswering: Bool {
        if case .answering = state { true } else { false }
    }

    mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Event? {
        switch state {
        case .answering:
            // A client that pipelines more than a body's worth does not wait for answers.
            if input.count > SimulatorConnection.bodyLimit { return refuse(413, &input) }
            return nil
        case .finished:
            input.removeAll()
            return nil
        case .head(let scanned):
            guard input.count > 0 else { return nil }
            if scanned == 0 { deadline = now + SimulatorConnection.requestTime }
            guard let length = SimulatorRequest.headLength(in: input.bytes, from: max(0, scanned - 3)) else {
                if input.count > SimulatorConnection.headLimit { return refuse(431, &input) }
                state = .head(scanned: input.count)
                return nil
            }
            switch SimulatorRequest.Layout.read(input.bytes, headLength: length) {
            case .failure(let failure): return refuse(failure.status, &input)
            case .success(let layout):
                if layout.bodyLength > SimulatorConnection.bodyLimit { return refuse(413, &input) }
                if layout.expectsContinue, input.count < length + layout.bodyLength {
                    output.append(literal: "HTTP/1.1 100 Continue\r\n\r\n")
                }
                state = .body(layout)
                return takeRequest(layout, &input)
            }
        case .body(let layout): return takeRequest(layout, &input)
        }
    }

    private mutating func takeRequest(_ layout: SimulatorRequest.Layout, _ input: inout ByteBuffer) -> Event? {
        let length = layout.headLength + layout.bodyLength
        guard input.count >= length else { return nil }
        let request = SimulatorRequest(layout, in: input)
        input.consume(length)
        state = .answering(keepsAlive: layout.keepsAlive)
        deadline = nil
        return .request(request)
    }

    private mutating func refuse(_ status: Int, _ input: inout ByteBuffer) -> Event {
        input.removeAll()
        if !isAnswering {
            state = .answering(keepsAlive: false)
            respond(status: status, body: ByteBuffer())
        }
        state = .finished
        deadline = nil
        return .refused(status)
    }

    mutating func inputEnded(at now: Instant) -> Event? {
        if case .finished = state { return nil }
        state = .finished
        deadline = nil
        return .peerGone
    }

    mutating func advance(to now: Instant) -> Event? {
        guard let deadline, deadline <= now else { return nil }
        state = .finished
        self.deadline = nil
        return nil
    }

    mutating func transmit(into output: inout ByteBuffer, at now: Instant) {
        if self.output.count > 0 { output.append(draining: &self.output) }
        self.output.releaseIfEmpty()
    }

    // MARK: - Answers

    /// Writes a whole answer and ends it.
    ///
    /// - Parameter fields: further header lines, each ended by CR LF.
    mutating func respond(
        status: Int, type: StaticString = "application/json", fields: String = "", body: borrowing ByteBuffer,
        at now: Instant? = nil
    ) {
        beginHead(status: status, type: type)
        output.append(fields)
        endHead(length: body.count)
        output.append(body.bytes)
        if let now { finish(at: now) }
    }

    /// Writes status line and content type.
    mutating func beginHead(status: Int, type: StaticString) {
        if status == 200 {
            output.append(literal: "HTTP/1.1 200 OK\r\ncontent-type: ")
        } else {
            output.append(literal: "HTTP/1.1 ")
            output.append(decimal: status)
            output.append(literal: " ")
            output.append(literal: SimulatorConnection.reason(status))
            output.append(literal: "\r\ncontent-type: ")
        }
        output.append(literal: type)
        output.append(literal: "\r\n")
        if case .answering(keepsAlive: false) = state { output.append(literal: "connection: close\r\n") }
    }

    /// Writes a header line that names the answer.
    mutating func writeRequestID(_ id: UInt64) {
        output.append(literal: "x-request-id: req_")
        ChatAnswer.write(hex: id, into: &output)
        output.append(literal: "\r\nopenai-version: 2020-10-01\r\n")
    }

    /// Ends the head of an answer with a known length.
    mutating func endHead(length: Int) {
        output.append(literal: "content-length: ")
        output.append(decimal: length)
        output.append(literal: "\r\n\r\n")
    }

    /// Ends the head of an answer in chunks.
    mutating func endChunkedHead() {
        output.append(literal: "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n")
    }

    /// Writes one chunk; nothing for no bytes, which would end the body.
    mutating func write(chunk: borrowing ByteBuffer) {
        guard chunk.count > 0 else { return }
        output.append(String(chunk.count, radix: 16))
        output.append(literal: "\r\n")
        output.append(chunk.bytes)
        output.append(literal: "\r\n")
    }

    /// Writes the last chunk.
    mutating func endChunks() { output.append(literal: "0\r\n\r\n") }

    /// Writes bytes (all, or the first `count`) as they are.
    mutating func write(raw: borrowing ByteBuffer, first count: Int? = nil) {
        output.append(raw.bytes.extracting(first: count ?? raw.count))
    }

    /// The answer is complete: the connection takes its next request, or closes if the client wants that.
    mutating func finish(at now: Instant) {
        guard case .answering(let keepsAlive) = state else { return }
        state = keepsAlive ? .head(scanned: 0) : .finished
        deadline = keepsAlive ? now + SimulatorConnection.idleTime : nil
    }

    /// The answer ends here, complete or not, and the connection with it: what was written is sent, then comes the end.
    mutating func abandon() { state = .finished }

    private static func reason(_ status: Int) -> StaticString {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 411: "Length Required"
        case 413: "Content Too Large"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Simulated"
        }
    }
}
