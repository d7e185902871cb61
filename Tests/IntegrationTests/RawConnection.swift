// One connection to a node, with nothing of the client library above the protocol: it can be cut, and says what it hears.
import Core
import Foundation
import Net
import Synchronization
import Wire

/// A connection of a test's own making.
final class RawConnection: @unchecked Sendable {
    /// What came, of all streams together.
    struct Heard: Sendable {
        var answer: HelloOK?
        var grant: ResumeGrant?
        var bytes: [UInt8] = []
        var end: End?
        var ends = 0
        var errors: [StreamError] = []
        /// Frames behind a stream's terminal frame.
        var afterEnd = 0
        var isClosed = false
        /// Why the other side ended the connection.
        var failure: ErrorCode?

        var outcomes: Int { errors.count + ends }
        var text: String { String(decoding: bytes, as: UTF8.self) }
    }

    private let lane: Lane
    private let heard = Mutex(Heard())
    private var channel: Channel<ClientConnection>?
    private var ended: Set<UInt32> = []

    var now: Heard { heard.withLock { $0 } }
    /// The lane of the node that has this connection.
    var nodesLane: UInt64 { (now.answer?.session ?? 0) >> 40 & 0xFF }

    /// Connects, and waits for HELLO_OK. With `manual` credit nothing is given back for what comes.
    init(
        _ cluster: TestCluster, key: String? = nil, node: Int = 1, credit: ClientConnection.ResponseCredit = .automatic
    ) async throws {
        lane = try Lane.start(count: 1, name: "raw")[0]
        let hello = Hello(apiKey: Array((key ?? cluster.key).utf8), client: "raw", capabilities: .supported)
        let tls = try TLSContext.client(
            trust: .file(cluster.path("state/pki/ca.pem")), protocols: ["sluice/1"])
        guard let endpoint = Endpoint.parse("127.0.0.1:\(cluster.at("node") + node)") else {
            throw ClusterFailure(description: "no such node")
        }
        lane.execute { [self] in
            Connector.connect(
                on: lane, to: endpoint, tls: tls, serverName: "localhost", timeout: .seconds(10),
                machine: { ClientConnection(hello: hello, at: $0, seed: 1, responseCredit: credit) },
                then: { [weak self] in self?.connected($0) })
        }
        try await cluster.wait("a connection") { self.now.answer != nil || self.now.isClosed }
    }

    deinit {
        let last = LastWord(channel: channel)
        lane.execute { last.channel?.abort() }
        lane.stop()
    }

    private struct LastWord: @unchecked Sendable { let channel: Channel<ClientConnection>? }

    private func connected(_ result: Result<Channel<ClientConnection>, ConnectFailure>) {
        guard case .success(let channel) = result else { return heard.withLock { $0.isClosed = true } }
        self.channel = channel
        channel.onEvent = { [weak self] channel, event in self?.handle(event, channel) }
        channel.onClose = { [weak self] _, _ in self?.heard.withLock { $0.isClosed = true } }
        channel.wake()
    }

    private func handle(_ event: ClientConnection.Event, _ channel: Channel<ClientConnection>) {
        switch event {
        case .ready(let answer): heard.withLock { $0.answer = answer }
        case .accepted(let stream, let accepted):
            note(stream)
            heard.withLock { $0.grant = accepted.resumption ?? $0.grant }
        case .delta(let stream, _, _, let bytes):
            note(stream)
            channel.withBytes(of: bytes) { part in
                let part = part.array()
                heard.withLock { $0.bytes += part }
            }
        case .event(let stream, _): note(stream)
        case .end(let stream, let end):
            ended.insert(stream)
            heard.withLock {
                $0.end = end
                $0.ends += 1
            }
        case .error(let stream, let error):
            ended.insert(stream)
            heard.withLock { $0.errors.append(error) }
        case .failed(let error): heard.withLock { $0.failure = error.code }
        case .streamCredit, .snapshot, .update, .goAway, .hint: break
        }
    }

    private func note(_ stream: UInt32) {
        guard ended.contains(stream) else { return }
        heard.withLock { $0.afterEnd += 1 }
    }

    /// Runs `body` with the machine, on its lane, and sends what it made.
    func say<R: Sendable>(_ body: @escaping @Sendable (inout ClientConnection, Instant) -> R) async -> R? {
        await withCheckedContinuation { continuation in
            lane.execute { [self] in
                guard let channel else { return continuation.resume(returning: nil) }
                let result = body(&channel.machine, lane.now)
                channel.wake()
                continuation.resume(returning: result)
            }
        }
    }

    /// Asks for a stream that can be continued.
    @discardableResult
    func ask(_ prompt: String, id: Identifier128, model: String = "chat-default") async -> UInt32? {
        await say { machine, now in
            var body = ChatBodyWriter()
            body.message(.user, prompt)
            let head = RequestHead(
                idempotencyKey: id, model: model, flags: [.stream, .resumable], timeoutMilliseconds: 60_000)
            return machine.request(head, body: body.finish().array().span.raw, at: now) ?? 0
        }
    }

    /// Asks by a number of HELLO_OK's model table.
    @discardableResult func ask(_ prompt: String, id: Identifier128, number: UInt16) async -> UInt32? {
        await say { machine, now in
            var body = ChatBodyWriter()
            body.message(.user, prompt)
            let head = RequestHead(idempotencyKey: id, modelID: number, timeoutMilliseconds: 60_000)
            return machine.request(head, body: body.finish().array().span.raw, at: now) ?? 0
        }
    }

    /// Continues a stream behind what `place` says.
    @discardableResult func resume(_ id: Identifier128, _ place: Place) async -> UInt32? {
        await say { machine, now in
            machine.resume(id, received: place.received, consumed: place.consumed, at: now) ?? 0
        }
    }

    /// How far a stream has come.
    struct Place: Sendable {
        var received: UInt32
        var consumed: UInt32

        init(received: UInt32, consumed: UInt32) { (self.received, self.consumed) = (received, consumed) }

        init(_ progress: (received: UInt32, consumed: UInt32)?) {
            self.init(received: progress?.received ?? 0, consumed: progress?.consumed ?? 0)
        }
    }

    func place(_ stream: UInt32 = 1) async -> Place {
        await say { machine, _ in Place(machine.progress(stream: stream)) } ?? Place(nil)
    }

    /// Cuts the connection without a word; returns how far the stream had come.
    func cut(_ stream: UInt32 = 1) async -> Place {
        await withCheckedContinuation { continuation in
            lane.execute { [self] in
                let place = Place(channel?.machine.progress(stream: stream))
                channel?.abort()
                continuation.resume(returning: place)
            }
        }
    }
}
