// `sluice ledger verify`: whether the ledger, its sums, the settlements and the budgets say the same.
import Core
import Net
import Policy
import Store

enum LedgerCommand {
    static let command = Command("ledger", "compare the ledger with its sums and the settlements", help: help, run: run)

    static let help = """
        usage: sluice ledger verify [--org ORG]… [--json]

          --org ORG            only this org; repeatable (default: every org of cluster.conf)
        \(RedisAccess.help)
        Compares, for each org and as of one moment: records with the sums of their hours, place by place and kind by
        kind; records with the settlements that are remembered (15 minutes), request by request; sums with what
        budgets of the org and its teams say is spent. Reads only. Exit code 1 when anything differs.

        """

    private static let shown = 20

    static func run(_ words: [String]) throws(UsageProblem) {
        let valued = RedisAccess.options.union(["--org"])
        let arguments = try Arguments(words, valued: valued, plain: ["--json"], most: 1)
        guard arguments.words == ["verify"] else { throw UsageProblem(text: "say what to do: sluice ledger verify") }
        let wanted = arguments.all("--org")
        let isJSON = arguments.has("--json")
        try RedisAccess.read(arguments) { reader, configuration async throws(StoreError) -> Int32 in
            var orgs: [Org] = []
            for org in wanted.isEmpty ? configuration.published.orgs.keys.sorted() : wanted {
                let (records, findings) = try await reader.audit(of: org, retention: configuration.ledger)
                orgs.append(Org(name: org, records: records, findings: findings))
            }
            Screen.print(isJSON ? json(orgs) : text(orgs))
            return orgs.allSatisfy { $0.differences.isEmpty } ? 0 : ExitCode.failed
        }
    }

    private struct Org {
        let name: String
        let records: Int
        let findings: [LedgerAudit.Finding]
        var differences: [LedgerAudit.Finding] { findings.filter { !$0.isEqual && !$0.isNote } }
    }

    private static func text(_ orgs: [Org]) -> String {
        var text = ""
        for org in orgs {
            text += "org \(org.name): \(UsageCommand.grouped(Int64(org.records))) records\n"
            let differing = Set(org.differences)
            // What agrees, then what does not: the first of many are enough to see where to look.
            let rows = org.findings.filter { !differing.contains($0) } + org.differences.prefix(shown)
            let numbers = Table.rightAligned(
                [["HERE", "THERE"]] + rows.map { [$0.expected, $0.found].map(UsageCommand.grouped) })
            text += Table.text(
                ["", ""] + numbers[0],
                zip(rows, numbers.dropFirst()).map { finding, numbers in
                    [finding.isEqual ? "ok" : finding.isNote ? "note" : "DIFFERS", finding.what] + numbers
                })
            if differing.count > shown { text += "… and \(differing.count - shown) more\n" }
            text += "\n"
        }
        let count = orgs.reduce(0) { $0 + $1.differences.count }
        return text + (count == 0 ? "everything agrees\n" : "\(count) differences\n")
    }

    private static func json(_ orgs: [Org]) -> String {
        let elements = orgs.map { org in
            JSONValue.object([
                .init("org", .string(org.name)), .init("records", .integer(Int64(org.records))),
                .init("differences", .integer(Int64(org.differences.count))),
                .init(
                    "findings",
                    .array(
                        org.findings.map { finding in
                            .object([
                                .init("what", .string(finding.what)), .init("here", .integer(finding.expected)),
                                .init("there", .integer(finding.found)), .init("note", .bool(finding.isNote)),
                            ])
                        })),
            ])
        }
        return JSONValue.array(elements).json + "\n"
    }
}
