// `sluice status`: the cluster, its nodes and their load.
import Core
import Net

enum StatusCommand {
    static let command = Command("status", "show the cluster, its nodes and its providers", help: help, run: run)

    static let help = """
        usage: sluice status [--json]

          --json               as JSON
        \(AdminCall.help)
        Asks the coordinator that leads. LOAD says how near a node is to the limit that binds first: of
        connections, of lag, of memory. CONFIGURATION is what it runs, and should be the same on every node.

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: AdminCall.options, plain: ["--json"], most: 0)
        let isJSON = arguments.has("--json")
        try AdminCall.send(arguments, "GET", "/v1/status") { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            Screen.print(isJSON ? value.json + "\n" : text(value))
            Host.exit(0)
        }
    }

    private static func text(_ value: JSONValue) -> String {
        let redis = value["redis"]?.bool == true ? "reachable" : "NOT REACHABLE"
        var text = """
            cluster \(value["cluster"]?.text ?? ""), coordinator \(value["coordinator"]?.text ?? "") \
            \(value["leads"]?.bool == true ? "leads" : "stands by"), Redis \(redis)
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
                number("node"), state, node["address"]?.text ?? "",
                "\(number("load_percent")) %", number("connections"), number("streams"), number("requests"), memory,
                "\(number("epoch")).\(number("sequence"))",
            ]
        }
        let heading = [
            "NODE", "STATE", "ADDRESS", "LOAD", "CONNECTIONS", "STREAMS", "REQUESTS", "MEMORY", "CONFIGURATION",
        ]
        text += Table.text(heading, rows)
        if let targets = value["targets"]?.elements, !targets.isEmpty { text += "\n" + providers(targets) }
        return text
    }

    private static func providers(_ targets: [JSONValue]) -> String {
        let rows = targets.map { target -> [String] in
            let health = target["health"]?.text ?? ""
            let answered = target["answered_last_minute"]?.integer ?? 0
            let failed = target["failed_last_minute"]?.integer ?? 0
            let perMille = target["error_per_mille"]?.integer ?? 0
            let errors = answered + failed == 0 ? "-" : "\(perMille / 10).\(perMille % 10) % of \(answered + failed)"
            let first = target["first_token_us"]?.integer ?? 0
            let share = target["weight_percent"]?.integer ?? 100
            let state = health == "failing" ? "FAILING" : share < 100 ? "\(health) \(share) %" : health
            return [
                target["target"]?.text ?? "", state, time(target["since_ms"]?.integer ?? 0),
                probe(target["last_probe"]), errors,
                first == 0 ? "-" : "\((first + 500) / 1_000) ms", target["why"]?.text ?? "",
            ]
        }
        return Table.text(["PROVIDER", "HEALTH", "SINCE", "LAST PROBE", "ERRORS", "FIRST TOKEN", "WHY"], rows)
    }

    private static func probe(_ value: JSONValue?) -> String {
        guard let result = value?["result"]?.text else { return "-" }
        return "\(result) \(time(value?["ms_ago"]?.integer ?? 0)) ago"
    }

    private static func time(_ milliseconds: Int64) -> String {
        let seconds = milliseconds / 1_000
        return seconds < 120 ? "\(seconds) s" : seconds < 7_200 ? "\(seconds / 60) min" : "\(seconds / 3_600) h"
    }
}
