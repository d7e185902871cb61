// One connection of a client, from HELLO to its end: its requests, and what becomes of them.
import Core
import Net
import Wire

/// A connection to some node. Confined to the client's lane.
final class ClientLink {
    let client: LaneClient
    /// Tells links apart after they are gone.
    let serial: Int
    private let channel: Channel<ClientConnection>
    private var requests: [UInt32: PendingRequest] = [:]
    /// GOAWAY came, or the link was replaced.
    private(set) var isLeaving = false
    private(set) var isClosed = false
    /// Which node it leads to; known when it is ready.
    private(set) var node: UInt32 = 0
    /// When HELLO was accepted.
    private(set) var readyAt: Instant?
    private var failureText: String?
    /// Streams whose last word did not come in time; they keep their credit.
    private var silent: Set<UInt32> = []
    /// So many of them, of 256 that a connection usually has, and another connection takes this one's place.
    private static let mostSilent = 64
    /// What its owner does: the slot that it serves.
    weak var slot: ConnectionSlot?
    /// The search that it was made for, instead of a slot.
    weak var search: StreamSearch?
    /// The move that it was made for, until it takes its slot.
    weak var move: LinkMove?

    init(_ client: LaneClient, serial: Int, channel: Channel<ClientConnection>) {
        self.client = client
        self.serial = serial
        self.channel = channel
        channel.onEvent = { [self] channel, event in handle(event, channel) }
        channel.onClose = { [self] _, reason in closed(reason) }
        channel.wake()
    }

    /// True when HELLO was accepted and the server did not say goodbye.
    var isReady: Bool { !isLeaving && !isClosed && channel.machine.isUsable }

    /// True when a request may be opened now; during the first half of a GOAWAY it still may.
    var canSend: Bool { !isClosed && channel.machine.availableStreams > 0 }

    var wireBytes: (sent: Int64, received: Int64) { (channel.transport.bytesSent, channel.transport.bytesReceived) }

    // MARK: - Requests

    /// Opens a stream for the request, or ends it when it can never be sent; false when there is no credit.
    func send(_ request: PendingRequest) -> Bool {
        guard canSend else { return false }
        let left = (request.deadline - client.lane.now).milliseconds
        guard left > 0 else {
            client.finishSoon(request, .deadline(wasSent: request.wasLost))
            return true
        }
        request.head.timeoutMilliseconds = UInt32(clamping: left)
        let most = channel.machine.maximumBodyBytes
        guard request.body.count <= most else {
            let text = "the body has \(request.body.count) bytes; \(most) are allowed"
            client.finishSoon(request, .refused(StreamError(code: .tooLarge, text: text)))
            return true
        }
        request.head.flags.remove(.resumable)
        if client.options.continuesStreams, channel.machine.canResume { request.head.flags.insert(.resumable) }
        let body = request.body
        guard let stream = channel.machine.request(request.head, body: body.span.raw, at: client.lane.now) else {
            return false
        }
        request.attempts += 1
        request.hold = nil
        request.link = self
        request.stream = stream
        requests[stream] = request
        channel.wake()
        return true
    }

    /// Opens a stream that continues the request's answer; false when there is no credit.
    func resume(_ request: PendingRequest, _ hold: StreamHold) -> Bool {
        let (id, now) = (hold.grant.id, client.lane.now)
        guard
            canSend,
            let stream = channel.machine.resume(id, received: hold.received, consumed: hold.consumed, at: now)
        else { return false }
        request.link = self
        request.stream = stream
        requests[stream] = request
        if request.handler == nil { channel.machine.cancel(stream: stream, reason: .unwanted) }
        channel.wake()
        return true
    }

    func cancel(_ stream: UInt32, _ reason: CancelReason) {
        guard !isClosed, channel.machine.isOpen(stream: stream) else { return }
        channel.machine.cancel(stream: stream, reason: reason)
        channel.wake()
    }

    /// Tells the node that nobody will come back for what it keeps.
    func giveUpKept() {
        for (stream, request) in requests where request.hold != nil { cancel(stream, .shutdown) }
    }

    func consumed(_ stream: UInt32, _ bytes: Int) {
        guard !isClosed else { return }
        channel.machine.consumed(stream: stream, bytes: bytes)
        channel.wake()
    }

