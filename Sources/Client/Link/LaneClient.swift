// Requests over a few connections: multiplexed, repeated only where that is safe, with exactly one outcome each.
import Core
public import Net
public import Wire

/// A client of a cluster for code that lives on a lane: callbacks, no hop. `SluiceClient` is the same for async code.
///
/// Confined to its lane; lives until `close`.
public final class LaneClient {
    let lane: Lane
    let options: ClientOptions
    let hello: Hello
    var chance = Chance(seed: Host.randomSeed())
    private(set) var slots: [ConnectionSlot] = []
    /// Links that were replaced and finish what they have.
    private var retired: [ClientLink] = []
    /// Requests whose answers are to go on over another connection.
    var interrupted: [PendingRequest] = []
    /// Looks for the node that has them; nil while a connection leads to it, or is coming.
    var search: StreamSearch?
    /// Connections whose nodes asked to have them elsewhere.
    private(set) lazy var move = LinkMove(self)
    private var waiting: BoundedQueue<PendingRequest>
    private var waitingBytes = 0
    /// Requests in `waiting` whose outcome is told already.
    private var deadWaiting = 0
    private var parked: [ObjectIdentifier: PendingRequest] = [:]
    private var budget: RetryBudget
    private var turn = 0
    private var serials = 0
    private(set) var isClosed = false
    /// Why there was no connection the last time, for people.
    public private(set) var lastProblem = "no answer yet"
    /// Why the last greeting was refused for good; nil once one was accepted.
    public var refusal: ClientFailure? { refusalWord.map { .refused($0) } }
    private var refusalWord: StreamError?
    private var sweepTimer: LaneTimer?
    private var sweepDue = Instant.distantFuture
    /// Bytes on the wire over all connections that ended.
    var retiredBytes: (sent: Int64, received: Int64) = (0, 0)

    /// After its deadline a request that was sent waits this long for the cluster's last word, which tells what was used.
    static let lastWordTime = Duration.milliseconds(500)
    /// How often nodes that go away may hand one request back.
    static let mostMoves = 8

    /// A client that begins to connect at once.
    ///
    /// - Precondition: the API key has at most 128 bytes.
    public init(lane: Lane, options: ClientOptions) {
        precondition(options.apiKey.count <= Hello.maximumKeyLength, "an API key has at most 128 bytes")
        self.lane = lane
        self.options = options
        budget = options.retryBudget
        waiting = BoundedQueue(limit: max(1, options.waiting))
        var name = options.name.prefix(64)
        while name.utf8.count > 64 { name.removeLast() }
        hello = Hello(
            authentication: options.apiKey.isEmpty ? .certificate : .apiKey, apiKey: options.apiKey,
            client: String(name), instance: chance.identifier(),
            capabilities: options.continuesStreams ? .standard.union(.resume) : .standard)
        for _ in 0..<max(1, options.connections) { slots.append(ConnectionSlot(self)) }
        for slot in slots { slot.connect() }
    }

    /// Connections that are ready for requests.
    public var readyConnections: Int { slots.count { $0.link?.isReady ?? false } }

    /// Bytes on the wire so far, TLS included.
    public var wireBytes: (sent: Int64, received: Int64) {
        let live = slots.compactMap(\.link) + retired
        return live.reduce(retiredBytes) { ($0.sent + $1.wireBytes.sent, $0.received + $1.wireBytes.received) }
    }

    /// Sends a request, now or when a connection is ready; `handler` hears of its end exactly once, never before this returns.
    ///
    /// With `manual` credit the cluster sends no more than 64 KiB ahead of what `PendingRequest.consumed` was told.
    ///
    /// - Precondition: the head's texts fit their limits (`RequestHead`).
    @discardableResult
    public func send(
        _ head: RequestHead, body: [UInt8], credit: ClientConnection.ResponseCredit = .automatic,
        handler: any AnswerHandler
    ) -> PendingRequest {
        let milliseconds = Int64(head.timeoutMilliseconds)
        let time = milliseconds == 0 ? Duration.seconds(120) : .milliseconds(milliseconds)
        let request = PendingRequest(
            head: head, body: body, deadline: lane.now + time, credit: credit, client: self, handler: handler)
        budget.earn()
        if let failure = submit(request) {
            finishSoon(request, failure)
        }
        return request
    }

    /// Sends the request or lets it wait; the reason when it can do neither.
    private func submit(_ request: PendingRequest) -> ClientFailure? {
        guard !isClosed else { return .closed }
        look(at: request.deadline)
        if let link = choose(avoiding: request.avoid), link.send(request) { return nil }
        if let refusal, readyConnections == 0 { return refusal }
        if deadWaiting > 0, isFull(for: request) { removeDead() }
        if isFull(for: request) { return .full }
        letWait(request)
        request.waitingSince = lane.now
        look(at: lane.now + options.patience)
        return nil
    }

