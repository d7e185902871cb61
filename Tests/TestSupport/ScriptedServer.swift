// A server whose every answer the test writes, over real sockets and TLS, on the real machine of the accepting side.
import Core
package import Net
import Synchronization
package import Wire

/// One request as the server sees it. Used on the server's lane.
package struct ServedRequest {
    package let connection: ServedConnection
    package let stream: UInt32
    package let head: RequestHead

    /// True while an answer may be sent.
    package var isOpen: Bool { connection.channel.machine.isOpen(stream: stream) }

    package func accepted() { connection.say { $0.sendAccepted(stream: stream, Accepted(provider: 1)) } }

    @discardableResult package func text(_ text: String, choice: UInt8 = 0, kind: DeltaKind = .text) -> Bool {
        bytes(Array(text.utf8), choice: choice, kind: kind)
    }

    @discardableResult package func bytes(_ bytes: [UInt8], choice: UInt8 = 0, kind: DeltaKind = .text) -> Bool {
        var goesOn = true
        connection.say {
            goesOn = $0.sendDelta(stream: stream, choice: choice, kind: kind, bytes: bytes.span.raw)
        }
        return goesOn
    }

    package func event(_ event: StreamEvent) { connection.say { $0.sendEvent(stream: stream, event) } }

    package func end(_ end: End = End(inputTokens: 3, outputTokens: 5)) {
        connection.say {
            guard $0.isOpen(stream: stream) else { return }
            $0.end(stream: stream, end)
            $0.release(stream: stream)
        }
    }

    package func fail(_ error: StreamError) {
        connection.say {
            guard $0.isOpen(stream: stream) else { return }
            $0.fail(stream: stream, error)
            $0.release(stream: stream)
        }
    }

    /// Ends the connection without a word.
    package func cut() { connection.channel.abort() }
}

/// One accepted connection. Used on the server's lane.
package final class ServedConnection {
    package let number: Int
    package let channel: Channel<ServerConnection>
    /// Called when the client's credit lets a stream go on.
    package var onWritable: ((UInt32) -> Void)?

    package init(_ number: Int, _ channel: Channel<ServerConnection>) {
        self.number = number
        self.channel = channel
    }

    package func say(_ body: (inout ServerConnection) -> Void) {
        body(&channel.machine)
        channel.wake()
    }

    /// Sends bytes that the machine would never send.
    package func inject(_ bytes: [UInt8]) {
        channel.transport.output.append(bytes)
        channel.wake()
    }

    package func goAway(drain: Duration = .seconds(60)) { say { $0.sendGoAway(reason: .drain, drain: drain) } }
}

