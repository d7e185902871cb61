// One client connection: its key, its requests, its end.
import Core
import Net
import Policy
import Providers
import Telemetry
import Wire

/// A downstream connection. Confined to its lane.
final class Session: @unchecked Sendable {
    let gateway: Gateway
    let channel: Channel<ServerConnection>
    let number: UInt64
    private var exchanges: [UInt32: Exchange] = [:]
    private var keyID: String?
    private var keyHash: [UInt8] = []
    private var knownGrant: KeyGrant?
    private var grantSource: ActiveSnapshot?

    init(_ gateway: Gateway, _ channel: Channel<ServerConnection>, number: UInt64) {
        self.gateway = gateway
        self.channel = channel
        self.number = number
        channel.onEvent = { [unowned self] channel, event in handle(event) }
        channel.onClose = { [self] _, _ in closed() }
    }

    /// Requests under way.
    var openRequests: Int { exchanges.count }

    // MARK: - What the client sends

    private func handle(_ event: ServerConnection.Event) {
        switch event {
        case .hello(let hello): greet(hello)
        case .request(let stream, let head, let body, let isComplete): begin(stream, head, body, isComplete)
        case .body(let stream, let bytes, let isComplete):
            guard let exchange = exchanges[stream] else { return }
            channel.withBytes(of: bytes) { exchange.append(body: $0, isComplete: isComplete) }
        case .cancel(let stream, _): exchanges[stream]?.stop(.cancelled)
        case .writable(let stream): exchanges[stream]?.resume()
        case .slowConsumer(let stream): exchanges[stream]?.stop(.slowConsumer)
        case .slowBody(let stream): exchanges[stream]?.stop(.slowBody)
        case .responseTooLong(let stream): exchanges[stream]?.stop(.responseTooLong)
        case .drainExpired: stopAll(.draining)
        case .subscribe, .report: channel.machine.reject(.unknownFrame, at: gateway.lane.now)
        case .goAway, .drained: break
        case .failed(let error): gateway.metrics.connectionFailed(error)
        }
        channel.wake()
    }

    /// Checks the key against the snapshot: nothing else is asked, so that connections begin while everything else is away.
    private func greet(_ hello: Hello) {
        let now = gateway.lane.now
        guard hello.role != .node, hello.authentication == .apiKey, let key = APIKeyText(hello.apiKey),
            let grant = gateway.snapshot.grants[key.id],
            Digest.constantTimeEquals(Digest.sha256(key.secret), grant.hash), isValid(grant)
        else {
            gateway.metrics.authenticationFailures.add()
            return channel.machine.reject(.authFailed, at: now)
        }
        keyID = key.id
        keyHash = grant.hash
        let models = gateway.snapshot.aliases.enumerated().map { HelloOK.Model(id: UInt16($0 + 1), name: $1) }
        channel.machine.accept(
            HelloOK(
                session: number, node: UInt32(gateway.settings.index),
                tableVersion: UInt32(truncatingIfNeeded: gateway.snapshot.sequence), models: models), at: now)
        tableSnapshot = gateway.snapshot
        if gateway.isDraining { drain() }
    }

    /// The numbers of HELLO_OK's table stay those of the snapshot that was told.
    private var tableSnapshot: ActiveSnapshot?

    private func isValid(_ grant: KeyGrant) -> Bool {
        let now = gateway.lane.wallClockMicroseconds / 1_000_000
        return !grant.record.isRevoked && (grant.record.expiresAtSeconds ?? .max) > now
    }

    /// The rights of this connection's key in a snapshot; nil when it lost them.
    func grant(in snapshot: ActiveSnapshot) -> KeyGrant? {
        if grantSource !== snapshot {
            grantSource = snapshot
            knownGrant = keyID.flatMap { snapshot.grants[$0] }
            if let known = knownGrant, known.hash != keyHash { knownGrant = nil }
        }
        guard let grant = knownGrant, isValid(grant) else { return nil }
        return grant
    }

