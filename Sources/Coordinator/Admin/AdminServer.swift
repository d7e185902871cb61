// The coordinator's admin interface: status, keys, apply. HTTP and JSON; everything but health asks for the admin secret.
import Core
import HTTP
import Net
import Policy
import Telemetry
import Wire

/// Serves `sluice` and operators. Bind it to a private address.
final class AdminServer {
    /// Time for a request's head, for its body, and between two requests.
    static let patience = Duration.seconds(5)

    unowned let coordinator: Coordinator
    private var listener: Listener<HTTPServerConnection>?
    /// Failed logins.
    var logins = LoginGuard()

    init(_ coordinator: Coordinator) { self.coordinator = coordinator }

    private final class Request {
        var method = ""
        var path = ""
        var isAllowed = false
        var body: [UInt8] = []
    }

    func listen(on address: SocketAddress, tls: TLSContext?) throws(SystemFailure) {
        listener = try Listener(
            lane: coordinator.lane, address: address, tls: tls, limits: .admin,
            machine: {
                HTTPServerConnection(limits: HTTPLimits(body: 64 * 1024), idleTime: AdminServer.patience, at: $0)
            },
            onAccept: { [unowned self] channel in
                let request = Request()
                channel.onEvent = { [unowned self] channel, event in
                    switch event {
                    case .request(let head): begin(request, head, channel)
                    case .body(let slice): request.body += channel.transport.input.array(of: slice)
                    case .end:
                        channel.greeted()
                        answer(request, channel)
                    case .failed: break
                    }
                    channel.wake()
                }
            })
    }

    private func begin(_ request: Request, _ head: HTTPRequestHead, _ channel: Channel<HTTPServerConnection>) {
        request.method = head.method
        request.path = head.path
        request.body = []
        let presented = channel.withBytes(of: head.slice) { head.value(of: "authorization", in: $0) } ?? ""
        request.isAllowed = coordinator.adminSecret.withBytes {
            Digest.constantTimeEquals(Array(presented.utf8), Array("Bearer ".utf8) + $0)
        }
    }

    private func answer(_ request: Request, _ channel: Channel<HTTPServerConnection>) {
        let found = AdminServer.routes.find(request.method, request.path)
        if case .route(let route, let parameters) = found {
            let asked = AdminRequest(parameters: parameters, body: request.body, channel: channel)
            if route.action.needs == .nobody { return route.action.run(self, asked) }
            guard request.isAllowed else { return deny(request.method, request.path, channel) }
            if route.action.needs == .leader, let reason = coordinator.notLeading {
                // Misdirected: the tool asks the next coordinator of its file.
                return reply(channel, 421, .object([.init("error", .string(reason)), .init("leads", .bool(false))]))
            }
            return route.action.run(self, asked)
        }
        guard request.isAllowed else { return deny(request.method, request.path, channel) }
        problem(channel, 404, "no \(request.method) \(request.path) here")
    }

    func ready(_ asked: AdminRequest) {
        let warnings = JSONValue.array(coordinator.warnings.map { .string($0) })
        reply(
            asked.channel, 200,
            .object([
                .init("ready", .bool(true)), .init("leads", .bool(coordinator.leads)), .init("warnings", warnings),
            ]))
    }

