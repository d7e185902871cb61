// One connection of a client: its requests, its end, and what becomes of them then.
import Core
import Net
import Wire

/// A connection to some node. Confined to the client's lane.
final class ClientLink {
    private unowned let client: SluiceClient
    private var channel: Channel<ClientConnection>?
    private var requests: [UInt32: PendingRequest] = [:]
    private var isLeaving = false
    private var isClosed = false
    private var failures = 0
    /// Holds the client from `close` until the channel's last event, which needs it though its owner may have dropped it.
    private var lastHold: SluiceClient?

    init(_ client: SluiceClient) { self.client = client }

    /// True when HELLO was accepted and the server did not say goodbye.
    var isReady: Bool { !isLeaving && (channel?.machine.isUsable ?? false) }

    /// True when a request may be opened now.
    var canSend: Bool { !isLeaving && (channel.map { $0.machine.availableStreams > 0 } ?? false) }

    var wireBytes: (sent: Int64, received: Int64) {
        (channel?.transport.bytesSent ?? 0, channel?.transport.bytesReceived ?? 0)
    }

    func connect() {
        guard !isClosed else { return }
        let options = client.options
        let hello = Hello(
            apiKey: options.apiKey, client: String(options.name.prefix(64)), instance: client.chance.identifier())
        let seed = client.chance.next()
        Connector.connect(
            on: client.lane, to: options.endpoint, tls: options.tls, serverName: options.serverName,
            timeout: .seconds(5), machine: { ClientConnection(hello: hello, at: $0, seed: seed) },
            then: { [weak self] (result: Result<Channel<ClientConnection>, ConnectFailure>) in
                guard let self, !isClosed else {
                    if case .success(let channel) = result { channel.abort() }
                    return
                }
                switch result {
                case .success(let channel): take(channel)
                case .failure(let failure): again(failure.description)
                }
            })
    }

    /// Another attempt after a pause: 100 ms at first, 10 s at most, anywhere below that by chance.
    private func again(_ reason: String) {
        client.note(reason)
        let longest = UInt64(min(10_000, 100 << min(7, failures)))
        failures += 1
        let pause = Duration.milliseconds(Int64(client.chance.below(longest) + 5))
        client.lane.schedule(after: pause) { [weak self] in self?.connect() }
    }

    private func take(_ channel: Channel<ClientConnection>) {
        self.channel = channel
        channel.onEvent = { [self] channel, event in
            handle(event, channel)
            channel.wake()
        }
        channel.onClose = { [self] channel, reason in closed(channel, "\(reason)") }
        channel.wake()
    }

    // MARK: - Requests

    /// Opens a stream for the request; false when there is no credit.
    func send(_ request: PendingRequest) -> Bool {
        guard let channel, canSend else { return false }
        let left = (request.deadline - client.lane.now).milliseconds
        guard left > 0 else {
            client.finish(request, .failure(.timeout))
            return true
        }
        var head = request.head
        head.timeoutMilliseconds = UInt32(clamping: left)
        let body = request.body
        guard body.count <= channel.machine.maximumBodyBytes else {
            let most = channel.machine.maximumBodyBytes
            let error = StreamError(code: .tooLarge, text: "the body has \(body.count) bytes; \(most) are allowed")
            client.finish(request, .failure(.refused(error)))
            return true
        }
        guard let stream = channel.machine.request(head, body: body.span.raw, at: client.lane.now) else {
            return false
        }
        request.attempts += 1
        request.link = self
        request.stream = stream
        requests[stream] = request
        channel.wake()
        return true
    }

    func cancel(_ stream: UInt32) {
        guard let channel, channel.machine.isOpen(stream: stream) else { return }
        channel.machine.cancel(stream: stream)
        channel.wake()
    }

    private func handle(_ event: ClientConnection.Event, _ channel: Channel<ClientConnection>) {
        switch event {
        case .ready:
            failures = 0
            client.pump()
        case .streamCredit: client.pump()
        case .delta(let stream, let choice, let kind, let bytes):
            guard let request = requests[stream], let handler = request.handler else { return }
            request.hasOutput = true
            channel.withBytes(of: bytes) { handler.received(choice: choice, kind: kind, $0) }
        case .event(let stream, let item):
            requests[stream]?.hasOutput = true
            requests[stream]?.handler?.received(item)
        case .end(let stream, let end):
            guard let request = requests.removeValue(forKey: stream) else { return }
            request.link = nil
            client.finish(request, .success(end))
        case .error(let stream, let error):
            guard let request = requests.removeValue(forKey: stream) else { return }
            request.link = nil
            client.failed(request, error, on: self)
        case .goAway: leave()
        case .failed(let error):
            if error.code == .authFailed { client.refused("the API key was refused") }
        case .accepted, .snapshot, .update, .hint: break
        }
    }

    /// The server goes away: a new connection is made while this one finishes what it has.
    private func leave() {
        guard !isLeaving else { return }
        isLeaving = true
        client.replace(self, because: "the node is going away")
    }

    private func closed(_ channel: Channel<ClientConnection>, _ reason: String) {
        client.retiredBytes.sent += channel.transport.bytesSent
        client.retiredBytes.received += channel.transport.bytesReceived
        self.channel = nil
        let lost = requests
        requests = [:]
        for request in lost.values {
            request.link = nil
            client.finish(request, .failure(.connectionLost(reason)))
        }
        if !isLeaving, !isClosed { again(reason) }
        lastHold = nil
    }

    func close() {
        isClosed = true
        lastHold = channel == nil ? nil : client
        channel?.close()
    }
}

extension SluiceClient {
    /// Remembers why connecting failed, for requests that wait in vain.
    func note(_ reason: String) { lastProblemText = reason }
}
