// A key's rights one by one, as people write them: the same words in the configuration, in the admin interface and in the tool.
import Core

extension KeyRecord {
    /// A right that people set: the key of its line in a `[key …]` section.
    public enum Right: String, CaseIterable, Sendable {
        case org, team, label, identity, model, operation, feature, priority, passthrough, limit, network

        /// True when it is a list.
        public var isList: Bool { setting.isList }

        fileprivate var setting: Setting<KeyRecord> { KeyRecord.schema.setting(rawValue) }
    }

    /// Sets a right to `values`, all of them; none takes it away. A value that cannot be changes nothing.
    public mutating func set(_ right: Right, to values: [String]) throws(ValueProblem) {
        let setting = right.setting
        guard values.count <= setting.most else { throw ValueProblem("at most \(setting.most) of '\(setting.key)'") }
        var trial = self
        setting.copy(KeyRecord.schema.initial, &trial)
        for value in values { try setting.take(value, &trial) }
        self = trial
    }

    /// A right as `set` takes it.
    public func values(of right: Right) -> [String] { right.setting.texts(self) }
}
