// The admin port: liveness, readiness with reasons, metrics, the configuration in use.
import Core
import HTTP
import Net
import Telemetry

/// Serves load balancers, Prometheus and operators. Plain HTTP: bind it to a private address.
final class AdminServer {
    private let node: Node
    private var listener: Listener<HTTPServerConnection>?
    var address: SocketAddress? { listener?.address }

    init(_ node: Node) { self.node = node }

    func listen(lane: Lane, on address: SocketAddress) throws(SystemFailure) {
        var limits = ListenerLimits()
        limits.connections = 256
        listener = try Listener(
            lane: lane, address: address, limits: limits,
            machine: { HTTPServerConnection(limits: HTTPLimits(body: 64 * 1024), at: $0) },
            onAccept: { [unowned self] channel in
                var target = ""
                var method = ""
                channel.onEvent = { [unowned self] channel, event in
                    switch event {
                    case .request(let head):
                        target = head.path
                        method = head.method
                    case .body, .failed: break
                    case .end: answer(channel, method, target)
                    }
                    channel.wake()
                }
            })
    }

    private func answer(_ channel: Channel<HTTPServerConnection>, _ method: String, _ path: String) {
        guard method == "GET" || method == "HEAD" else { return reply(channel, 405, "only GET is served here\n") }
        switch path {
        case "/livez": reply(channel, node.isLive ? 200 : 503, node.isLive ? "live\n" : "a lane hangs\n")
        case "/readyz":
            node.read { [self, node] reading in
                let reasons = node.reasonsNotReady
                let value = JSONValue.object([
                    .init("ready", .bool(reasons.isEmpty)), .init("reasons", .array(reasons.map { .string($0) })),
                    .init("warnings", .array(node.warnings(reading).map { .string($0) })),
                ])
                reply(channel, reasons.isEmpty ? 200 : 503, value.json + "\n", "application/json")
            }
        case "/metrics":
            node.read { [node] reading in
                let page = reading.page(node)
                channel.machine.respond(
                    status: 200, headers: "Content-Type: \(MetricsPage.contentType)\r\n", body: page.bytes)
                channel.wake()
            }
        case "/config": reply(channel, 200, node.configurationText, "text/plain")
        default: reply(channel, 404, "try /livez, /readyz, /metrics or /config\n")
        }
    }

    private func reply(
        _ channel: Channel<HTTPServerConnection>, _ status: Int, _ text: String, _ kind: String = "text/plain"
    ) {
        var body = ByteBuffer()
        body.append(text)
        channel.machine.respond(status: status, headers: "Content-Type: \(kind)\r\n", body: body.bytes)
        channel.wake()
    }
}