    private func begin(_ stream: UInt32, _ head: RequestHead, _ bytes: ByteSlice, _ isComplete: Bool) {
        var head = head
        if head.modelID != 0, let aliases = tableSnapshot?.aliases, Int(head.modelID) <= aliases.count {
            head.model = aliases[Int(head.modelID) - 1]
            head.modelID = 0
        }
        var body = ByteBuffer(capacity: max(bytes.count, isComplete ? 0 : 16_384))
        channel.withBytes(of: bytes) { body.append($0) }
        let exchange = Exchange(self, stream: stream, head: head, body: body, isBodyComplete: isComplete)
        exchanges[stream] = exchange
        gateway.servers.serve(exchange)
    }

    // MARK: - What the client is told

    func sendAccepted(_ exchange: Exchange) {
        let provider = exchange.target.flatMap { exchange.snapshot.providerNumbers[$0.provider] } ?? 0
        channel.machine.sendAccepted(stream: exchange.stream, Accepted(provider: provider))
    }

    /// Writes the terminal frame, if there is still somebody to tell.
    func finish(_ exchange: Exchange, _ refusal: Refusal?, _ bill: Bill) {
        exchanges[exchange.stream] = nil
        guard channel.isOpen, channel.machine.isOpen(stream: exchange.stream) else { return }
        let now = gateway.lane.now
        let provider = exchange.target.flatMap { exchange.snapshot.providerNumbers[$0.provider] } ?? 0
        if let refusal {
            fail(exchange, refusal.streamError, bill, provider)
        } else if let end = exchange.outcome?.end {
            let first = ((exchange.firstDeltaAt ?? now) - exchange.receivedAt).milliseconds
            channel.machine.end(
                stream: exchange.stream,
                End(
                    finish: end.finish, usageSource: bill.source ?? .estimated, provider: provider,
                    inputTokens: UInt32(clamping: bill.usage.inputTokens),
                    outputTokens: UInt32(clamping: bill.usage.outputTokens),
                    cachedTokens: UInt32(clamping: bill.usage.cacheReadTokens),
                    totalMilliseconds: UInt32(clamping: (now - exchange.receivedAt).milliseconds),
                    costMicroUSD: UInt64(max(0, bill.cost.amount)),
                    timeToFirstTokenMilliseconds: UInt16(clamping: first), attempts: 1,
                    reasoningTokens: UInt32(clamping: bill.usage.reasoningTokens ?? 0),
                    cacheWriteTokens: UInt32(clamping: bill.usage.cacheWriteTokens),
                    providerFinish: end.finish == .other ? end.finishWord : ""))
        }
        channel.wake()
    }

    private func fail(_ exchange: Exchange, _ error: StreamError, _ bill: Bill, _ provider: UInt16) {
        var error = error
        if let outcome = exchange.outcome, outcome.wasSent {
            error.provider = provider
            error.flags.insert(.upstreamStarted)
            if bill.source != nil { error.flags.insert(.billed) }
            if outcome.hasContent { error.flags.insert(.partialOutput) }
            // Once a provider was asked, nothing is safe to repeat unless its own answer says so.
            if [.deadline, .draining, .slowConsumer].contains(error.code) { error.retry = .unsafe }
        } else if error.code == .deadline {
            error.retry = .safeElsewhere
        }
        error.inputTokens = UInt32(clamping: bill.usage.inputTokens)
        error.outputTokens = UInt32(clamping: bill.usage.outputTokens)
        error.costMicroUSD = UInt64(max(0, bill.cost.amount))
        channel.machine.fail(stream: exchange.stream, error)
    }

    /// The settlement is handed over: the client may open another stream.
    func release(_ stream: UInt32) {
        guard channel.isOpen, channel.machine.isUsable else { return }
        channel.machine.release(stream: stream)
        channel.wake()
    }

    // MARK: - The end

    /// Tells the client to go elsewhere; running requests finish.
    func drain() {
        guard channel.machine.isUsable else { return }
        channel.machine.sendGoAway(reason: .drain, drain: gateway.settings.drainLimit)
        channel.wake()
    }

    func stopAll(_ reason: Refusal) { for exchange in exchanges.values { exchange.stop(reason) } }

    private func closed() {
        stopAll(.connectionLost)
        gateway.remove(self)
    }
}
