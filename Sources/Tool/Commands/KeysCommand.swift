// `sluice keys`: API keys of the cluster.
import Core
import Net

enum KeysCommand {
    static let command = Command(
        "keys", "create, change, rotate, revoke, list, show API keys", help: help, run: run)

    static let help = """
        usage: sluice keys create --org ORG --team TEAM --model ALIAS [rights] [--with-secret] [--json]
               sluice keys change ID [rights] [--json]
               sluice keys rotate ID [--overlap TIME] [--json]
               sluice keys revoke ID
               sluice keys list [--org ORG] [--team TEAM] [--json]
               sluice keys show ID [--json]

        rights; a list is given by repeating its option; with change, an empty text ('') clears one
          --org, --team        whom the key's requests are counted on
          --label TEXT         what people call the key
          --model ALIAS        a route that it may name; '*' for all; without any it may name none
          --operation NAME     chat, embeddings or '*' (the default)
          --feature TAG        a feature tag that it may name, and must name one of; without any it may name every one
          --priority CLASS     the most urgent class it may use: interactive (the default), background or batch
          --passthrough yes    it may add members that a provider's section lists to its requests (default: no)
          --limit 'LIMIT'      a limit of its own as in cluster.conf: '600 requests / minute', '$5 / day'
          --network CIDR       where it may come from: 10.0.0.0/8, 2001:db8::/32; without any from anywhere
          --identity URI       a client certificate's URI that opens it instead of a secret (--with-secret: beside one)
          --expires WHEN       30d, 12h, 2026-12-31, 2026-12-31T18:00:00Z or never (the default)
          --overlap TIME       how long the old secrets stay valid beside the new one: 0s to 90d (default: 1d)

        \(AdminCall.help)
        A secret is shown once, when it is made; the cluster keeps only its hash. What is taken away is gone on every
        node within a second, also from connections and streams that are under way.

        """

    /// Options and the members of the admin interface's JSON that they become.
    private static let texts = [
        "--org": "org", "--team": "team", "--label": "label", "--identity": "identity", "--priority": "priority",
        "--passthrough": "passthrough",
    ]
    private static let lists = [
        "--model": "models", "--operation": "operations", "--feature": "features", "--limit": "limits",
        "--network": "networks",
    ]

    static func run(_ words: [String]) throws(UsageProblem) {
        let valued = Set(texts.keys).union(lists.keys).union(["--expires", "--overlap"]).union(AdminCall.options)
        let arguments = try Arguments(words, valued: valued, plain: ["--json", "--with-secret"])
        let isJSON = arguments.has("--json")
        switch arguments.words.first {
        case "create": try create(arguments, isJSON)
        case "change":
            let id = try id(arguments)
            let members = try rights(arguments)
            guard !members.isEmpty else { throw UsageProblem(text: "nothing to change") }
            try AdminCall.send(arguments, "POST", "/v1/keys/\(id)/change", body: .object(members)) { status, value in
                guard status == 200 else { AdminCall.fail(status, value) }
                let record = value["record"] ?? .null
                Screen.print(isJSON ? record.json + "\n" : KeyText.page(record))
                Host.exit(0)
            }
        case "rotate": try rotate(arguments, isJSON)
        case "revoke": try revoke(arguments)
        case "list":
            let (org, team) = (arguments.value("--org"), arguments.value("--team"))
            try AdminCall.send(arguments, "GET", "/v1/keys") { status, value in
                guard status == 200 else { AdminCall.fail(status, value) }
                let keys = (value["keys"]?.elements ?? []).filter { key in
                    (org == nil || key["org"]?.text == org) && (team == nil || key["team"]?.text == team)
                }
                Screen.print(isJSON ? JSONValue.object([.init("keys", .array(keys))]).json + "\n" : KeyText.table(keys))
                Host.exit(0)
            }
        case "show":
            try AdminCall.send(arguments, "GET", "/v1/keys/\(try id(arguments))") { status, value in
                guard status == 200 else { AdminCall.fail(status, value) }
                Screen.print(isJSON ? value.json + "\n" : KeyText.page(value))
                Host.exit(0)
            }
        default:
            throw UsageProblem(text: "expected: sluice keys create, change, rotate, revoke, list or show")
        }
    }

    /// The one id behind the command; the text of a whole key is refused, for it would end up in logs and histories.
    private static func id(_ arguments: Arguments) throws(UsageProblem) -> String {
        let command = arguments.words.first ?? ""
        guard arguments.words.count == 2 else { throw UsageProblem(text: "name one key: sluice keys \(command) ID") }
        let id = arguments.words[1]
        guard !id.hasPrefix("slk_") else {
            throw UsageProblem(text: "name the key by its id alone: what stands between the underscores of its text")
        }
        guard !id.isEmpty, id.utf8.allSatisfy({ $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 26 || $0 == 0x2D }) else {
            throw UsageProblem(text: "'\(id)' is not a key's id: letters, digits and '-'")
        }
        return id
    }

    private static func rights(_ arguments: Arguments) throws(UsageProblem) -> [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        for (option, member) in texts.sorted(by: { $0.key < $1.key }) {
            if let value = arguments.value(option) { members.append(.init(member, .string(value))) }
        }
        for (option, member) in lists.sorted(by: { $0.key < $1.key }) {
            let values = arguments.all(option)
            guard !values.isEmpty else { continue }
            members.append(.init(member, .array(values == [""] ? [] : values.map { .string($0) })))
        }
        if let text = arguments.value("--expires") { members.append(try expiry(text)) }
        return members
    }

