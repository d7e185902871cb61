// `sluice config history` and `sluice config diff`: the configurations that the cluster has run, and what separates them.
import Core
import Net
import Policy

enum ConfigurationVersionsView {
    static func history(_ arguments: Arguments) throws(UsageProblem) {
        let isJSON = arguments.has("--json")
        try AdminCall.send(arguments, "GET", "/v1/config") { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            if isJSON {
                Screen.print(value.json + "\n")
                Host.exit(0)
            }
            let versions = value["versions"]?.elements ?? []
            let rows = versions.reversed().map { version in
                [
                    "\(version["number"]?.integer ?? 0)", UTCDate.text(version["at"]?.integer ?? 0),
                    version["who"]?.text ?? "", version["reason"]?.text ?? "",
                ]
            }
            Screen.print(Table.text(["VERSION", "APPLIED", "BY", "REASON"], rows))
            Host.exit(0)
        }
    }

    static func diff(_ arguments: Arguments) throws(UsageProblem) {
        let words = arguments.words.dropFirst()
        var wanted: [Int64] = []
        for word in words { wanted.append(try ConfigCommand.version(word)) }
        if wanted.count == 2 {
            let names = wanted.map { "version \($0)" }
            try AdminCall.send(arguments, "GET", "/v1/config/\(wanted[0]),\(wanted[1])") { status, value in
                let texts = texts(status, value)
                guard texts.count == 2 else { Program.fail(ExitCode.failed, "the coordinator sent something else") }
                show(texts[0], texts[1], names[0], names[1])
            }
            return
        }
        let file = AdminCall.file(arguments)
        let local = wanted.isEmpty ? try texts(of: file) : nil
        let asked = wanted.first
        try AdminCall.send(arguments, "GET", "/v1/config") { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            guard let last = value["versions"]?.elements?.last?["number"]?.integer else {
                Program.fail(ExitCode.failed, "no configuration is kept as a version yet")
            }
            let list = asked.map { "\($0),\(last)" } ?? "\(last)"
            again(arguments, "/v1/config/\(list)") { status, value in
                let texts = texts(status, value)
                if let local, let first = texts.first {
                    show(first, local, "version \(last)", file)
                } else if texts.count == 2 {
                    show(texts[0], texts[1], "version \(asked ?? 0)", "version \(last)")
                }
                Program.fail(ExitCode.failed, "the coordinator sent something else")
            }
        }
    }

    /// A second call, after the first one's answer.
    private static func again(
        _ arguments: Arguments, _ path: String, then: @escaping @Sendable (Int, JSONValue) -> Void
    ) {
        do throws(UsageProblem) {
            try AdminCall.send(arguments, "GET", path, then: then)
        } catch {
            Program.fail(ExitCode.usage, error.text, hint: error.hint)
        }
    }

    private struct Texts: Sendable {
        let file: String
        let prices: String
    }

    private static func texts(_ status: Int, _ value: JSONValue) -> [Texts] {
        guard status == 200 else { AdminCall.fail(status, value) }
        return (value["versions"]?.elements ?? []).map {
            Texts(file: $0["text"]?.text ?? "", prices: $0["prices"]?.text ?? "")
        }
    }

    private static func texts(of file: String) throws(UsageProblem) -> Texts {
        let configuration = try ConfigurationFile.read(file)
        let folder = FileAccess.folder(of: file)
        func text(_ path: String) throws(UsageProblem) -> String {
            do {
                return String(
                    decoding: try FileAccess.read(path, limit: ConfigurationDocument.sizeLimit), as: UTF8.self)
            } catch {
                throw UsageProblem(text: "\(error)", hint: "see: sluice check \(file)")
            }
        }
        let list = configuration.priceList
        return Texts(
            file: try text(file), prices: try list.map { FileAccess.path($0, in: folder) }.map(text) ?? "")
    }

    private static func show(_ from: Texts, _ to: Texts, _ left: String, _ right: String) -> Never {
        let lines = TextDifference.lines(from.file, to.file)
        let prices = TextDifference.lines(from.prices, to.prices).map { "prices: \($0)" }
        if lines.isEmpty, prices.isEmpty {
            Screen.print("\(left) and \(right) are the same\n")
        } else {
            Screen.print("--- \(left)\n+++ \(right)\n" + (lines + prices).map { $0 + "\n" }.joined())
        }
        Host.exit(0)
    }
}
