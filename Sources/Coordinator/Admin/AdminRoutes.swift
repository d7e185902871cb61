// All that the coordinator's admin interface answers: one row for each method and path.
import Core
import HTTP
import Net

/// A request that a row of the table answers.
struct AdminRequest {
    /// What stands in the places of `{…}`.
    let parameters: [String]
    let body: [UInt8]
    let channel: Channel<HTTPServerConnection>
}

/// What a row does, and who may ask for it.
struct AdminAction: Sendable {
    /// Who answers whom.
    enum Needs: String, Sendable {
        /// Anybody, also without the secret.
        case nobody = "anybody"
        /// Whoever has the admin secret; any coordinator answers.
        case secret
        /// Whoever has the admin secret; only the coordinator that leads answers, others say 421.
        case leader
    }

    let needs: Needs
    let run: @Sendable (AdminServer, AdminRequest) -> Void
}

extension AdminServer {
    private static func row(
        _ method: String, _ pattern: String, _ needs: AdminAction.Needs, _ text: String,
        _ run: @escaping @Sendable (AdminServer, AdminRequest) -> Void
    ) -> HTTPRoute<AdminAction> {
        HTTPRoute(method, pattern, text, AdminAction(needs: needs, run: run))
    }

    /// The table. Docs/operating.md has the same one, which a test compares.
    static let routes = HTTPRouteTable([
        row("GET", "/livez", .nobody, "200 while the process runs") {
            $0.reply($1.channel, 200, .object([.init("live", .bool(true))]))
        },
        row("GET", "/readyz", .nobody, "whether it leads, and what is not as it should be") { $0.ready($1) },
        row("GET", "/metrics", .nobody, "metrics for Prometheus") { $0.metrics($1) },
        row("GET", "/v1/status", .secret, "the cluster: leader, version, nodes, targets, warnings") {
            $0.reply($1.channel, 200, $0.status)
        },
        row("GET", "/v1/keys", .leader, "all keys, without their secrets") { $0.listKeys($1) },
        row("POST", "/v1/keys", .leader, "makes a key; its text is in this answer alone") {
            $0.create($1.body, $1.channel)
        },
        row("GET", "/v1/keys/{id}", .leader, "one key") { $0.showKey($1) },
        row("POST", "/v1/keys/{id}/change", .leader, "gives a key other rights") {
            $0.change($1.parameters[0], $1.body, $1.channel)
        },
        row("POST", "/v1/keys/{id}/rotate", .leader, "gives a key a new secret; the old one stays valid for a while") {
            $0.rotate($1.parameters[0], $1.body, $1.channel)
        },
        row("POST", "/v1/keys/{id}/revoke", .leader, "ends a key on every node, for ever") {
            $0.revoke($1.parameters[0], $1.channel)
        },
        row("POST", "/v1/apply", .leader, "reads the configuration file again and publishes it") { $0.apply($1) },
        row("GET", "/v1/config", .leader, "the versions of the configuration") { $0.history($1.channel) },
        row("GET", "/v1/config/{versions}", .leader, "the texts of one version or of two: `3` or `3,5`") {
            $0.texts($1.parameters[0], $1.channel)
        },
        row("POST", "/v1/config/{number}/rollback", .leader, "publishes an earlier version again") { $0.rollBack($1) },
        row("GET", "/v1/canaries", .leader, "the canaries and what they showed so far") { $0.listCanaries($1) },
        row("POST", "/v1/canaries", .leader, "starts a canary") { $0.start($1.body, $1.channel) },
        row("POST", "/v1/canaries/promote", .leader, "gives the target of a canary all requests") {
            $0.end(isPromoted: true, $1.body, $1.channel)
        },
        row("POST", "/v1/canaries/abort", .leader, "takes a canary back") {
            $0.end(isPromoted: false, $1.body, $1.channel)
        },
        row("GET", "/v1/breakers", .leader, "the circuit breakers of all targets") { $0.listBreakers($1.channel) },
        row("POST", "/v1/breakers", .leader, "opens or closes a circuit breaker by order") {
            $0.order($1.body, $1.channel)
        },
        row("POST", "/v1/explain", .leader, "what would become of a request, and why; nothing is charged") {
            $0.explain($1.body, $1.channel)
        },
    ])
}
