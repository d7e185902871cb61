// `sluice keys`: API keys of the cluster.
import Core
import Net

enum KeysCommand {
    static let help = """
        usage: sluice keys create --org ORG --team TEAM [--label TEXT] [--model ALIAS]… [--days N] [--json]
               sluice keys list [--json]
               sluice keys revoke ID

          --org, --team        whom the key's requests are counted on
          --label TEXT         what people call the key
          --model ALIAS        a route that it may name; repeatable; '*' for all
          --days N             days until it expires (default: never)
        \(AdminCall.help)
        A key is shown once, when it is made; the cluster keeps only its hash. A revoked key stops working at once.

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let valued: Set<String> = ["--org", "--team", "--label", "--model", "--days"]
        let arguments = try Arguments(words, valued: valued.union(AdminCall.options), plain: ["--json"])
        let isJSON = arguments.has("--json")
        switch arguments.words.first {
        case "create": try create(arguments, isJSON)
        case "list":
            try AdminCall.send(arguments, "GET", "/v1/keys") { status, value in
                guard status == 200 else { AdminCall.fail(status, value) }
                Host.write(isJSON ? value.json + "\n" : table(value["keys"]?.elements ?? []))
                Host.exit(0)
            }
        case "revoke":
            guard arguments.words.count == 2 else { throw UsageProblem(text: "name one key: sluice keys revoke ID") }
            let id = arguments.words[1]
            try AdminCall.send(arguments, "POST", "/v1/keys/\(id)/revoke") { status, value in
                guard status == 200 else { AdminCall.fail(status, value) }
                Host.write("\(id) is revoked on every node\n")
                Host.exit(0)
            }
        default: throw UsageProblem(text: "sluice keys create, list or revoke; see sluice help keys")
        }
    }

    private static func create(_ arguments: Arguments, _ isJSON: Bool) throws(UsageProblem) {
        guard let org = arguments.value("--org"), let team = arguments.value("--team") else {
            throw UsageProblem(text: "a key belongs to somebody: --org ORG --team TEAM")
        }
        let models = arguments.all("--model")
        guard !models.isEmpty else { throw UsageProblem(text: "a key without --model may ask nothing; '*' for all") }
        var members: [JSONValue.Member] = [
            .init("org", .string(org)), .init("team", .string(team)),
            .init("label", .string(arguments.value("--label") ?? "")),
            .init("models", .array(models.map { .string($0) })),
        ]
        let days = try arguments.number("--days", in: 0...36_500, default: 0)
        if days > 0 { members.append(.init("expires_in_seconds", .integer(days * 86_400))) }
        try AdminCall.send(arguments, "POST", "/v1/keys", body: .object(members)) { status, value in
            guard status == 201 else { AdminCall.fail(status, value) }
            if isJSON {
                Host.write(value.json + "\n")
            } else {
                Host.write("\(value["key"]?.text ?? "")\n")
                Host.write("Keep it now: it is not shown again. Its id is \(value["id"]?.text ?? "").\n", toError: true)
            }
            Host.exit(0)
        }
    }

    private static func table(_ keys: [JSONValue]) -> String {
        let rows = keys.map { key in
            [
                key["id"]?.text ?? "", "\(key["org"]?.text ?? "")/\(key["team"]?.text ?? "")",
                key["label"]?.text ?? "", (key["models"]?.elements ?? []).compactMap(\.text).joined(separator: ","),
                key["revoked"]?.bool == true ? "revoked" : "valid",
            ]
        }
        return Table.text(["ID", "TEAM", "LABEL", "MODELS", "STATE"], rows)
    }
}

/// Columns as wide as their content.
enum Table {
    static func text(_ heading: [String], _ rows: [[String]]) -> String {
        let widths = heading.indices.map { column in
            ([heading] + rows).map { $0[column].count }.max() ?? 0
        }
        var text = ""
        for row in [heading] + rows {
            var line = zip(row, widths).map { cell, width in
                cell + String(repeating: " ", count: width - cell.count)
            }.joined(separator: "  ")
            while line.hasSuffix(" ") { line.removeLast() }
            text += line + "\n"
        }
        return text
    }
}
