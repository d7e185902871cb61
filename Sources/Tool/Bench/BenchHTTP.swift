// The same load over HTTP, and connections that rest: what `sluice bench` compares with.
import Client
import Core
import HTTP
import Net

/// One connection that asks again and again.
final class HTTPCaller: BenchCaller {
    private let bench: Bench
    private let endpoint: Endpoint
    private let tls: TLSContext?
    private let serverName: String
    private var head: [UInt8] = []
    private var body: [UInt8] = []
    private var began = Instant(nanoseconds: 0)
    private var firstAt: Instant?
    private var events: Int64 = 0
    private var status = 0
    private var channel: Channel<HTTPClientConnection>?
    /// Asked for while there was no connection.
    private var mustAsk = false
    private var isUnderWay = false
    private var retiredBytes: (sent: Int64, received: Int64) = (0, 0)
    private var decoder = EventStreamDecoder()

    init(_ bench: Bench, _ endpoint: Endpoint, _ path: String, _ tls: TLSContext?, _ serverName: String) {
        self.bench = bench
        self.endpoint = endpoint
        self.tls = tls
        self.serverName = serverName
        var prefix = path
        while prefix.hasSuffix("/") { prefix.removeLast() }
        head = Array(
            "POST \(prefix)/chat/completions HTTP/1.1\r\nHost: \(endpoint)\r\nContent-Type: application/json\r\n".utf8)
        var members: [JSONValue.Member] = [
            .init("model", .string("gpt-6-luna")),
            .init(
                "messages",
                .array([.object([.init("role", .string("user")), .init("content", .string(bench.load.prompt))])])),
            .init("max_completion_tokens", .integer(bench.load.tokens)),
        ]
        if bench.load.isStream {
            members.append(.init("stream", .bool(true)))
            members.append(.init("stream_options", .object([.init("include_usage", .bool(true))])))
        }
        body = Array(JSONValue.object(members).json.utf8)
    }

    /// Connects, also again when the server closes; `then` is called for the first connection.
    func connect(_ then: @escaping () -> Void = {}) {
        Connector.connect(
            on: bench.lane, to: endpoint, tls: tls, serverName: serverName, timeout: .seconds(10),
            machine: { _ in HTTPClientConnection() },
            then: { [self] (result: Result<Channel<HTTPClientConnection>, ConnectFailure>) in
                switch result {
                case .failure(let failure):
                    Program.fail(ExitCode.unavailable, "\(endpoint): \(failure)", hint: "is --target right?")
                case .success(let channel):
                    channel.onEvent = { [self] channel, event in handle(event, channel) }
                    channel.onClose = { [self] channel, reason in
                        retiredBytes.sent += channel.transport.bytesSent
                        retiredBytes.received += channel.transport.bytesReceived
                        self.channel = nil
                        connect()
                        if isUnderWay { ended(0, "\(reason)") }
                    }
                    self.channel = channel
                    then()
                    if mustAsk { ask() }
                }
            })
    }

    var wireBytes: (sent: Int64, received: Int64) {
        guard let transport = channel?.transport else { return retiredBytes }
        return (retiredBytes.sent + transport.bytesSent, retiredBytes.received + transport.bytesReceived)
    }

    func ask() {
        guard let channel, channel.isOpen else { return mustAsk = true }
        mustAsk = false
        isUnderWay = true
        began = Host.monotonicNow()
        firstAt = nil
        events = 0
        decoder = EventStreamDecoder()
        channel.machine.send(head: { $0.append(head) }, body: { $0.append(body) })
        channel.wake()
    }

    private func handle(_ event: HTTPClientConnection.Event, _ channel: Channel<HTTPClientConnection>) {
        switch event {
        case .head(let head): status = head.status
        case .body(let slice):
            if firstAt == nil { firstAt = bench.lane.now }
            guard bench.load.isStream else { return }
            channel.withBytes(of: slice) { bytes in
                var fresh = EventStreamDecoder()
                swap(&fresh, &decoder)
                try? fresh.decode(bytes) { _ in
                    events += 1
                    return true
                }
                swap(&fresh, &decoder)
            }
        case .end(let reusable):
            // Beside one event a token there are the role, the finish, the usage and the end mark.
            if !reusable { channel.close() }
            ended(max(0, events - 4), status == 200 ? nil : "\(status)")
        case .failed(let failure):
            ended(0, "\(failure)")
        }
    }

    private func ended(_ tokens: Int64, _ failure: String?) {
        isUnderWay = false
        bench.counted(self, deltas: tokens, began: began, firstAt: firstAt, failure: failure)
    }
}

/// Connections that are opened and left alone.
final class IdleConnections {
    private let lane: Lane
    private let wanted: Int
    private let target: BenchTarget
    private var held: [Channel<HTTPClientConnection>] = []
    private var client: LaneClient?
    private var pending = 0
    private var then: () -> Void = {}
    var count: Int { client?.readyConnections ?? held.filter(\.isOpen).count }

    init(_ lane: Lane, _ wanted: Int, _ target: BenchTarget) {
        self.lane = lane
        self.wanted = wanted
        self.target = target
    }

    func open(_ then: @escaping () -> Void) {
        self.then = then
        switch target {
        case .cluster(var options):
            options.connections = wanted
            client = LaneClient(lane: lane, options: options)
        case .http: openMore()
        }
        watch(since: lane.now)
    }

    private func openMore() {
        guard case .http(let endpoint, _, let tls, let serverName) = target else { return }
        while pending < 64, held.count + pending < wanted {
            pending += 1
            Connector.connect(
                on: lane, to: endpoint, tls: tls, serverName: serverName, timeout: .seconds(10),
                machine: { _ in HTTPClientConnection() },
                then: { [self] (result: Result<Channel<HTTPClientConnection>, ConnectFailure>) in
                    pending -= 1
                    if case .success(let channel) = result { held.append(channel) }
                    openMore()
                })
        }
    }

    private func watch(since: Instant) {
        Screen.progress("\(count) of \(wanted) connections")
        if count >= wanted || lane.now - since > .seconds(60) { return then() }
        lane.schedule(after: .milliseconds(20)) { [self] in watch(since: since) }
    }
}
