// One call of the admin interface of the coordinator that leads.
import Core
import Net
import Policy

/// Reaches the coordinators named in cluster.conf.
enum AdminCall {
    static let options: Set<String> = ["--config"]
    static let help = """
          --config FILE        the cluster's description (or SLUICE_CONFIG; default: cluster.conf)

        """

    /// The cluster's description that is meant.
    static func file(_ arguments: Arguments) -> String {
        arguments.value("--config") ?? Host.environment("SLUICE_CONFIG") ?? "cluster.conf"
    }

    /// Calls `method path` at the coordinator that leads and hands its answer over; ends the program when there is none.
    ///
    /// One that does not lead says so with status 421, or with `leads: false`; then the next one of the file is asked.
    static func send(
        _ arguments: Arguments, _ method: String, _ path: String, body: JSONValue? = nil,
        then: @escaping @Sendable (Int, JSONValue) -> Void
    ) throws(UsageProblem) {
        let file = file(arguments)
        let configuration = try ConfigurationFile.read(file)
        var doors: [Door] = []
        let tls = try tls(configuration, file)
        for own in configuration.coordinators {
            guard let endpoint = Endpoint.parse(own.admin) else { continue }
            do throws(SecretProblem) {
                let secret = try SecretFile.read(own.adminSecret, in: FileAccess.folder(of: file))
                doors.append(Door(endpoint: endpoint, tls: own.adminIsPlain ? nil : tls, secret: secret))
            } catch {
                throw UsageProblem(
                    text: "the admin secret at \(own.adminSecret) cannot be read: \(error)",
                    hint: "\(file) names it; run this where the coordinator runs, or copy the secret there")
            }
        }
        guard !doors.isEmpty else {
            throw UsageProblem(
                text: "\(file) names no coordinator with an admin address",
                hint: "give its [coordinator] section: admin = HOST:PORT")
        }
        let text = "\(method) \(path) HTTP/1.1\r\n"
        let search = LeaderSearch(doors: doors, request: text, body: body?.json ?? "", hint: hint(file), then: then)
        Program.onLane { lane in search.next(on: lane) }
    }

    /// What coordinators are verified with; nil when all of them speak plain HTTP.
    private static func tls(
        _ configuration: ClusterConfiguration, _ file: String
    ) throws(UsageProblem) -> TLSContext? {
        guard configuration.coordinators.contains(where: { !$0.adminIsPlain }) else { return nil }
        let folder = FileAccess.folder(of: file)
        do throws(TLSFailure) {
            return try .client(
                trust: .file(FileAccess.path(configuration.tls.ca, in: folder)),
                crl: configuration.tls.crl.map { FileAccess.path($0, in: folder) }, protocols: [])
        } catch {
            throw UsageProblem(
                text: "no coordinator can be verified: \(error)", hint: "[tls] of \(file) names the cluster's CA")
        }
    }

    /// A coordinator's admin interface and the secret that opens it.
    struct Door: Sendable {
        let endpoint: Endpoint
        /// Nil where it speaks plain HTTP.
        let tls: TLSContext?
        let secret: Secret
    }

    private static func hint(_ file: String) -> String {
        "is it running? its address, and whether it speaks TLS, is what \(file) says; name another file with --config"
    }

    /// Ends the program with what the coordinator complained about.
    static func fail(_ status: Int, _ value: JSONValue) -> Never {
        let problems = value["problems"]?.elements?.compactMap(\.text) ?? []
        let text = problems.isEmpty ? value["error"]?.text ?? "status \(status)" : problems.joined(separator: "\n")
        Program.fail(status == 503 ? ExitCode.tryLater : ExitCode.failed, text)
    }
}

/// Reads a cluster.conf for the tool.
enum ConfigurationFile {
    static func read(_ file: String) throws(UsageProblem) -> ClusterConfiguration {
        do {
            let bytes = try FileAccess.read(file, limit: ConfigurationDocument.sizeLimit)
            return try ClusterConfiguration.parse(String(decoding: bytes, as: UTF8.self), file: file)
        } catch {
            throw problem(file, "\(error)")
        }
    }

    private static func problem(_ file: String, _ text: String) -> UsageProblem {
        guard FileAccess.exists(file) else {
            return UsageProblem(
                text: "there is no file '\(file)'", hint: "name the file of your cluster, or run this where it stands")
        }
        return UsageProblem(text: text, hint: "see: sluice check \(file)")
    }

    /// The file together with the price list that it names: everything that the coordinator would complain about.
    static func load(_ file: String) throws(UsageProblem) -> ClusterConfiguration {
        do {
            return try ClusterConfiguration.load(file) { path throws(ValueProblem) in
                do {
                    return try FileAccess.read(path, limit: ConfigurationDocument.sizeLimit)
                } catch {
                    throw ValueProblem("\(error)")
                }
            }
        } catch {
            throw problem(file, "\(error)")
        }
    }
}
