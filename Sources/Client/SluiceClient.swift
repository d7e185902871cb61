// Requests over a few connections: multiplexed, retried only where that is safe, with exactly one outcome each.
import Core
import Net
import Wire

/// Why a request has no whole answer.
public enum ClientFailure: Error, Sendable, CustomStringConvertible {
    /// The cluster refused or failed the request; its code, retry class and usage are inside.
    case refused(StreamError)
    /// The connection broke after the request was sent: it may have run.
    case connectionLost(String)
    /// No connection could be made in time; nothing was sent.
    case unreachable(String)
    /// The caller's own time was over; nothing was sent.
    case timeout
    /// Too many requests wait in this client.
    case full

    /// One sentence for a person.
    public var description: String {
        switch self {
        case .refused(let error):
            var text = error.code.name
            if !error.text.isEmpty { text += ": \(error.text)" }
            if let limit = error.limit { text += " (\(limit.scope) limit of \(limit.amount) \(limit.unit))" }
            if error.retryAfterMilliseconds > 0 { text += ", try again in \(error.retryAfterMilliseconds) ms" }
            return text
        case .connectionLost(let reason): return "the connection was lost, the request may have run: \(reason)"
        case .unreachable(let reason): return "the cluster cannot be reached: \(reason)"
        case .timeout: return "the request's time was over before it could be sent"
        case .full: return "too many requests wait in this client"
        }
    }
}

/// Receives one answer. All calls are made on the client's lane; `finished` comes exactly once and last.
public protocol AnswerHandler: AnyObject {
    /// A piece of the answer; the bytes are lent for the call.
    func received(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan)
    /// Something that is not text.
    func received(_ event: StreamEvent)
    /// The end, with what was used, or the failure.
    func finished(_ result: Result<End, ClientFailure>)
}

/// How a client connects.
public struct ClientOptions: Sendable {
    /// Where the cluster listens: the balancer.
    public var endpoint: Endpoint
    /// How to verify it.
    public var tls: TLSContext
    /// The name that its certificate must hold.
    public var serverName: String
    /// The API key, `slk_…`.
    public var apiKey: [UInt8]
    /// Connections kept open; behind a balancer they lead to different nodes.
    public var connections = 4
    /// What this client is, for the cluster's logs; at most 64 bytes.
    public var name = "sluice-client"
    /// Attempts of one request, the first included.
    public var attempts = 3
    /// Requests that may wait for a connection or for stream credit.
    public var waiting = 65_536

    /// A client of the cluster at `endpoint`.
    public init(endpoint: Endpoint, tls: TLSContext, serverName: String, apiKey: [UInt8]) {
        self.endpoint = endpoint
        self.tls = tls
        self.serverName = serverName
        self.apiKey = apiKey
    }
}

/// One request on its way; a handle to cancel it.
public final class PendingRequest {
    var head: RequestHead
    let body: [UInt8]
    let deadline: Instant
    var handler: (any AnswerHandler)?
    var attempts = 0
    var hasOutput = false
    weak var link: ClientLink?
    var stream: UInt32 = 0
    /// The link that must not serve the next attempt, when there is another.
    weak var avoid: ClientLink?

    init(head: RequestHead, body: [UInt8], deadline: Instant, handler: any AnswerHandler) {
        self.head = head
        self.body = body
        self.deadline = deadline
        self.handler = handler
    }

    /// Says that the answer is not wanted; `finished` still comes, with what was used.
    public func cancel() {
        if let link { return link.cancel(stream) }
        let handler = self.handler
        self.handler = nil
        handler?.finished(.failure(.refused(StreamError(code: .cancelled))))
    }
}

/// A client of a cluster. Confined to its lane.
public final class SluiceClient {
    let lane: Lane
    let options: ClientOptions
    private var links: [ClientLink] = []
    private var waiting: BoundedQueue<PendingRequest>
    private var turn = 0
    private var isClosed = false
    var lastProblemText = "no answer yet"
    private var sweep: LaneTimer?
    var chance = Chance(seed: Host.randomSeed())
    /// Bytes on the wire over all connections that ended.
    var retiredBytes: (sent: Int64, received: Int64) = (0, 0)

    /// A client that begins to connect at once.
    public init(lane: Lane, options: ClientOptions) {
        self.lane = lane
        self.options = options
        waiting = BoundedQueue(limit: options.waiting)
        for _ in 0..<max(1, options.connections) { addLink() }
    }

