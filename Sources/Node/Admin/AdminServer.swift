// The admin port: liveness, readiness with reasons, metrics, the configuration in use.
import Core
import HTTP
import Net
import Telemetry

/// Serves load balancers, Prometheus and operators, on a lane of its own: what is asked here never keeps a client waiting. Plain HTTP: bind
/// it to a private address.
///
/// Confined to its lane, once it listens.
final class AdminServer {
    /// Time for a request's head, for its body, and between two requests.
    static let patience = Duration.seconds(5)
    /// How long data lanes may take to say how they are.
    static let readingLimit = Duration.seconds(2)

    private let node: Node
    private let lane: Lane
    private let readings: Readings
    /// What `Authorization` must carry for `/config`; nil: it is not served.
    private let secret: Secret?
    private let address: SocketAddress
    private var listener: Listener<HTTPServerConnection>?

    /// What is asked, as it was read so far.
    final class Request {
        var method = ""
        var path = ""
        var host = ""
        var isAllowed = false
    }

    init(_ node: Node, lane: Lane, on address: SocketAddress, secret: Secret?) {
        self.node = node
        self.lane = lane
        self.address = address
        self.secret = secret
        readings = Readings(node, lane: lane)
    }

    func listen() throws(SystemFailure) {
        listener = try Listener(
            lane: lane, address: address, limits: .admin,
            machine: {
                HTTPServerConnection(limits: HTTPLimits(body: 64 * 1024), idleTime: AdminServer.patience, at: $0)
            },
            onAccept: { [unowned self] channel in
                let request = Request()
                channel.onEvent = { [unowned self] channel, event in
                    switch event {
                    case .request(let head): begin(request, head, channel)
                    case .body, .failed: break
                    case .end:
                        channel.greeted()
                        answer(channel, request)
                    }
                    channel.wake()
                }
            })
    }

    private func begin(_ request: Request, _ head: HTTPRequestHead, _ channel: Channel<HTTPServerConnection>) {
        request.method = head.method
        request.path = head.path
        let (host, presented) = channel.withBytes(of: head.slice) {
            (head.value(of: "host", in: $0) ?? "", head.value(of: "authorization", in: $0) ?? "")
        }
        request.host = host
        request.isAllowed =
            secret?.withBytes { Digest.constantTimeEquals(Array(presented.utf8), Array("Bearer ".utf8) + $0) } ?? false
    }

    private func answer(_ channel: Channel<HTTPServerConnection>, _ request: Request) {
        guard request.method == "GET" || request.method == "HEAD" else {
            return reply(channel, 405, "only GET is served here\n")
        }
        guard AdminServer.serves(host: request.host, at: address) else {
            // A page of another site whose name was made to point here (DNS rebinding) must not read it through an operator's browser.
            return reply(channel, 421, "this port is asked by the name localhost or by its address\n")
        }
        switch AdminServer.routes.find(request.method, request.path) {
        case .route(let route, _): route.action(self, channel, request)
        case .otherMethods, .nothing:
            let paths = AdminServer.routes.routes.map(\.pattern).joined(separator: ", ")
            reply(channel, 404, "there are \(paths)\n")
        }
    }

    /// Answers one path.
    typealias Answer = @Sendable (AdminServer, Channel<HTTPServerConnection>, Request) -> Void

    /// All that is answered. Docs/operating.md has the same table, which a test compares.
    static let routes = HTTPRouteTable<Answer>([
        HTTPRoute("GET", "/livez", "503 while a lane hangs") { server, channel, _ in server.live(channel) },
        HTTPRoute("GET", "/readyz", "whether clients may be sent here, why not, and what is degraded") {
            server, channel, _ in server.ready(channel)
        },
        HTTPRoute("GET", "/metrics", "metrics for Prometheus") { server, channel, _ in server.metrics(channel) },
        HTTPRoute("GET", "/config", "the snapshot in use, key hashes masked; asks for `admin-secret`") {
            $0.configuration($1, $2)
        },
    ])