    var status: JSONValue {
        let now = coordinator.lane.now
        let nodes = coordinator.members.nodes.values.sorted { $0.number < $1.number }.map { member -> JSONValue in
            .object([
                .init("node", .integer(member.number)), .init("name", .string(member.name)),
                .init("address", .string(member.address)), .init("admin", .string(member.admin)),
                .init("version", .string(member.version)), .init("connected", .bool(member.isConnected)),
                .init("seen_ms_ago", .integer((now - member.seenAt).milliseconds)),
                .init("draining", .bool(member.report?.isDraining ?? false)),
                .init("load_percent", .integer(Int(member.report?.load ?? 0) * 100 / 255)),
                .init("connections", .integer(member.report?.connections ?? 0)),
                .init("streams", .integer(member.report?.streams ?? 0)),
                .init("requests", .integer(member.report?.requests ?? 0)),
                .init("resident_bytes", .integer(member.report?.residentBytes ?? 0)),
                .init("epoch", .integer(member.report?.epoch ?? 0)),
                .init("sequence", .integer(member.report?.sequence ?? 0)),
                .init("holds_routes", .bool(member.report?.holdsRoutes ?? false)),
            ])
        }
        return .object([
            .init("cluster", .string(coordinator.configuration.name)),
            .init("coordinator", .string(coordinator.own.name)), .init("leads", .bool(coordinator.leads)),
            .init("leader", coordinator.leaderName.map { .string($0) } ?? .null),
            .init("version", coordinator.versions.history?.last.map { .integer($0.number) } ?? .null),
            .init("epoch", .integer(coordinator.epoch)),
            .init("sequence", .integer(coordinator.sequence)), .init("redis", .bool(coordinator.redisIsReady)),
            .init("keys", .integer(coordinator.allKeys.count)),
            .init("routes", .array(coordinator.published.routes.keys.sorted().map { .string($0) })),
            .init("nodes", .array(nodes)), .init("targets", coordinator.health.json()),
            .init("warnings", .array(coordinator.warnings.map { .string($0) })),
        ])
    }

    func metrics(_ asked: AdminRequest) {
        var page = MetricsPage()
        page.facts("sluice_build_info", help: "The program.", [("version", Program.version)])
        page.gauge(
            "sluice_coordinator_leads", help: "1 while this coordinator leads.",
            value: .signed(coordinator.leads ? 1 : 0))
        page.gauge("sluice_snapshot_epoch", help: "Epoch published.", value: .unsigned(coordinator.epoch))
        page.gauge("sluice_snapshot_sequence", help: "Sequence published.", value: .unsigned(coordinator.sequence))
        page.gauge(
            "sluice_nodes_connected", help: "Nodes subscribed.",
            value: .signed(Int64(coordinator.members.connectedCount)))
        page.gauge("sluice_api_keys", help: "Keys known.", value: .signed(Int64(coordinator.allKeys.count)))
        page.gauge(
            "sluice_redis_ready", help: "1 when Redis can be used.", value: .signed(coordinator.redisIsReady ? 1 : 0))
        page.counter(
            "sluice_admin_denied_total", help: "Requests to the admin port without the right secret.",
            value: logins.denied)
        TLSContexts.shared.write(onto: &page)
        page.counter(
            "sluice_epochs_refused_total", help: "Subscriptions with an epoch later than Redis' clock allows.",
            value: coordinator.refusedEpochCount)
        let files = [coordinator.keys.file, coordinator.handover.file]
        page.gauge(
            "sluice_state_files_unsaved", help: "State files whose newest content could not be written to disk.",
            value: .signed(Int64(files.count { $0.problem != nil })))
        page.counter(
            "sluice_state_write_failures_total", help: "Writes of state files that failed.",
            value: files.reduce(0) { $0 + $1.failures })
        coordinator.canaries.write(onto: &page)
        coordinator.health.write(onto: &page)
        page.counter(
            "sluice_log_dropped_bytes_total", help: "Bytes of log lines that were lost.",
            value: UInt64(coordinator.lines.dropped))
        page.counter(
            "process_cpu_seconds_total", help: "User and system time.",
            value: .nanoseconds(Host.processorMicroseconds() * 1_000))
        page.gauge("process_resident_memory_bytes", help: "Memory.", value: .signed(Host.residentBytes()))
        let text = page.finish()
        asked.channel.machine.respond(
            status: 200, headers: "Content-Type: \(MetricsPage.contentType)\r\n", body: text.bytes)
    }

    func problem(_ channel: Channel<HTTPServerConnection>, _ status: Int, _ text: String) {
        reply(channel, status, .object([.init("error", .string(text))]))
    }

    func reply(_ channel: Channel<HTTPServerConnection>, _ status: Int, _ value: JSONValue) {
        guard channel.isOpen else { return }
        var body = ByteBuffer()
        value.write(into: &body)
        body.append(literal: "\n")
        channel.machine.respond(status: status, headers: "Content-Type: application/json\r\n", body: body.bytes)
        channel.wake()
    }
}
