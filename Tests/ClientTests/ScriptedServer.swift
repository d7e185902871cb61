// A server whose every answer the test writes, over real sockets and TLS, on the real machine of the accepting side.
import Core
import Foundation
import Net
import Synchronization
import Wire

struct TestFailure: Error, CustomStringConvertible { let description: String }

/// One request as the server sees it. Used on the server's lane.
struct ServedRequest {
    let connection: ServedConnection
    let stream: UInt32
    let head: RequestHead

    func accepted() { connection.say { $0.sendAccepted(stream: stream, Accepted(provider: 1)) } }

    @discardableResult func text(_ text: String, choice: UInt8 = 0, kind: DeltaKind = .text) -> Bool {
        bytes(Array(text.utf8), choice: choice, kind: kind)
    }

    @discardableResult func bytes(_ bytes: [UInt8], choice: UInt8 = 0, kind: DeltaKind = .text) -> Bool {
        var goesOn = true
        connection.say {
            goesOn = $0.sendDelta(stream: stream, choice: choice, kind: kind, bytes: bytes.span.raw)
        }
        return goesOn
    }

    func event(_ event: StreamEvent) { connection.say { $0.sendEvent(stream: stream, event) } }

    func end(_ end: End = End(inputTokens: 3, outputTokens: 5)) {
        connection.say {
            guard $0.isOpen(stream: stream) else { return }
            $0.end(stream: stream, end)
            $0.release(stream: stream)
        }
    }

    func fail(_ error: StreamError) {
        connection.say {
            guard $0.isOpen(stream: stream) else { return }
            $0.fail(stream: stream, error)
            $0.release(stream: stream)
        }
    }

    /// Ends the connection without a word.
    func cut() { connection.channel.abort() }
}

/// One accepted connection. Used on the server's lane.
final class ServedConnection {
    let number: Int
    let channel: Channel<ServerConnection>
    /// Called when the client's credit lets a stream go on.
    var onWritable: ((UInt32) -> Void)?

    init(_ number: Int, _ channel: Channel<ServerConnection>) {
        self.number = number
        self.channel = channel
    }

    func say(_ body: (inout ServerConnection) -> Void) {
        body(&channel.machine)
        channel.wake()
    }

    /// Sends bytes that the machine would never send.
    func inject(_ bytes: [UInt8]) {
        channel.transport.output.append(bytes)
        channel.wake()
    }

    func goAway(drain: Duration = .seconds(60)) { say { $0.sendGoAway(reason: .drain, drain: drain) } }
}

/// Accepts clients on a lane of its own and lets the test answer.
final class ScriptedServer: @unchecked Sendable {
    /// What a test reads from its own thread.
    struct Seen: Sendable {
        var hellos: [Hello] = []
        var requests: [RequestHead] = []
        /// The connection of each request, counted from 1.
        var connections: [Int] = []
        var cancels: [CancelReason] = []
        var goAways = 0
        var closed = 0
        var failures: [ConnectionError] = []
    }

    private let lane: Lane
    private let listener: Listener<ServerConnection>
    private let log = Mutex(Seen())
    private var live: [ServedConnection] = []
    private var count = 0
    private let onHello: (ServedConnection, Hello) -> Void
    private let onRequest: (ServedRequest) -> Void
    let port: UInt16

    /// A server that accepts every greeting unless `onHello` says otherwise.
    init(
        tls: TLSContext? = nil, limits: WireLimits = .standard,
        onHello: @escaping (ServedConnection, Hello) -> Void = { connection, _ in connection.accept() },
        onRequest: @escaping (ServedRequest) -> Void
    ) throws {
        lane = try Lane.start(count: 1, name: "served")[0]
        self.onHello = onHello
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

    var seen: Seen { log.withLock { $0 } }

    /// Runs `body` on the lane with the connections that are open.
    func onLive(_ body: @escaping @Sendable ([ServedConnection]) -> Void) { lane.execute { [self] in body(live) } }

    /// Waits until what was seen fulfils the condition.
    func wait(_ what: String, seconds: Double = 10, _ condition: (Seen) -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(seconds)
        while !condition(seen) {
            guard ContinuousClock.now < end else {
                throw TestFailure(description: "\(what): not so after \(seconds) s")
            }
            try await Task.sleep(for: .milliseconds(2))
        }
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
            ServedRequest(
                connection: connection, stream: stream,
                head: RequestHead(idempotencyKey: .init(high: 0, low: 0), model: "x")
            )
            .fail(StreamError(code: .cancelled, inputTokens: 7))
        case .writable(let stream): connection.onWritable?(stream)
        case .goAway: log.withLock { $0.goAways += 1 }
        case .failed(let error): log.withLock { $0.failures.append(error) }
        case .body, .subscribe, .report, .slowConsumer, .slowBody, .responseTooLong, .drainExpired, .drained: break
        }
    }
}

extension ServedConnection {
    func accept() {
        say { $0.accept(HelloOK(session: UInt64(number), node: 1, tableVersion: 1), at: channel.lane.now) }
    }
    func reject(_ code: ErrorCode) { say { $0.reject(code, at: channel.lane.now) } }
}

/// A certificate authority with a server's certificate in a temporary folder, made once for all tests.
struct TestAuthority {
    static let shared = Result { try TestAuthority() }

    let folder: String

    init() throws {
        folder = NSTemporaryDirectory() + "sluice-client-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let newKey = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        try openssl("req -x509 \(newKey) -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem")
        try openssl("req -x509 \(newKey) -days 2 -subj /CN=other-ca -keyout other.key -out other.pem")
        try openssl("req \(newKey) -subj /CN=server -keyout server.key -out server.csr")
        try Data("subjectAltName=DNS:localhost\n".utf8).write(to: URL(fileURLWithPath: "\(folder)/server.ext"))
        try openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem"
        )
    }

    private func openssl(_ arguments: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments.split(separator: " ").map(String.init)
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw TestFailure(description: "openssl \(arguments)") }
    }

    func server() throws -> TLSContext {
        try .server(certificate: "\(folder)/server.pem", key: "\(folder)/server.key", protocols: ["sluice/1"])
    }

    /// Trusts the authority that signed the server's certificate, or another one.
    func client(trusting ca: String = "ca") throws -> TLSContext {
        try .client(trust: .file("\(folder)/\(ca).pem"), protocols: ["sluice/1"])
    }
}

extension Result where Success == TestAuthority {
    func server() throws -> TLSContext { try get().server() }
    func client(trusting ca: String = "ca") throws -> TLSContext { try get().client(trusting: ca) }
}