    private func isFull(for request: PendingRequest) -> Bool {
        waiting.count == waiting.limit || waitingBytes + request.body.count > options.waitingBytes
    }

    /// The next link with stream credit, in turn; one that is going away or that failed this request only when there is no other.
    private func choose(avoiding avoid: Int) -> ClientLink? {
        var second: ClientLink?
        var third: ClientLink?
        for _ in slots.indices {
            turn = turn + 1 < slots.count ? turn + 1 : 0
            guard let link = slots[turn].link, link.canSend else { continue }
            if link.serial == avoid {
                third = link
            } else if link.isLeaving {
                second = link
            } else {
                return link
            }
        }
        return second ?? third
    }

    /// A link became ready or has credit again.
    func pump() {
        continueInterrupted()
        while let request = waiting.first {
            if request.handler != nil {
                guard let link = choose(avoiding: request.avoid), link.send(request) else { return }
            }
            // Its outcome may have been told meanwhile, and the queue emptied with it.
            guard waiting.first === request else { continue }
            popWaiting()
        }
    }

    @discardableResult private func popWaiting() -> PendingRequest? {
        guard let request = waiting.popFirst() else { return nil }
        waitingBytes -= request.body.count
        request.isWaiting = false
        if request.handler == nil { deadWaiting -= 1 }
        return request
    }

    // MARK: - Outcomes

    /// A request failed on a link: repeated where its class allows it, else told.
    func failed(_ request: PendingRequest, _ error: StreamError, on link: ClientLink) {
        guard request.handler != nil else { return }
        if error.code == .resumeUnknown, let hold = request.hold {
            request.hold = nil
            return lost(request, "\(hold.reason); the node has not kept the answer", on: link)
        }
        if request.isOverdue, error.code == .cancelled {
            var late = error
            late.code = .deadline
            late.retry = error.flags.contains(.upstreamStarted) ? .unsafe : .safeElsewhere
            return finish(request, .failure(.refused(late)))
        }
        if request.wasLost, error.code == .duplicate {
            return finish(request, .failure(.connectionLost("an attempt that was lost with its connection did run")))
        }
        let isSafe = error.retry == .safeElsewhere || error.retry == .safeHere
        guard isSafe, !request.hasBegun else { return finish(request, .failure(.refused(error))) }
        if error.retry == .safeElsewhere { request.avoid = link.serial }
        // A node that goes away did not work on it: moving on costs the cluster nothing, so it is no repetition.
        if error.code == .draining, request.moves < LaneClient.mostMoves {
            request.moves += 1
            request.attempts -= 1
            return resubmit(request)
        }
        let said = Int64(error.retryAfterMilliseconds)
        // A little later than told, by chance, so that those who were refused together do not return together.
        let isAtOnce = error.retry == .safeElsewhere && request.attempts == 1
        let spread = isAtOnce ? 1 : UInt64(max(said / 10, 25 << Int64(min(8, request.attempts))))
        let pause = Duration.milliseconds(said + Int64(chance.below(spread)))
        guard repeats(request, after: pause) else { return finish(request, .failure(.refused(error))) }
        park(request, for: pause)
    }

    /// A request lost its connection. Before anything of the answer came it is asked again with its idempotency key, elsewhere:
    /// the cluster never runs one key twice.
    func lost(_ request: PendingRequest, _ reason: String, on link: ClientLink?) {
        guard request.handler != nil else { return }
        request.wasLost = true
        if let link { request.avoid = link.serial }
        if request.isOverdue { return finish(request, .failure(.deadline(wasSent: true))) }
        if interrupt(request, reason) { return }
        guard !request.hasBegun, repeats(request, after: .zero) else {
            return finish(request, .failure(.connectionLost(reason)))
        }
        resubmit(request)
    }

    private func repeats(_ request: PendingRequest, after pause: Duration) -> Bool {
        !isClosed && request.attempts < options.attempts && pause <= options.longestPause
            && lane.now + pause < request.deadline && parked.count < options.waiting && budget.spend(at: lane.now)
    }

    private func park(_ request: PendingRequest, for pause: Duration) {
        guard pause > .zero else { return resubmit(request) }
        parked[ObjectIdentifier(request)] = request
        lane.schedule(after: pause) { [self] in
            guard parked.removeValue(forKey: ObjectIdentifier(request)) != nil else { return }
            resubmit(request)
        }
    }

    private func resubmit(_ request: PendingRequest) {
        guard request.handler != nil, let failure = submit(request) else { return }
        finish(request, .failure(failure))
    }

