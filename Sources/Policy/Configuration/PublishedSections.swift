// Sections that coordinators make for nodes; people never write them.
import Core

enum PublishedSections {
    /// How many routes an operator confirmed to be left.
    static let confirmation = SectionSchema(
        "confirmation", form: "[confirmation routes]", initial: Int?.none,
        [
            Setting(
                "routes", optional: \.self, .number(0...1_000_000), by: .node, "how many routes are left on purpose")
        ])

    /// How many nodes share the limits.
    static let fleet = SectionSchema(
        "fleet", form: "[fleet nodes]", initial: 1,
        [Setting("count", \.self, .number(1...100_000), by: .node, "how many nodes share the limits")])

    /// What each node may have of a provider's capacity.
    static let share = nodes("share", form: "[share PROVIDER]", "calls of a node that may be under way at the provider")

    /// How many client connections nodes should come down to.
    static let spread = nodes("spread", form: "[spread connections/nodes]", "client connections that a node keeps")

    /// What nodes count of a canary.
    static let canary = SectionSchema(
        "canary", form: "[canary ROUTE]", initial: RouteCanary(target: "", replaced: nil, run: 0),
        [
            Setting("target", \.target, .text("target"), .needed, by: .node, "the target on trial"),
            Setting("run", \.run, .number(1...Int(UInt32.max)), .needed, by: .node, "names the count"),
            Setting("replaced", optional: \.replaced, .text("target"), by: .node, "what it is compared with"),
        ])

    /// Lines of a node's number and a count.
    private static func nodes(_ kind: String, form: String, _ meaning: String) -> SectionSchema<[UInt32: Int]> {
        let node = Setting<[UInt32: Int]>(
            key: "node", most: .max, standard: .initial, level: 0, range: "number of a node, count",
            isListened: false,
            readers: .node, meaning: meaning,
            take: { text, counts throws(ValueProblem) in
                let words = text.split(separator: " ")
                guard words.count == 2, let node = UInt32(words[0]), let count = Int(words[1]),
                    (0...1_000_000_000).contains(count)
                else { throw ValueProblem("expected a node's number and a count, found '\(text)'") }
                counts[node] = count
            },
            texts: { counts in counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" } },
            copy: { from, to in to = from })
        return SectionSchema(kind, form: form, initial: [:], [node])
    }
}
