// The client library inside a test: requests whose times, codes and retry classes are seen as a program sees them.
import Client
import Core
import Foundation
import Net
import Synchronization
import TestSupport
import Wire

/// A client of a test's cluster on a lane of its own. It never repeats a request by itself.
final class Caller: @unchecked Sendable {
    private let lane: Lane
    private var client: LaneClient?
    private var chance = Chance(seed: Host.randomSeed())

    /// What became of one request.
    struct Outcome: Sendable {
        let result: Result<End, ClientFailure>
        let text: String
        let sentAt: ContinuousClock.Instant
        let endedAt: ContinuousClock.Instant

        var end: End? { try? result.get() }
        var refusal: StreamError? { if case .failure(.refused(let error)) = result { error } else { nil } }
        var isLost: Bool { if case .failure(.connectionLost) = result { true } else { false } }
        var time: Duration { endedAt - sentAt }
    }

    /// A client of the balancer, or of one node.
    init(
        _ cluster: TestCluster, key: String? = nil, connections: Int = 1, node: Int? = nil, certificate: String? = nil,
        continuesStreams: Bool = false, onHint: (@Sendable (Hint) -> Void)? = nil
    ) throws {
        let port = node.map { cluster.at("node") + $0 } ?? cluster.at("balancer")
        guard let endpoint = Endpoint.parse("127.0.0.1:\(port)") else {
            throw ClusterFailure(description: "\(port) is no port")
        }
        var options = ClientOptions(
            endpoint: endpoint,
            tls: try TLSContext.client(
                trust: .file(cluster.path("state/pki/ca.pem")),
                certificate: certificate.map { cluster.path("state/pki/\($0).pem") },
                key: certificate.map { cluster.path("state/pki/\($0).key") }, protocols: ["sluice/1"]),
            serverName: "localhost", apiKey: certificate == nil ? Array((key ?? cluster.key).utf8) : [])
        options.connections = connections
        options.attempts = 1
        options.onHint = onHint
        options.continuesStreams = continuesStreams
        lane = try Lane.start(count: 1, name: "caller")[0]
        lane.execute { [self, options] in client = LaneClient(lane: lane, options: options) }
    }

    deinit {
        let client = self.client
        let lane = self.lane
        let last = LastWord(client: client)
        lane.execute { last.client?.close() }
        lane.stop()
    }

    /// Closes its connections.
    func close() { lane.execute { [self] in client?.close() } }

    private struct LastWord: @unchecked Sendable { let client: LaneClient? }

    /// Connections that are ready now.
    func readyConnections() async -> Int {
        await withCheckedContinuation { continuation in
            lane.execute { [self] in continuation.resume(returning: client?.readyConnections ?? 0) }
        }
    }

    /// Waits for connections, so that the next request's time holds no handshake.
    func connected(_ wanted: Int = 1) async throws {
        try await eventually("\(wanted) connections are ready") { await readyConnections() >= wanted }
    }

    /// Asks and waits for the outcome; `edit` changes the request's head, `settings` adds to its body.
    func ask(
        _ prompt: String, timeout: Duration = .seconds(20),
        _ edit: @escaping @Sendable (inout RequestHead) -> Void = { _ in },
        settings: @escaping @Sendable (inout ChatBodyWriter) -> Void = { _ in }
    ) async -> Outcome {
        await withCheckedContinuation { continuation in
            lane.execute { [self] in
                var body = ChatBodyWriter()
                body.message(.user, prompt)
                settings(&body)
                var head = RequestHead(
                    idempotencyKey: chance.identifier(), model: "chat-default",
                    timeoutMilliseconds: UInt32(timeout.milliseconds))
                edit(&head)
                let listener = Listener(continuation)
                client?.send(head, body: body.finish().array(), handler: listener)
            }
        }
    }

    /// Asks, cancels at the first piece, and waits for the outcome; when it cancelled, in microseconds since 1970.
    func askAndCancel(_ prompt: String, model: String = "chat-default") async -> (outcome: Outcome, cancelledAt: Int64)
    {
        let moment = Mutex(Int64(0))
        let outcome = await withCheckedContinuation { continuation in
            lane.execute { [self] in
                var body = ChatBodyWriter()
                body.message(.user, prompt)
                let head = RequestHead(
                    idempotencyKey: chance.identifier(), model: model, timeoutMilliseconds: 20_000)
                let listener = Listener(continuation)
                let request = client?.send(head, body: body.finish().array(), handler: listener)
                listener.onFirst = { [lane] in
                    moment.withLock { $0 = lane.wallClockMicroseconds }
                    request?.cancel()
                }
            }
        }
        return (outcome, moment.withLock { $0 })
    }

    /// Asks many times at once.
    func ask(_ count: Int, _ prompt: String, timeout: Duration = .seconds(20)) async -> [Outcome] {
        await withTaskGroup(of: Outcome.self) { group in
            for _ in 0..<count { group.addTask { await self.ask(prompt, timeout: timeout) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    private final class Listener: AnswerHandler {
        private let continuation: CheckedContinuation<Outcome, Never>
        private let sentAt = ContinuousClock.now
        private var text: [UInt8] = []
        /// Runs with the first piece.
        var onFirst: (() -> Void)?

        init(_ continuation: CheckedContinuation<Outcome, Never>) { self.continuation = continuation }

        func received(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
            text += bytes.array(0..<bytes.byteCount)
            onFirst?()
            onFirst = nil
        }
        func received(_ event: StreamEvent) {}

        func finished(_ result: Result<End, ClientFailure>) {
            let text = String(decoding: text, as: UTF8.self)
            continuation.resume(
                returning: Outcome(result: result, text: text, sentAt: sentAt, endedAt: ContinuousClock.now))
        }
    }
}