    func finish(_ request: PendingRequest, _ result: Result<End, ClientFailure>) {
        guard let handler = request.handler else { return }
        request.handler = nil
        if request.isWaiting { deadWaiting += 1 }
        handler.finished(result)
    }

    /// Ends a request from a call of its owner's: later, because a handler that asks again at once would make that call without end.
    func finishSoon(_ request: PendingRequest, _ failure: ClientFailure) {
        lane.schedule(after: .zero) { [self] in finish(request, .failure(failure)) }
    }

    /// Requests that were cancelled give their places to others.
    private func removeDead() {
        for _ in 0..<waiting.count {
            guard let request = popWaiting() else { return }
            if request.handler != nil { letWait(request) }
        }
    }

    private func letWait(_ request: PendingRequest) {
        waiting.append(request)
        waitingBytes += request.body.count
        request.isWaiting = true
    }

    // MARK: - Time

    /// Makes sure that `sweep` runs at `due` at the latest.
    func look(at due: Instant) {
        guard due < sweepDue else { return }
        sweepDue = due
        sweepTimer?.cancel()
        sweepTimer = lane.schedule(at: due) { [weak self] in self?.sweep() }
    }

    /// Ends what is past its time. One look at everything serves all deadlines that were set when it was planned, so that a
    /// request costs no timer of its own.
    private func sweep() {
        sweepDue = .distantFuture
        let now = lane.now
        let hasConnection = readyConnections > 0
        var next = Instant.distantFuture
        for _ in 0..<waiting.count {
            guard let request = popWaiting() else { break }
            guard request.handler != nil else { continue }
            let patient = request.waitingSince + options.patience
            if request.deadline <= now {
                finish(request, .failure(late(request, hasConnection)))
            } else if !hasConnection, patient <= now {
                finish(request, .failure(request.wasLost ? .connectionLost(lastProblem) : .unreachable(lastProblem)))
            } else {
                letWait(request)
                next = min(next, request.deadline, patient > now ? patient : now + .milliseconds(100))
            }
        }
        next = min(next, sweepInterrupted(at: now))
        for link in slots.compactMap(\.link) + retired { next = min(next, link.sweep(at: now)) }
        // Deadlines that lie close together are served together.
        if next < .distantFuture { look(at: max(next, now + .milliseconds(5))) }
    }

    private func late(_ request: PendingRequest, _ hasConnection: Bool) -> ClientFailure {
        if request.wasLost { return .deadline(wasSent: true) }
        return hasConnection ? .deadline(wasSent: false) : .unreachable(lastProblem)
    }

    // MARK: - Links

    /// Makes a connection; HELLO goes out with the link that is made of it.
    func dial(_ then: @escaping (Result<Channel<ClientConnection>, ConnectFailure>) -> Void) {
        let (hello, seed) = (hello, chance.next())
        Connector.connect(
            on: lane, to: options.endpoint, tls: options.tls, serverName: options.serverName, timeout: .seconds(5),
            afresh: true,
            machine: { ClientConnection(hello: hello, at: $0, seed: seed, responseCredit: .manual) }, then: then)
    }

    func makeLink(_ channel: Channel<ClientConnection>) -> ClientLink {
        serials += 1
        return ClientLink(self, serial: serials, channel: channel)
    }

    /// A connection is ready.
    func isReady() {
        refusalWord = nil
        pump()
    }

    /// Another connection took the link's place.
    func retire(_ link: ClientLink) {
        guard !link.isClosed else { return }
        retired.append(link)
        link.retire()
    }

    /// The link is gone.
    func forget(_ link: ClientLink) { retired.removeAll { $0 === link } }

    /// Remembers why connecting failed, for requests that wait in vain.
    func note(_ reason: String) { lastProblem = reason }

    /// The greeting was refused and will be refused again: without another connection, requests hear it at once.
    func refused(_ error: ConnectionError) {
        let text = error.code == .authFailed ? "the API key was refused" : error.description
        let word = StreamError(code: error.code, text: text)
        refusalWord = word
        lastProblem = text
        guard readyConnections == 0 else { return }
        for _ in 0..<waiting.count {
            guard let request = popWaiting() else { return }
            finish(request, .failure(.refused(word)))
        }
    }

    /// Closes all connections. Requests under way are told as lost, those that wait as closed.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        sweepTimer?.cancel()
        for link in slots.compactMap(\.link) + retired { link.giveUpKept() }
        for slot in slots { slot.stop() }
        move.stop()
        for link in retired { link.close() }
        closeInterrupted()
        let unsent = parked.values
        parked = [:]
        for request in unsent { finish(request, .failure(.closed)) }
        while let request = popWaiting() { finish(request, .failure(.closed)) }
    }
}
