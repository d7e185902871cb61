// The settings of [route ALIAS].
import Core

extension RouteRecord {
    static let schema = SectionSchema(
        "route", form: "[route ALIAS]", initial: RouteRecord(name: ""),
        heading: { name, record throws(ValueProblem) in record.name = try PlainText.alias(name) }, settings,
        rules: check)

    private static let settings: [Setting<RouteRecord>] = [
        Setting(
            "target", list: \.targets, .target, most: targetLimit, .needed, by: .node,
            "who answers, with its share of the requests; see below",
            fits: { target, others throws(ValueProblem) in
                if others.contains(where: { $0.provider == target.provider && $0.model == target.model }) {
                    throw ValueProblem("'\(target.provider)/\(target.model)' is named twice")
                }
            }),
        Setting(
            "hedge", \.isHedged, .either("interactive", or: "off"), by: .node,
            "whether streams of that class whose first token is late are asked for twice: [routing.md](routing.md)"),
        Setting(
            "mirror", optional: \.mirror, .mirror, by: .node,
            "where copies of so many requests go, for comparison: [routing.md](routing.md)"),
        Setting(
            "affinity", optional: \.affinity, .number(PromptPrefix.lengths), by: .node,
            "so many bytes of a prompt's beginning decide which target is preferred"),
        Setting(
            "attempts", \.attempts, .number(1...5), by: .node,
            "how often a request may be sent, the first time included"),
        Setting(
            "first-event-timeout", optional: \.firstEventTimeout,
            .duration(.milliseconds(1), to: .seconds(600)), .words("the provider's"), by: .node,
            "as of a provider; the shorter of the two counts"),
        Setting(
            "idle-timeout", optional: \.idleTimeout, .duration(.milliseconds(1), to: .seconds(600)),
            .words("the provider's"), by: .node, "as of a provider; the shorter of the two counts"),
        Setting(
            "max-output", \.maximumOutputTokens, .number(1...1_000_000), .shown, by: .node,
            "who asks for more output tokens gets so many; reservations assume no more"),
    ]

    @Sendable private static func check(_ record: inout RouteRecord, _ reader: inout SectionReader) {
        for (target, position) in zip(record.targets, reader.positions(of: "target")) {
            reader.name(target, of: record.name, at: position)
        }
        if let mirror = record.mirror {
            reader.name(mirror.target, of: record.name, at: reader.position(of: "mirror"))
        }
        guard !record.targets.isEmpty, record.targets.allSatisfy({ $0.weight == 0 || $0.isForOverload }) else { return }
        let besides = record.targets.contains(where: \.isForOverload) ? " besides those of 'group overload'" : ""
        reader.report(
            "[route \(record.name)] has no target with a weight above 0\(besides)", at: reader.section.position)
    }
}

// MARK: - Targets and mirrors as text

extension ValueForm where Value == RouteTarget {
    /// `provider/model`, with a weight, a group and conditions behind it.
    static var target: ValueForm {
        ValueForm(
            words: "`provider/model weight N group G CONDITION…`", read: RouteTarget.parse,
            write: { target in
                let group = target.group == 1 ? "" : " group \(target.groupText)"
                let conditions = target.conditions.map { " \($0.text)" }.joined()
                return "\(target.provider)/\(target.model) weight \(target.weight)\(group)\(conditions)"
            })
    }
}

