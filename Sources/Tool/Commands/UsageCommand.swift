// `sluice usage`: what was used and what it cost, from the ledger's hourly sums.
import Core
import Net
import Policy
import Store

enum UsageCommand {
    static let command = Command("usage", "show what was used and what it cost", help: help, run: run)

    static let help = """
        usage: sluice usage [--by COLUMN,…] [--since WHEN] [--until WHEN] [--org ORG]… [--format FORMAT]

          --by COLUMN,…        org, team, feature, model, provider, hour (default: org,team)
          --since WHEN         24h or 7d ago, or a moment in UTC: 2026-12-31, 2026-12-31T18:00:00Z (default: 24h)
          --until WHEN         the same forms (default: now)
          --org ORG            only this org; repeatable (default: every org of cluster.conf)
          --format FORMAT      table, csv or json (default: table); money in csv and json is in millionths of a dollar
        \(RedisAccess.help)
        Sums are kept by the hour: the hours in which both moments lie are counted whole.

        """

    /// What was asked for.
    struct Question: Sendable {
        let columns: [Column]
        let hours: ClosedRange<Int64>
        let orgs: [String]
        let format: String
    }

    enum Column: String, CaseIterable, Sendable {
        case org, team, feature, model, provider, hour

        func value(_ org: String, _ hour: Int64, _ place: UsagePlace) -> String {
            switch self {
            case .org: org
            case .team: place.team
            case .feature: place.feature
            case .model: place.model
            case .provider: place.provider
            case .hour: UTCDate.text(hour * 3_600)
            }
        }
    }

    static func run(_ words: [String]) throws(UsageProblem) {
        let valued: Set<String> = ["--by", "--since", "--until", "--org", "--format"]
        let arguments = try Arguments(words, valued: valued.union(RedisAccess.options), most: 0)
        let format = arguments.value("--format") ?? "table"
        guard ["table", "csv", "json"].contains(format) else {
            throw UsageProblem(text: "--format takes table, csv or json, found '\(format)'")
        }
        let columns = try columns(arguments.value("--by") ?? "org,team")
        let now = Host.wallClockMicroseconds() / 1_000_000
        let since = try moment("--since", arguments.value("--since") ?? "24h", now)
        let until = try arguments.value("--until").map { text throws(UsageProblem) in try moment("--until", text, now) }
        guard since <= until ?? now else { throw UsageProblem(text: "--since lies behind --until") }
        // A moment on the hour ends the hour before it.
        let hours = since / 3_600...max(since, until.map { $0 - 1 } ?? now) / 3_600
        guard hours.count <= 24 * 801 else { throw UsageProblem(text: "at most 800 days can be asked for") }
        let wanted = arguments.all("--org")
        try RedisAccess.read(arguments) { reader, configuration async throws(StoreError) -> Int32 in
            let known = configuration.published.orgs.keys.sorted()
            var sums: [[String]: UsageSums] = [:]
            for org in wanted.isEmpty ? known : wanted {
                try await reader.sums(of: org, hours: hours) { hour, places in
                    for (place, sum) in places {
                        sums[columns.map { $0.value(org, hour, place) }, default: UsageSums()].add(sum)
                    }
                }
            }
            let question = Question(columns: columns, hours: hours, orgs: wanted, format: format)
            Screen.print(text(of: sums, question))
            return 0
        }
    }

