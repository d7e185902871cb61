// `sluice status`, `apply`, `check`, `config`, `dump`: looking after a cluster and its files.
import Core
import Net
import Policy
import Wire

enum StatusCommand {
    static let help = """
        usage: sluice status [--json]

        \(AdminCall.help)
        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: AdminCall.options, plain: ["--json"])
        let isJSON = arguments.has("--json")
        try AdminCall.send(arguments, "GET", "/v1/status") { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            Host.write(isJSON ? value.json + "\n" : text(value))
            Host.exit(0)
        }
    }

    private static func text(_ value: JSONValue) -> String {
        let redis = value["redis"]?.bool == true ? "reachable" : "NOT REACHABLE"
        var text = """
            cluster \(value["cluster"]?.text ?? ""), coordinator \(value["coordinator"]?.text ?? ""), Redis \(redis)
            configuration \(value["epoch"]?.integer ?? 0).\(value["sequence"]?.integer ?? 0), \
            \(value["keys"]?.integer ?? 0) keys, routes: \
            \((value["routes"]?.elements ?? []).compactMap(\.text).joined(separator: ", "))

            """
        for warning in (value["warnings"]?.elements ?? []).compactMap(\.text) { text += "WARNING: \(warning)\n" }
        text += "\n"
        let rows = (value["nodes"]?.elements ?? []).map { node -> [String] in
            func number(_ key: String) -> String { String(node[key]?.integer ?? 0) }
            let state =
                node["connected"]?.bool != true ? "gone" : node["draining"]?.bool == true ? "draining" : "serving"
            let memory = "\((node["resident_bytes"]?.integer ?? 0) >> 20) MiB"
            return [
                number("node"), state, node["address"]?.text ?? "", number("connections"), number("streams"),
                number("requests"), memory, "\(number("epoch")).\(number("sequence"))",
            ]
        }
        let heading = ["NODE", "STATE", "ADDRESS", "CONNECTIONS", "STREAMS", "REQUESTS", "MEMORY", "CONFIGURATION"]
        text += Table.text(heading, rows)
        return text
    }
}

enum ApplyCommand {
    static let help = """
        usage: sluice apply [--confirm-routes N]

          --confirm-routes N   says that N routes are to be left, when most are taken away on purpose
        Lets the coordinator read its cluster.conf again. With any mistake the old configuration stays.
        \(AdminCall.help)
        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: AdminCall.options.union(["--confirm-routes"]), plain: [])
        let routes = try arguments.number("--confirm-routes", in: 0...1_000_000, default: -1)
        let body: JSONValue? = routes < 0 ? nil : .object([.init("confirm_routes", .integer(routes))])
        try AdminCall.send(arguments, "POST", "/v1/apply", body: body) { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            Host.write("published \(value["epoch"]?.integer ?? 0).\(value["sequence"]?.integer ?? 0)\n")
            Host.exit(0)
        }
    }
}

enum CheckCommand {
    static let help = """
        usage: sluice check [FILE]

        Reads FILE (default: cluster.conf) as the programs do, and prints every mistake as file:line:column.
        Exit code 64 if there is any.

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: [], plain: [])
        let file = arguments.words.first ?? "cluster.conf"
        do {
            let configuration = try ConfigurationFile.load(file)
            let published = configuration.published
            Host.write(
                """
                \(file) is valid: \(published.routes.count) routes, \(published.providers.count) providers, \
                \(published.orgs.count) orgs, \(published.teams.count) teams

                """)
        } catch {
            Host.write(error.text + "\n", toError: true)
            Host.exit(ExitCode.usage)
        }
    }
}

enum ConfigCommand {
    static let help = """
        usage: sluice config get NAME [--config FILE]

        Prints one setting, for scripts. NAME is one of:
          nodes.listen nodes.base-port nodes.admin-base-port nodes.drain-notice-seconds nodes.drain-limit-seconds
          balancer.listen redis.address coordinator.name coordinator.listen coordinator.admin cluster.state-directory

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: AdminCall.options, plain: [])
        guard arguments.words.count == 2, arguments.words[0] == "get" else {
            throw UsageProblem(text: "sluice config get NAME; see sluice help config")
        }
        let configuration = try ConfigurationFile.read(arguments.value("--config") ?? "cluster.conf")
        let coordinator = configuration.coordinators.first
        let settings: [String: String] = [
            "nodes.listen": configuration.nodes.listen, "nodes.base-port": "\(configuration.nodes.basePort)",
            "nodes.admin-base-port": "\(configuration.nodes.adminBasePort)",
            "nodes.drain-notice-seconds": "\(configuration.nodes.drainNotice.milliseconds / 1_000)",
            "nodes.drain-limit-seconds": "\(configuration.nodes.drainLimit.milliseconds / 1_000)",
            "balancer.listen": configuration.balancer ?? "", "redis.address": configuration.redis.address,
            "coordinator.name": coordinator?.name ?? "", "coordinator.listen": coordinator?.listen ?? "",
            "coordinator.admin": coordinator?.admin ?? "", "cluster.state-directory": configuration.stateDirectory,
        ]
        guard let value = settings[arguments.words[1]] else {
            throw UsageProblem(text: "no setting '\(arguments.words[1])'; see sluice help config")
        }
        Host.write(value + "\n")
    }
}

enum DumpCommand {
    static let help = """
        usage: sluice dump [FILE]

        Reads frames as hexadecimal text (blanks and line ends are skipped) from FILE or standard input, and names each
        frame: type, stream, flags, length.

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: [], plain: [])
        let file = arguments.words.first ?? "/dev/stdin"
        guard let text = try? FileAccess.read(file) else { throw UsageProblem(text: "'\(file)' cannot be read") }
        let (bytes, bad) = FrameDump.bytes(hex: String(decoding: text, as: UTF8.self))
        guard let bytes else {
            throw UsageProblem(text: "expected pairs of hexadecimal digits\(bad.map { ", byte \($0) is none" } ?? "")")
        }
        Host.write(FrameDump.describe(bytes).map { $0 + "\n" }.joined())
    }
}