    /// Connections that are ready for requests.
    public var readyConnections: Int { links.filter(\.isReady).count }

    /// Bytes on the wire so far, TLS included.
    public var wireBytes: (sent: Int64, received: Int64) {
        links.reduce(retiredBytes) { ($0.sent + $1.wireBytes.sent, $0.received + $1.wireBytes.received) }
    }

    /// Sends a request, now or when a connection is ready; `handler` hears of its end exactly once.
    @discardableResult
    public func send(_ head: RequestHead, body: [UInt8], handler: any AnswerHandler) -> PendingRequest {
        let milliseconds = Int64(head.timeoutMilliseconds)
        let time = milliseconds == 0 ? Duration.seconds(120) : .milliseconds(milliseconds)
        let request = PendingRequest(head: head, body: body, deadline: lane.now + time, handler: handler)
        submit(request)
        return request
    }

    func submit(_ request: PendingRequest) {
        guard request.handler != nil else { return }
        if let link = choose(avoiding: request.avoid), link.send(request) { return }
        guard waiting.append(request) else { return finish(request, .failure(.full)) }
        armSweep()
    }

    /// The next ready link with stream credit, in turn.
    private func choose(avoiding avoid: ClientLink?) -> ClientLink? {
        var second: ClientLink?
        for _ in links.indices {
            turn = (turn + 1) % links.count
            let link = links[turn]
            guard link.canSend else { continue }
            if link !== avoid { return link }
            second = link
        }
        return second
    }

    /// A link became ready or has credit again.
    func pump() {
        while let request = waiting.first {
            guard request.handler != nil else {
                _ = waiting.popFirst()
                continue
            }
            guard let link = choose(avoiding: request.avoid), link.send(request) else { return }
            _ = waiting.popFirst()
        }
    }

    private func armSweep() {
        guard sweep == nil else { return }
        sweep = lane.schedule(after: .milliseconds(100)) { [weak self] in
            guard let self else { return }
            sweep = nil
            for _ in 0..<waiting.count {
                guard let request = waiting.popFirst() else { break }
                if request.handler == nil { continue }
                if request.deadline > lane.now {
                    waiting.append(request)
                } else {
                    let isConnected = readyConnections > 0
                    finish(request, .failure(isConnected ? .timeout : .unreachable(lastProblemText)))
                }
            }
            if !waiting.isEmpty { armSweep() }
        }
    }

    /// A request failed on a link: tried again where its class allows it, else reported.
    func failed(_ request: PendingRequest, _ error: StreamError, on link: ClientLink) {
        let mayRepeat = request.attempts < options.attempts && !request.hasOutput && !isClosed
        let pause = Duration.milliseconds(Int64(error.retryAfterMilliseconds))
        switch error.retry {
        case .safeElsewhere where mayRepeat:
            request.avoid = link
            if error.retryAfterMilliseconds == 0 { return submit(request) }
            fallthrough
        case .safeHere where mayRepeat && lane.now + pause < request.deadline && pause <= .seconds(2):
            lane.schedule(after: max(pause, .milliseconds(1))) { [self] in submit(request) }
        default: finish(request, .failure(.refused(error)))
        }
    }

    func finish(_ request: PendingRequest, _ result: Result<End, ClientFailure>) {
        guard let handler = request.handler else { return }
        request.handler = nil
        handler.finished(result)
    }

    // MARK: - Links

    func addLink() {
        guard !isClosed else { return }
        let link = ClientLink(self)
        links.append(link)
        link.connect()
    }

    /// A link ended or is leaving: another takes its place before it is gone.
    func replace(_ link: ClientLink, because reason: String) {
        lastProblemText = reason
        guard let place = links.firstIndex(where: { $0 === link }) else { return }
        links.remove(at: place)
        addLink()
    }

    /// A refused key will be refused again: waiting requests hear it at once.
    func refused(_ reason: String) {
        lastProblemText = reason
        while let request = waiting.popFirst() {
            finish(request, .failure(.refused(StreamError(code: .authFailed, text: reason))))
        }
    }

    /// Closes all connections; requests under way are reported as lost.
    public func close() {
        isClosed = true
        sweep?.cancel()
        let all = links
        links = []
        for link in all { link.close() }
        while let request = waiting.popFirst() { finish(request, .failure(.unreachable("the client was closed"))) }
    }
}
