// `sluice explain`: what would become of a request, and why, without making it.
import Core
import Net
import Policy

enum ExplainCommand {
    static let command = Command(
        "explain", "tell what would become of a request, and why", help: help, run: run)

    static let help = """
        usage: sluice explain --key ID|KEY --model ALIAS [options] [--json]

          --key ID|KEY         the key's id, or its whole text to check the secret, too (only its hash is sent)
          --key-file FILE      a file with the whole text instead
          --model ALIAS        the route
          --operation NAME     chat (the default) or embeddings
          --feature TAG        the feature tag
          --priority CLASS     interactive (the default), background or batch
          --from ADDRESS       where the request would come from
          --input-tokens N     tokens of the prompt (default: 1000)
          --max-output N       the output limit it would name (default: the route's)
        \(AdminCall.help)
        Asks the coordinator. Nothing is charged, and no provider is called. Exit code 0 when the request would be
        admitted now, 75 when a limit has no room at present, 77 when it would be refused.

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let texts = [
            "--model": "model", "--operation": "operation", "--feature": "feature", "--priority": "priority",
            "--from": "address",
        ]
        let numbers = ["--input-tokens": "input_tokens", "--max-output": "max_output"]
        let valued = Set(texts.keys).union(numbers.keys).union(["--key", "--key-file"]).union(AdminCall.options)
        let arguments = try Arguments(words, valued: valued, plain: ["--json"], most: 0)
        guard arguments.value("--model") != nil else { throw UsageProblem(text: "name the route with --model") }
        var members = try key(arguments)
        for (option, member) in texts.sorted(by: { $0.key < $1.key }) {
            if let value = arguments.value(option) { members.append(.init(member, .string(value))) }
        }
        for (option, member) in numbers.sorted(by: { $0.key < $1.key }) where arguments.value(option) != nil {
            members.append(.init(member, .integer(try arguments.number(option, in: 0...2_000_000, default: 0))))
        }
        let isJSON = arguments.has("--json")
        try AdminCall.send(arguments, "POST", "/v1/explain", body: .object(members)) { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            Screen.print(isJSON ? value.json + "\n" : text(value))
            if value["allowed"]?.bool == true { Host.exit(0) }
            Host.exit(value["refused_by"]?.text == "limits" ? ExitCode.tryLater : ExitCode.notAllowed)
        }
    }

    /// The id, and the hash of the secret when the whole key was given.
    private static func key(_ arguments: Arguments) throws(UsageProblem) -> [JSONValue.Member] {
        var bytes = Array((arguments.value("--key") ?? "").utf8)
        if let file = arguments.value("--key-file") {
            do throws(SecretProblem) {
                bytes = try SecretFile.read(.file(file), in: ".").withBytes { $0 }
            } catch {
                throw UsageProblem(text: "'\(file)' cannot be read: \(error)")
            }
        }
        guard !bytes.isEmpty else { throw UsageProblem(text: "name the key with --key or --key-file") }
        if let whole = APIKeyText(bytes) {
            let hash = Hexadecimal.text(Digest.sha256(whole.secret))
            return [.init("key", .string(whole.id)), .init("secret_sha256", .string(hash))]
        }
        let id = String(decoding: bytes, as: UTF8.self)
        guard !id.hasPrefix("slk_") else { throw UsageProblem(text: "expected a key such as slk_<id>_<secret>") }
        return [.init("key", .string(id))]
    }

    private static func text(_ value: JSONValue) -> String {
        let refusal = value["refused_by"]?.text
        var text = refusal.map { "would be REFUSED by: \($0)\n\n" } ?? "would be admitted\n\n"
        let steps = (value["steps"]?.elements ?? []).map { step in
            [step["step"]?.text ?? "", mark(step["passes"]?.bool), step["text"]?.text ?? ""]
        }
        text += Table.text(["STEP", "", "TEXT"], steps)
        let targets = (value["targets"]?.elements ?? []).map { target in
            [
                target["target"]?.text ?? "", target["group"]?.text ?? "",
                "\((target["permille"]?.integer ?? 0) / 10) %",
                money(target["reserved_micro_usd"]?.integer), money(target["most_micro_usd"]?.integer),
            ]
        }
        if !targets.isEmpty {
            let output = "\(value["reserved_output_tokens"]?.integer ?? 0)"
            let most = "\(value["most_output_tokens"]?.integer ?? 0)"
            text += "\n" + Table.text(["TARGET", "GROUP", "SHARE", "RESERVED", "AT MOST"], targets)
            text += "with \(value["input_tokens"]?.integer ?? 0) input and \(output) output tokens, at most \(most); "
            text += "nodes reserve what answers of the route really had, once they have seen some\n"
        }
        let limits = (value["limits"]?.elements ?? []).map { limit in
            [
                limit["scope"]?.text ?? "", limit["limit"]?.text ?? "", "\(limit["used"]?.integer ?? 0)",
                "\(limit["left"]?.integer ?? 0)", room(limit),
            ]
        }
        if !limits.isEmpty { text += "\n" + Table.text(["SCOPE", "LIMIT", "USED", "LEFT", "ROOM"], limits) }
        return text
    }

    private static func mark(_ passes: Bool?) -> String { passes.map { $0 ? "ok" : "NO" } ?? "?" }

    private static func money(_ amount: Int64?) -> String { amount.map { "\(MicroUSD($0))" } ?? "no price" }

    private static func room(_ limit: JSONValue) -> String {
        switch limit["room"]?.text {
        case "after": "in \(limit["retry_after_ms"]?.integer ?? 0) ms"
        case "when-released": "when a request ends"
        case "never": "never: the request is larger"
        default: "now"
        }
    }
}
