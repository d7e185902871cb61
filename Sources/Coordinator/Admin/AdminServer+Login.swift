// The door of the admin interface: TLS where others than this machine reach it, and what happens to wrong secrets.
import Core
import HTTP
import Net
import Policy
import Telemetry

extension AdminServer {
    /// Rules for the connections of the admin port; nil where it speaks plain HTTP.
    static func tls(_ own: ClusterConfiguration.Coordinator, _ source: ConfigurationSource) throws -> TLSContext? {
        guard !own.adminIsPlain else { return nil }
        // Browsers, curl and Prometheus offer protocols of their own or none; HTTP/1.1 is what is spoken without a word about it.
        return try .server(
            "admin", certificate: source.resolve(own.certificate), key: source.resolve(own.key), protocols: [])
    }

    /// The secret, which is not short enough to be tried.
    static func secret(
        _ own: ClusterConfiguration.Coordinator, _ source: ConfigurationSource
    ) throws(ConfigurationSource.Problems) -> Secret {
        let secret: Secret
        do throws(SecretProblem) {
            secret = try source.secret(own.adminSecret)
        } catch {
            throw ConfigurationSource.Problems(
                list: ["the admin secret at \(own.adminSecret) cannot be read: \(error)"])
        }
        if let problem = own.problem(ofSecretWith: secret.count) {
            throw ConfigurationSource.Problems(list: [problem])
        }
        return secret
    }

    /// Refuses a request without the right secret: late for who tries many, and without holding anybody else up.
    func deny(_ method: String, _ path: String, _ channel: Channel<HTTPServerConnection>) {
        let now = coordinator.lane.now
        let source = LoginGuard.source(channel.peer.address)
        let verdict = logins.failed(source, at: now)
        if let untold = logins.line(at: now) {
            let others = untold == 0 ? "" : "; \(untold) more since the last such line"
            coordinator.note(
                .warning, "admin_denied",
                "\(method) \(path.prefix(64)) from \(channel.peer.address): the admin secret is missing or wrong\(others)"
            )
        }
        switch verdict {
        case .close: channel.abort()
        case .refuse(let delay):
            coordinator.lane.schedule(after: delay) { [weak self] in
                self?.logins.refused(source)
                self?.problem(channel, 401, "the admin secret is missing or wrong")
            }
        }
    }
}
