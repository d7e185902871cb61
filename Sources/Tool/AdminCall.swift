// One call of the coordinator's admin interface.
import Core
import HTTP
import Net
import Policy

/// Reaches the coordinator named in cluster.conf.
enum AdminCall {
    static let options: Set<String> = ["--config"]
    static let help = """
          --config FILE        the cluster's description (or SLUICE_CONFIG; default: cluster.conf)

        """

    /// The cluster's description that is meant.
    static func file(_ arguments: Arguments) -> String {
        arguments.value("--config") ?? Host.environment("SLUICE_CONFIG") ?? "cluster.conf"
    }

    /// Calls `method path` and hands the answer over; ends the program when there is none.
    static func send(
        _ arguments: Arguments, _ method: String, _ path: String, body: JSONValue? = nil,
        then: @escaping @Sendable (Int, JSONValue) -> Void
    ) throws(UsageProblem) {
        let file = file(arguments)
        let configuration = try ConfigurationFile.read(file)
        guard let own = configuration.coordinators.first, let endpoint = Endpoint.parse(own.admin) else {
            throw UsageProblem(
                text: "\(file) names no coordinator with an admin address",
                hint: "give its [coordinator] section: admin = HOST:PORT")
        }
        guard let secret = ConfigurationFile.secret(own.adminSecret, beside: file) else {
            throw UsageProblem(
                text: "the admin secret at \(own.adminSecret) cannot be read",
                hint: "\(file) names it; run this where the coordinator runs, or copy the secret there")
        }
        let text = body?.json ?? ""
        Program.onLane { lane in
            Connector.connect(
                on: lane, to: endpoint, tls: nil, timeout: .seconds(5), machine: { _ in HTTPClientConnection() },
                then: { (result: Result<Channel<HTTPClientConnection>, ConnectFailure>) in
                    switch result {
                    case .failure(let failure):
                        Program.fail(
                            ExitCode.unavailable, "the coordinator at \(endpoint): \(failure)", hint: hint(file))
                    case .success(let channel):
                        channel.machine.send(
                            head: { output in
                                output.append("\(method) \(path) HTTP/1.1\r\nHost: \(endpoint)\r\n")
                                output.append("Authorization: Bearer ")
                                secret.withBytes { output.append($0) }
                                output.append("\r\nContent-Type: application/json\r\n")
                            }, body: { $0.append(text) })
                        channel.wake()
                        AdminCall.read(channel, then)
                    }
                })
            lane.schedule(after: .seconds(10)) {
                Program.fail(
                    ExitCode.unavailable, "the coordinator at \(endpoint) does not answer", hint: hint(file))
            }
        }
    }

    private static func hint(_ file: String) -> String {
        "is it running? its address is the one in \(file); name another file with --config"
    }

    private static func read(
        _ channel: Channel<HTTPClientConnection>, _ then: @escaping @Sendable (Int, JSONValue) -> Void
    ) {
        var status = 0
        var body: [UInt8] = []
        channel.onEvent = { channel, event in
            switch event {
            case .head(let head): status = head.status
            case .body(let slice): body += channel.transport.input.array(of: slice)
            case .end:
                let value = (try? JSONValue.parse(body)) ?? .null
                if status == 401 {
                    Program.fail(
                        ExitCode.notAllowed, value["error"]?.text ?? "the admin secret was refused",
                        hint: "the coordinator began with another admin secret than the one read here")
                }
                then(status, value)
            case .failed(let failure): Program.fail(ExitCode.unavailable, "the coordinator's answer: \(failure)")
            }
        }
        channel.onClose = { _, reason in Program.fail(ExitCode.unavailable, "the coordinator: \(reason)") }
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

    static func secret(_ reference: SecretReference, beside file: String) -> Secret? {
        switch reference {
        case .environment(let name): return Host.environment(name).map { Secret($0) }
        case .file(let path):
            let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
            let full = path.hasPrefix("/") ? path : folder + path
            guard let bytes = try? FileAccess.read(full, limit: 64 * 1024) else { return nil }
            return Secret(bytes.filter { $0 > 0x20 })
        }
    }
}
