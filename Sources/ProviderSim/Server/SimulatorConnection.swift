// The simulator's end of an HTTP connection: whole requests in, answers out, also such as HTTP forbids.
import Core
import HTTP

/// A server's HTTP connection that hands over one whole request at a time, sees a caller leave while its answer is under way, and
/// can send bytes past the HTTP machine: a provider that fails breaks HTTP too.
struct SimulatorConnection: Machine, ~Copyable {
    /// Longest body: a long conversation with images in it.
    static let bodyLimit = 16 << 20
    /// Time for a request to arrive whole, and for an idle connection to bring its next one.
    static let idleTime = Duration.seconds(300)

    enum Event: Equatable {
        /// A whole request; its body is lent by `withBody`. Answer it by `respond`, `finishEvents` or `abandon`.
        case request(SimulatorRequest)
        /// Bytes that are no request; a refusal was written, the connection ends.
        case refused
        /// The peer closed its end.
        case peerGone
    }

    private var http: HTTPServerConnection
    private var request: SimulatorRequest?
    private var body = ByteBuffer()
    private var raw = ByteBuffer()
    private var isAnswering = false
    private var isOver = false

    init(at now: Instant) {
        http = HTTPServerConnection(
            limits: HTTPLimits(body: SimulatorConnection.bodyLimit), idleTime: SimulatorConnection.idleTime, at: now)
    }

    // The socket is read while an answer is under way, because only so is it seen that the caller left.
    var wantsInput: Bool { !isOver }
    var deadline: Instant? { isOver ? nil : http.deadline }
    var isFinished: Bool { isOver || http.isFinished }

    mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Event? {
        if isAnswering {
            // Requests behind this one wait in the input; a caller that sends no end of them is cut off.
            guard input.count > SimulatorConnection.bodyLimit else { return nil }
            abandon()
            return .peerGone
        }
        while let event = http.receive(&input, at: now) {
            switch event {
            case .request(let head):
                request = SimulatorRequest(head, in: input.bytes(of: head.slice))
                body.removeAll()
            case .body(let slice): body.append(input.bytes(of: slice))
            case .failed: return .refused
            case .end:
                guard let request = request.take() else { return nil }
                isAnswering = true
                return .request(request)
            }
        }
        return nil
    }

    /// Lends the body of the request that is being answered.
    func withBody<R, E: Error>(_ use: (RawSpan) throws(E) -> R) throws(E) -> R { try use(body.bytes) }

    mutating func inputEnded(at now: Instant) -> Event? {
        guard !isOver else { return nil }
        isOver = true
        return .peerGone
    }

    mutating func advance(to now: Instant) -> Event? { http.advance(to: now) == nil ? nil : .refused }

    mutating func transmit(into output: inout ByteBuffer, at now: Instant) {
        http.transmit(into: &output, at: now)
        guard raw.count > 0 else { return }
        output.append(draining: &raw)
        raw.releaseIfEmpty()
    }

    // MARK: - Answers

    /// Answers with a whole body.
    ///
    /// - Parameter fields: header lines, each ended by CR LF.
    mutating func respond(status: Int, fields: String, body: borrowing ByteBuffer, first count: Int? = nil) {
        http.respond(status: status, headers: fields, body: body.bytes.extracting(first: count ?? body.count))
        answered()
    }

    /// Begins an answer in events.
    mutating func beginEvents(fields: String) { http.beginResponse(status: 200, headers: fields) }

    /// Sends a piece of a begun answer.
    mutating func write(_ events: borrowing ByteBuffer) { http.write(events.bytes) }

    /// The same, every byte in a chunk of its own.
    mutating func writeSplit(_ events: borrowing ByteBuffer) {
        for place in 0..<events.count { http.write(events.bytes.extracting(place..<(place + 1))) }
    }

    /// Ends a begun answer.
    mutating func finishEvents() {
        http.finish()
        answered()
    }

    /// Sends bytes as they are; `abandon` must follow.
    mutating func write(raw bytes: borrowing ByteBuffer, first count: Int? = nil) {
        raw.append(bytes.bytes.extracting(first: count ?? bytes.count))
    }

    /// The answer ends here, complete or not, and the connection with it: what was written is sent, then comes the end.
    mutating func abandon() {
        http.cut()
        isOver = true
    }

    private mutating func answered() {
        isAnswering = false
        body.removeAll()
        body.releaseIfEmpty()
    }
}
