// A key's rights one by one, as people write them: the same words in the configuration, in the admin interface and in the tool.
import Core

extension KeyRecord {
    /// A right that people set: the key of its line in a `[key …]` section.
    public enum Right: String, CaseIterable, Sendable {
        case org, team, label, identity, model, operation, feature, priority, passthrough, limit, network

        /// True when it is a list.
        public var isList: Bool {
            switch self {
            case .org, .team, .label, .identity, .priority, .passthrough: false
            case .model, .operation, .feature, .limit, .network: true
            }
        }
    }

    /// Sets a right to `values`, all of them; none takes it away.
    public mutating func set(_ right: Right, to values: [String]) throws(ValueProblem) {
        let most = right.isList ? (right == .limit ? KeyRecord.limitLimit : KeyRecord.listLimit) : 1
        guard values.count <= most else { throw ValueProblem("at most \(most) of '\(right.rawValue)'") }
        switch right {
        case .org: org = try KeyRecord.one(values, PlainText.name) ?? ""
        case .team: team = try KeyRecord.one(values, PlainText.name) ?? ""
        case .label: label = try KeyRecord.one(values, PlainText.label) ?? ""
        case .identity: identity = try KeyRecord.one(values, PlainText.identity)
        case .priority: highestPriority = try KeyRecord.one(values, KeyRecord.priority) ?? .interactive
        case .passthrough: mayPassThrough = try KeyRecord.one(values, ConfigurationValue.flag) ?? false
        case .model: models = try KeyRecord.all(values, PlainText.aliasOrAll)
        case .operation:
            let named = try KeyRecord.all(values, KeyRecord.operations).flatMap(\.self)
            operations = KeyOperation.allCases.filter(named.contains)
        case .feature: features = try KeyRecord.all(values, PlainText.alias)
        case .limit:
            limits = try KeyRecord.all(values) { text throws(ValueProblem) in try Limit.parse(text, scope: .key) }
            do {
                _ = try LimitSet(version: 0, limits: limits)
            } catch {
                throw ValueProblem(error.description)
            }
        case .network: networks = try KeyRecord.all(values, Network.parse)
        }
    }

    /// A right as `set` takes it.
    public func values(of right: Right) -> [String] {
        switch right {
        case .org: org.isEmpty ? [] : [org]
        case .team: team.isEmpty ? [] : [team]
        case .label: label.isEmpty ? [] : [label]
        case .identity: identity.map { [$0] } ?? []
        case .priority: [highestPriority.description]
        case .passthrough: mayPassThrough ? ["yes"] : []
        case .model: models
        case .operation: Set(operations) == Set(KeyOperation.allCases) ? ["*"] : operations.map(\.description)
        case .feature: features
        case .limit: limits.map(\.text)
        case .network: networks.map(\.description)
        }
    }

    private static func one<T>(
        _ values: [String], _ parse: (String) throws(ValueProblem) -> T
    ) throws(ValueProblem) -> T? {
        guard let value = values.first else { return nil }
        return try parse(value)
    }

    private static func all<T>(
        _ values: [String], _ parse: (String) throws(ValueProblem) -> T
    ) throws(ValueProblem) -> [T] {
        var parsed: [T] = []
        for value in values { parsed.append(try parse(value)) }
        return parsed
    }

    /// `chat`, `embeddings`, or `*` for all.
    private static func operations(_ text: String) throws(ValueProblem) -> [KeyOperation] {
        if text == "*" { return KeyOperation.allCases }
        if let operation = KeyOperation.allCases.first(where: { $0.description == text }) { return [operation] }
        let known = KeyOperation.allCases.map(\.description).joined(separator: ", ")
        throw ValueProblem("expected \(known) or *, found '\(text)'")
    }

    /// `interactive`, `background` or `batch`.
    private static func priority(_ text: String) throws(ValueProblem) -> PriorityClass {
        if let priority = PriorityClass.allCases.first(where: { $0.description == text }) { return priority }
        let known = PriorityClass.allCases.map(\.description).joined(separator: ", ")
        throw ValueProblem("expected \(known), found '\(text)'")
    }
}