    private func live(_ channel: Channel<HTTPServerConnection>) {
        let hung = node.hungLanes
        reply(channel, hung.isEmpty ? 200 : 503, hung.isEmpty ? "live\n" : "lanes that hang: \(hung)\n")
    }

    private func ready(_ channel: Channel<HTTPServerConnection>) {
        // A lane that hangs gives no reading to wait for.
        let hung = node.hungLanes
        guard hung.isEmpty else {
            return AdminServer.reply(channel, reasonsNotReady: hung.map { "lane \($0) hangs" }, warnings: [])
        }
        read(channel) { reading in
            let facts = reading.facts
            AdminServer.reply(channel, reasonsNotReady: facts.reasonsNotReady, warnings: facts.warnings)
        }
    }

    private func metrics(_ channel: Channel<HTTPServerConnection>) {
        let hung = node.hungLanes
        guard hung.isEmpty else { return reply(channel, 503, "lanes that hang: \(hung)\n") }
        read(channel) { answer in
            let page = answer.page
            channel.machine.respond(
                status: 200, headers: "Content-Type: \(MetricsPage.contentType)\r\n", body: page.span.raw)
            channel.wake()
        }
    }

    /// On a loopback address only its own names are taken: nobody else has a reason to come by another one.
    static func serves(host: String, at address: SocketAddress) -> Bool {
        guard address.isLoopback, !host.isEmpty else { return true }
        let name = Endpoint.parse(host.contains("]") || !host.contains(":") ? "\(host):80" : host) ?? .parse(host)
        guard case .host(let text, _) = name else { return SocketAddress.parse(host) != nil }
        return text == "localhost" || SocketAddress.parse(text.contains(":") ? "[\(text)]:1" : "\(text):1") != nil
    }

    private func read(_ channel: Channel<HTTPServerConnection>, _ then: @escaping (NodeReading) -> Void) {
        var isAnswered = false
        let timer = lane.schedule(after: AdminServer.readingLimit) { [self] in
            isAnswered = true
            reply(channel, 503, "a lane does not answer\n")
        }
        readings.ask { reading in
            guard !isAnswered else { return }
            timer.cancel()
            guard channel.isOpen else { return }
            then(reading)
        }
    }

    private func configuration(_ channel: Channel<HTTPServerConnection>, _ request: Request) {
        guard secret != nil else {
            return reply(channel, 403, "not served: cluster.conf has no 'admin-secret' in its section [nodes]\n")
        }
        guard request.isAllowed else { return reply(channel, 401, "the admin secret is missing or wrong\n") }
        let asking = Asking(channel: channel, server: self)
        node.first.execute { [node] in
            let text = node.configurationText
            asking.server.lane.execute { asking.server.reply(asking.channel, 200, text) }
        }
    }

    /// Carried through another lane and touched on this one alone.
    private struct Asking: @unchecked Sendable {
        let channel: Channel<HTTPServerConnection>
        let server: AdminServer
    }

    private func reply(_ channel: Channel<HTTPServerConnection>, _ status: Int, _ text: String) {
        AdminServer.reply(channel, status, text, "text/plain")
    }

    private static func reply(
        _ channel: Channel<HTTPServerConnection>, _ status: Int, _ text: String, _ kind: String
    ) {
        guard channel.isOpen else { return }
        var body = ByteBuffer()
        body.append(text)
        channel.machine.respond(status: status, headers: "Content-Type: \(kind)\r\n", body: body.bytes)
        channel.wake()
    }

    private static func reply(
        _ channel: Channel<HTTPServerConnection>, reasonsNotReady reasons: [String], warnings: [String]
    ) {
        let value = JSONValue.object([
            .init("ready", .bool(reasons.isEmpty)), .init("reasons", .array(reasons.map { .string($0) })),
            .init("warnings", .array(warnings.map { .string($0) })),
        ])
        reply(channel, reasons.isEmpty ? 200 : 503, value.json + "\n", "application/json")
    }
}