    private static func columns(_ text: String) throws(UsageProblem) -> [Column] {
        var columns: [Column] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let column = Column(rawValue: String(word)), !columns.contains(column) else {
                let known = Column.allCases.map(\.rawValue).joined(separator: ", ")
                throw UsageProblem(text: "--by takes each of \(known) once, found '\(word)'")
            }
            columns.append(column)
        }
        return columns
    }

    private static func moment(_ option: String, _ text: String, _ now: Int64) throws(UsageProblem) -> Int64 {
        if let seconds = UTCDate.seconds(text) { return seconds }
        guard let ago = try? ConfigurationValue.duration(text), ago.milliseconds / 1_000 <= now else {
            throw UsageProblem(
                text: "\(option) takes a time such as 24h or 7d, or a date such as 2026-12-31, found '\(text)'")
        }
        return now - ago.milliseconds / 1_000
    }

    // MARK: - Output

    private static let numbers = [
        "attempts", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
        "micro_usd",
    ]

    private static func values(_ sum: UsageSums) -> [Int64] {
        let tokens = sum.tokens
        return [
            sum.attempts, tokens.input, tokens.cached, tokens.cacheWrite, tokens.output, tokens.reasoning, sum.microUSD,
        ]
    }

    private static func text(of sums: [[String]: UsageSums], _ question: Question) -> String {
        // By time where hours are shown, else the dearest first; then by name, so that the order is always the same.
        let byTime = question.columns.firstIndex(of: .hour)
        let rows = sums.sorted { left, right in
            if let byTime, left.key[byTime] != right.key[byTime] { return left.key[byTime] < right.key[byTime] }
            if left.value.microUSD != right.value.microUSD { return left.value.microUSD > right.value.microUSD }
            return left.key.lexicographicallyPrecedes(right.key)
        }
        switch question.format {
        case "csv":
            let heading = question.columns.map(\.rawValue) + numbers
            return Table.csv([heading] + rows.map { $0.key + values($0.value).map { String($0) } })
        case "json": return json(rows, question)
        default: return table(rows, question)
        }
    }

    private static func json(_ rows: [(key: [String], value: UsageSums)], _ question: Question) -> String {
        let elements = rows.map { row in
            JSONValue.object(
                zip(question.columns, row.key).map { .init($0.rawValue, .string($1)) }
                    + zip(numbers, values(row.value)).map { .init($0, .integer($1)) })
        }
        let value = JSONValue.object([
            .init("since", .string(UTCDate.text(question.hours.lowerBound * 3_600))),
            .init("until", .string(UTCDate.text((question.hours.upperBound + 1) * 3_600))),
            .init("rows", .array(elements)),
        ])
        return value.json + "\n"
    }

    private static func table(_ rows: [(key: [String], value: UsageSums)], _ question: Question) -> String {
        let span =
            "\(UTCDate.text(question.hours.lowerBound * 3_600)) to \(UTCDate.text((question.hours.upperBound + 1) * 3_600))"
        guard !rows.isEmpty else { return "nothing was used from \(span)\n" }
        var total = UsageSums()
        for row in rows { total.add(row.value) }
        let heading = ["ATTEMPTS", "INPUT", "CACHED", "WRITTEN", "OUTPUT", "REASONING", "COST"]
        func cells(_ sum: UsageSums) -> [String] {
            values(sum).dropLast().map(grouped) + [dollars(sum.microUSD)]
        }
        let sums = [heading] + rows.map { cells($0.value) } + [cells(total)]
        let aligned = Table.rightAligned(sums)
        let names = rows.map { $0.key.map { $0.isEmpty ? "-" : $0 } }
        let totalName = question.columns.indices.map { $0 == 0 ? "TOTAL" : "" }
        let lines = zip(names + [totalName], aligned.dropFirst()).map { $0 + $1 }
        return Table.text(question.columns.map { $0.rawValue.uppercased() } + aligned[0], lines) + "from \(span)\n"
    }

    /// `$1,234.567890`: every digit, so that points stand below each other.
    private static func dollars(_ microUSD: Int64) -> String {
        let fraction = String(1_000_000 + microUSD.magnitude % 1_000_000).dropFirst()
        return "\(microUSD < 0 ? "-" : "")$\(grouped(Int64(microUSD.magnitude / 1_000_000))).\(fraction)"
    }

    /// `1,234,567`.
    static func grouped(_ number: Int64) -> String {
        let digits = Array(String(number.magnitude))
        var text = number < 0 ? "-" : ""
        for (place, digit) in digits.enumerated() {
            if place > 0, (digits.count - place) % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return text
    }
}