extension RouteTarget {
    fileprivate static func parse(_ text: String) throws(ValueProblem) -> RouteTarget {
        let words = text.split(separator: " ").map(String.init)
        let path = (words.first ?? "").split(separator: "/", maxSplits: 1).map(String.init)
        guard path.count == 2, words.count % 2 == 1 else {
            throw ValueProblem(
                "expected 'provider/model', and perhaps 'weight N', 'group N', conditions, found '\(text)'")
        }
        // REPORT frames carry `provider/model` in at most 128 bytes.
        guard words[0].utf8.count <= 128 else { throw ValueProblem("expected at most 128 bytes before 'weight'") }
        var (weight, group): (Int?, Int?)
        var conditions: [TargetCondition] = []
        for index in stride(from: 1, to: words.count, by: 2) {
            switch words[index] {
            case "weight" where weight == nil:
                weight = try ConfigurationValue.integer(words[index + 1], in: 0...1_000_000)
            case "group" where group == nil:
                group = try RouteTarget.group(words[index + 1])
            case "team", "feature", "priority":
                let condition = try TargetCondition.parse(words[index], words[index + 1])
                guard !conditions.contains(condition), conditions.count < RouteTarget.conditionLimit else {
                    throw ValueProblem("at most \(RouteTarget.conditionLimit) conditions, each once")
                }
                conditions.append(condition)
            default:
                throw ValueProblem(
                    "expected 'weight N' or 'group N', each once, 'team ORG/TEAM', 'feature NAME' or 'priority CLASS', "
                        + "found '\(words[index])'")
            }
        }
        return RouteTarget(
            provider: path[0], model: path[1], weight: weight ?? 100, group: group ?? 1, conditions: conditions)
    }

    /// The number of a target's group, or `overload`.
    private static func group(_ text: String) throws(ValueProblem) -> Int {
        if text == "overload" { return RouteRecord.overloadGroup }
        guard let group = Int(text), (1...RouteRecord.groupLimit).contains(group) else {
            throw ValueProblem("expected a group from 1 to \(RouteRecord.groupLimit) or 'overload', found '\(text)'")
        }
        return group
    }
}

extension TargetCondition {
    fileprivate static func parse(_ kind: String, _ value: String) throws(ValueProblem) -> TargetCondition {
        switch kind {
        case "team":
            guard value.split(separator: "/", omittingEmptySubsequences: false).count == 2 else {
                throw ValueProblem("expected 'team ORG/TEAM', found 'team \(value)'")
            }
            return .team(value)
        case "feature":
            guard value.utf8.count <= 64 else { throw ValueProblem("a feature has at most 64 bytes") }
            return .feature(value)
        default:
            guard let priority = PriorityClass.allCases.first(where: { $0.description == value }) else {
                let known = PriorityClass.allCases.map(\.description).joined(separator: ", ")
                throw ValueProblem("expected a class (\(known)), found 'priority \(value)'")
            }
            return .priority(priority)
        }
    }
}

extension ValueForm where Value == RouteMirror {
    /// `provider/model 5%`, with at most two digits behind the point.
    static var mirror: ValueForm {
        ValueForm(
            words: "`provider/model SHARE`, `0.01%` to `100%`", read: RouteMirror.parse,
            write: { mirror in
                let rest = mirror.share % 100
                let part = rest == 0 ? "" : rest < 10 ? ".0\(rest)" : ".\(rest)"
                return "\(mirror.target.provider)/\(mirror.target.model) \(mirror.share / 100)\(part)%"
            })
    }
}

extension RouteMirror {
    fileprivate static func parse(_ text: String) throws(ValueProblem) -> RouteMirror {
        let words = text.split(separator: " ").map(String.init)
        let path = (words.first ?? "").split(separator: "/", maxSplits: 1).map(String.init)
        guard words.count == 2, path.count == 2, words[0].utf8.count <= 128, let share = share(words[1]) else {
            throw ValueProblem("expected 'provider/model' and a share from 0.01% to 100%, found '\(text)'")
        }
        return RouteMirror(target: RouteTarget(provider: path[0], model: path[1], weight: 0), share: share)
    }

    /// Parts of 10,000: `2.5%` is 250.
    private static func share(_ text: String) -> Int? {
        guard text.hasSuffix("%") else { return nil }
        let parts = text.dropLast().split(separator: ".", omittingEmptySubsequences: false)
        let isMade = parts.allSatisfy { (1...3).contains($0.utf8.count) && $0.utf8.allSatisfy { $0 &- 0x30 < 10 } }
        guard (1...2).contains(parts.count), isMade, let whole = Int(parts[0]) else { return nil }
        var share = whole * 100
        if parts.count == 2 {
            guard parts[1].utf8.count <= 2, let rest = Int(parts[1]) else { return nil }
            share += parts[1].utf8.count == 1 ? rest * 10 : rest
        }
        return (1...10_000).contains(share) ? share : nil
    }
}