    private static func expiry(_ text: String) throws(UsageProblem) -> JSONValue.Member {
        if text == "never" { return .init("expires", .null) }
        if let seconds = UTCDate.seconds(text) { return .init("expires", .integer(seconds)) }
        guard let time = try? ConfigurationValue.duration(text), time >= .seconds(1) else {
            throw UsageProblem(
                text: "--expires takes 30d, 12h, 2026-12-31, 2026-12-31T18:00:00Z or never, found '\(text)'")
        }
        return .init("expires_in_seconds", .integer(time.components.seconds))
    }

    private static func create(_ arguments: Arguments, _ isJSON: Bool) throws(UsageProblem) {
        guard arguments.words.count == 1 else { throw UsageProblem(text: "the id of a key is chosen by the cluster") }
        guard arguments.value("--org") != nil, arguments.value("--team") != nil else {
            throw UsageProblem(text: "a key belongs to somebody: --org ORG --team TEAM")
        }
        guard !arguments.all("--model").isEmpty else {
            throw UsageProblem(text: "a key without --model may ask nothing; '*' for all")
        }
        var members = try rights(arguments)
        if arguments.has("--with-secret") { members.append(.init("secret", .bool(true))) }
        try AdminCall.send(arguments, "POST", "/v1/keys", body: .object(members)) { status, value in
            guard status == 201 else { AdminCall.fail(status, value) }
            shown(value, isJSON)
        }
    }

    private static func rotate(_ arguments: Arguments, _ isJSON: Bool) throws(UsageProblem) {
        let id = try id(arguments)
        var members: [JSONValue.Member] = []
        if let text = arguments.value("--overlap") {
            guard let time = try? ConfigurationValue.duration(text), time <= .seconds(90 * 86_400) else {
                throw UsageProblem(text: "--overlap takes a time from 0s to 90d, found '\(text)'")
            }
            members.append(.init("overlap_seconds", .integer(time.components.seconds)))
        }
        try AdminCall.send(arguments, "POST", "/v1/keys/\(id)/rotate", body: .object(members)) { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            shown(value, isJSON)
        }
    }

    private static func revoke(_ arguments: Arguments) throws(UsageProblem) {
        let id = try id(arguments)
        try AdminCall.send(arguments, "POST", "/v1/keys/\(id)/revoke") { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            Screen.print("\(id) is revoked on every node\n")
            if let warning = value["warning"]?.text { Screen.note("warning: \(warning)") }
            Host.exit(0)
        }
    }

    /// A key's text, once, and what to do with it.
    private static func shown(_ value: JSONValue, _ isJSON: Bool) -> Never {
        let id = value["id"]?.text ?? ""
        if isJSON {
            Screen.print(value.json + "\n")
        } else if let key = value["key"]?.text {
            Screen.print("\(key)\n")
            Screen.note("Keep it now: it is not shown again. Its id is \(id).")
            for secret in (value["record"]?["secrets"]?.elements ?? []).dropFirst() {
                guard let until = secret["valid_until"]?.integer else { continue }
                Screen.note("An old secret stays valid until \(UTCDate.text(until)).")
            }
        } else {
            Screen.print("\(id)\n")
            let identity = value["record"]?["identity"]?.text ?? ""
            Screen.note("It has no secret: certificates of \(identity) open it.")
        }
        Host.exit(0)
    }
}

/// Keys for people.
private enum KeyText {
    private static func list(_ value: JSONValue?, none: String) -> String {
        let texts = (value?.elements ?? []).compactMap(\.text)
        return texts.isEmpty ? none : texts.joined(separator: ", ")
    }

    private static func expiry(_ key: JSONValue) -> String {
        key["expires"]?.integer.map { UTCDate.text($0) } ?? "never"
    }

    static func table(_ keys: [JSONValue]) -> String {
        let rows = keys.map { key in
            [
                key["id"]?.text ?? "", "\(key["org"]?.text ?? "")/\(key["team"]?.text ?? "")",
                key["label"]?.text ?? "", list(key["models"], none: "none"), expiry(key), key["state"]?.text ?? "",
            ]
        }
        return Table.text(["ID", "TEAM", "LABEL", "MODELS", "EXPIRES", "STATE"], rows)
    }

    static func page(_ key: JSONValue) -> String {
        let secrets = (key["secrets"]?.elements ?? []).map { secret in
            let until = secret["valid_until"]?.integer.map { "until \(UTCDate.text($0))" } ?? "present"
            return secret["valid"]?.bool == true ? until : "no longer, \(until)"
        }
        return Table.page([
            ("id", key["id"]?.text ?? ""), ("state", key["state"]?.text ?? ""),
            ("kept in", key["in_file"]?.bool == true ? "the configuration file" : "Redis"),
            ("tenant", "\(key["org"]?.text ?? "")/\(key["team"]?.text ?? "")"), ("label", key["label"]?.text ?? "-"),
            ("models", list(key["models"], none: "none")), ("operations", list(key["operations"], none: "none")),
            ("features", list(key["features"], none: "any, or none")),
            ("priority", "\(key["priority"]?.text ?? "") or lower"),
            ("passthrough", key["passthrough"]?.text ?? "no"),
            ("own limits", list(key["limits"], none: "none")), ("networks", list(key["networks"], none: "any")),
            ("identity", key["identity"]?.text ?? "-"),
            ("secrets", secrets.isEmpty ? "none" : secrets.joined(separator: "; ")), ("expires", expiry(key)),
        ])
    }
}