    private func handle(_ event: ClientConnection.Event, _ channel: Channel<ClientConnection>) {
        switch event {
        case .delta(let stream, let choice, let kind, let bytes):
            guard let request = requests[stream] else { return }
            request.hasBegun = true
            if let handler = request.handler {
                channel.withBytes(of: bytes) { handler.received(choice: choice, kind: kind, $0) }
            }
            if case .manual = request.credit, request.handler != nil { return }
            channel.machine.consumed(stream: stream, bytes: bytes.count)
        case .event(let stream, let item):
            requests[stream]?.hasBegun = true
            requests[stream]?.handler?.received(item)
        case .accepted(let stream, let accepted):
            guard let request = requests[stream] else { return }
            // This one is the client's own affair: the answer can be continued, or goes on.
            if let grant = accepted.resumption { return request.hold = StreamHold(grant: grant, node: node) }
            request.hasBegun = true
            request.handler?.accepted(accepted)
        case .end(let stream, let end):
            guard let request = take(stream) else { return }
            // Behind CANCEL pieces are dropped at both ends: an END that crossed it does not mean a whole answer.
            client.finish(request, request.isOverdue ? .failure(ClientLink.late(end)) : .success(end))
        case .error(let stream, let error):
            guard let request = take(stream) else { return }
            client.failed(request, error, on: self)
        case .streamCredit: client.pump()
        case .ready(let answer):
            readyAt = client.lane.now
            node = answer.node
            if let search { search.isReady(self) } else if let move { move.isReady(self) } else { slot?.isReady(self) }
        case .goAway(let message):
            isLeaving = true
            slot?.isLeaving(self, "the node is going away: \(message.reason)")
        case .failed(let error):
            failureText = error.description
            slot?.failed(self, error)
        case .hint(let hint):
            client.options.onHint?(hint)
            if hint.wantsRebalance { client.move.wish(of: self) }
        case .snapshot, .update: break
        }
    }

    /// What an answer is that ended behind its deadline: what it used is told all the same.
    private static func late(_ end: End) -> ClientFailure {
        .refused(
            StreamError(
                code: .deadline, flags: [.upstreamStarted, .billed, .partialOutput], inputTokens: end.inputTokens,
                outputTokens: end.outputTokens, costMicroUSD: end.costMicroUSD, provider: end.provider,
                text: "the answer ended when the request's time was over"))
    }

    private func take(_ stream: UInt32) -> PendingRequest? {
        guard let request = requests.removeValue(forKey: stream) else { return nil }
        request.link = nil
        silent.remove(stream)
        return request
    }

    /// Cancels what is past its deadline and tells those whose last word did not come. Returns when to look again.
    func sweep(at now: Instant) -> Instant {
        var next = Instant.distantFuture
        var overdue: [PendingRequest] = []
        for request in requests.values where request.handler != nil {
            if request.deadline <= now { overdue.append(request) } else { next = min(next, request.deadline) }
        }
        for request in overdue {
            if !request.isOverdue {
                request.isOverdue = true
                cancel(request.stream, .deadline)
            }
            let last = request.deadline + LaneClient.lastWordTime
            if last <= now {
                silent.insert(request.stream)
                client.finish(request, .failure(.deadline(wasSent: true)))
            } else {
                next = min(next, last)
            }
        }
        leaveWhenSilent()
        return next
    }

    /// A node that answers neither requests nor CANCEL would use up the connection's stream credit.
    private func leaveWhenSilent() {
        if isLeaving, !silent.isEmpty, silent.count == requests.count { return close() }
        guard !isLeaving, silent.count >= ClientLink.mostSilent else { return }
        isLeaving = true
        slot?.isLeaving(self, "the node does not end what was cancelled")
    }

    // MARK: - The end

    /// Opens nothing more; the connection ends when its requests have.
    func retire() {
        isLeaving = true
        guard !isClosed else { return }
        channel.machine.sendGoAway()
        channel.wake()
    }

    private func closed(_ reason: CloseReason) {
        isClosed = true
        client.retiredBytes.sent += channel.transport.bytesSent
        client.retiredBytes.received += channel.transport.bytesReceived
        let text = failureText ?? reason.description
        if let search { search.ended(self) } else if let move { move.ended(self) } else { slot?.ended(self, text) }
        client.forget(self)
        let lost = requests.values.sorted { $0.stream < $1.stream }
        requests = [:]
        for request in lost {
            request.link = nil
            if let progress = channel.machine.progress(stream: request.stream) {
                request.hold?.received = progress.received
                request.hold?.consumed = progress.consumed
            } else {
                request.hold = nil
            }
            client.lost(request, text, on: self)
        }
    }

    /// Ends the connection now.
    func close() { channel.close() }
}