/// Accepts clients on a lane of its own and lets the test answer.
package final class ScriptedServer: @unchecked Sendable {
    /// What a test reads from its own thread.
    package struct Seen: Sendable {
        package var hellos: [Hello] = []
        package var requests: [RequestHead] = []
        /// The connection of each request, counted from 1.
        package var connections: [Int] = []
        package var resumes: [Resume] = []
        package var cancels: [CancelReason] = []
        package var goAways = 0
        package var closed = 0
        package var failures: [ConnectionError] = []
    }

    private let lane: Lane
    private let listener: Listener<ServerConnection>
    private let log = Mutex(Seen())
    private var live: [ServedConnection] = []
    private var count = 0
    /// False: CANCEL crosses the END of the answer.
    private let answersCancel: Bool
    private let onHello: (ServedConnection, Hello) -> Void
    private let onResume: (ServedConnection, UInt32, Resume) -> Void
    private let onRequest: (ServedRequest) -> Void
    package let port: UInt16

    /// A server that accepts every greeting unless `onHello` says otherwise.
    package init(
        tls: TLSContext? = nil, limits: WireLimits = .standard, answersCancel: Bool = true,
        onHello: @escaping (ServedConnection, Hello) -> Void = { connection, _ in connection.accept() },
        onResume: @escaping (ServedConnection, UInt32, Resume) -> Void = { connection, stream, _ in
            connection.say { $0.fail(stream: stream, StreamError(code: .resumeUnknown)) }
        },
        onRequest: @escaping (ServedRequest) -> Void
    ) throws {
        lane = try Lane.start(count: 1, name: "served")[0]
        self.onHello = onHello
        self.answersCancel = answersCancel
        self.onResume = onResume
        self.onRequest = onRequest
        let box = Box()
        listener = try Listener(
            lane: lane, address: .ipv4(0x7F00_0001, port: 0), tls: try tls ?? TestAuthority.shared.server(),
            machine: { ServerConnection(limits: limits, at: $0, seed: 1) }, onAccept: { box.server?.take($0) })
        port = listener.address.port
        box.server = self
    }

    private final class Box { weak var server: ScriptedServer? }

    deinit {
        let last = LastWord(listener: listener, live: live)
        let lane = self.lane
        lane.execute {
            last.listener.close()
            for connection in last.live { connection.channel.abort() }
        }
        lane.stop()
    }

    private struct LastWord: @unchecked Sendable {
        let listener: Listener<ServerConnection>
        let live: [ServedConnection]
    }

    package var seen: Seen { log.withLock { $0 } }

    /// Runs `body` on the lane with the connections that are open.
    package func onLive(_ body: @escaping @Sendable ([ServedConnection]) -> Void) {
        lane.execute { [self] in body(live) }
    }

    /// Waits until what was seen fulfils the condition.
    package func wait(_ what: String, seconds: Double = 10, _ condition: (Seen) -> Bool) async throws {
        try await eventually(what, seconds: seconds) { condition(seen) }
    }

    private func take(_ channel: Channel<ServerConnection>) {
        count += 1
        let connection = ServedConnection(count, channel)
        live.append(connection)
        channel.onEvent = { [weak self] channel, event in
            self?.handle(connection, event)
            channel.wake()
        }
        channel.onClose = { [weak self] _, _ in
            self?.live.removeAll { $0 === connection }
            self?.log.withLock { $0.closed += 1 }
        }
    }

    private func handle(_ connection: ServedConnection, _ event: ServerConnection.Event) {
        switch event {
        case .hello(let hello):
            log.withLock { $0.hellos.append(hello) }
            onHello(connection, hello)
        case .request(let stream, let head, _, let isComplete):
            log.withLock {
                $0.requests.append(head)
                $0.connections.append(connection.number)
            }
            if !isComplete { connection.say { $0.grantBody(stream: stream) } }
            onRequest(ServedRequest(connection: connection, stream: stream, head: head))
        case .cancel(let stream, let reason):
            log.withLock { $0.cancels.append(reason) }
            guard answersCancel else {
                connection.say { $0.end(stream: stream, End(outputTokens: 9)) }
                return
            }
            ServedRequest(
                connection: connection, stream: stream,
                head: RequestHead(idempotencyKey: .init(high: 0, low: 0), model: "x")
            )
            .fail(StreamError(code: .cancelled, inputTokens: 7))
        case .writable(let stream): connection.onWritable?(stream)
        case .goAway: log.withLock { $0.goAways += 1 }
        case .failed(let error): log.withLock { $0.failures.append(error) }
        case .resume(let stream, let message):
            log.withLock { $0.resumes.append(message) }
            onResume(connection, stream, message)
        case .body, .subscribe, .report, .slowConsumer, .slowBody, .responseTooLong, .drainExpired, .drained: break
        }
    }
}

extension ServedConnection {
    package func accept(node: UInt32 = 1) {
        say { $0.accept(HelloOK(session: UInt64(number), node: node, tableVersion: 1), at: channel.lane.now) }
    }

    /// Asks the client to use another node instead.
    package func askToMove() { say { $0.sendHint(Hint(load: 0, wantsRebalance: true)) } }
    package func reject(_ code: ErrorCode) { say { $0.reject(code, at: channel.lane.now) } }
}
