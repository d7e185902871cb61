// The settings of [org NAME] and [team ORG/TEAM].
import Core

extension TenantRecord {
    static let orgSchema = SectionSchema(
        "org", form: "[org NAME]", initial: TenantRecord(org: ""),
        heading: { name, record throws(ValueProblem) in
            guard (try? PlainText.name(name)) != nil else {
                throw ValueProblem("expected a heading such as [org name]")
            }
            record.org = name
        },
        [
            limits("limit", \.limits, scope: .org, "a limit of all requests of the org together"),
            limits("key-limit", \.keyLimits, scope: .key, "a limit that each API key of the org has on its own"),
            Setting(
                "without-redis", \.isClosedWithoutState, .either("refuse", or: "share"), by: .node,
                "while Redis cannot be used: the node's share of the limits, without hard budgets, or nothing"),
        ])

    static let teamSchema = SectionSchema(
        "team", form: "[team ORG/TEAM]", initial: TenantRecord(org: "", team: ""),
        heading: { name, record throws(ValueProblem) in
            let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, parts.allSatisfy({ (try? PlainText.name($0)) != nil }) else {
                throw ValueProblem("expected a heading such as [team org/team]")
            }
            (record.org, record.team) = (parts[0], parts[1])
        },
        [
            limits("limit", \.limits, scope: .team, "a limit of all requests of the team together"),
            limits("key-limit", \.keyLimits, scope: .key, "a limit that each API key of the team has on its own"),
            Setting(
                "weight", \.weight, .number(1...1_000), by: .node, "its share beside other teams where requests wait"),
        ])

    private static func limits(
        _ key: String, _ path: FieldPath<TenantRecord, [Limit]>, scope: LimitScope, _ meaning: String
    ) -> Setting<TenantRecord> {
        Setting(
            key, list: path, .limit(scope), most: LimitSet.maximumCount, by: .node, meaning,
            fits: ValueForm.fitsBeside)
    }
}

extension ValueForm where Value == Limit {
    /// A limit, such as `600 requests / minute`.
    static func limit(_ scope: LimitScope) -> ValueForm {
        ValueForm(
            words: "limit", read: { text throws(ValueProblem) in try Limit.parse(text, scope: scope) }, write: \.text)
    }

    /// Two limits of one section must not share a counter.
    @Sendable static func fitsBeside(_ limit: Limit, _ others: [Limit]) throws(ValueProblem) {
        do {
            _ = try LimitSet(version: 0, limits: others + [limit])
        } catch {
            throw ValueProblem(error.description)
        }
    }
}
