// All settings of cluster.conf as people ask for them: their tables, and the value of one.
import Core

/// A kind of section as Docs/configuration.md shows it.
public struct SettingTable: Sendable {
    /// The first word of its headings.
    public let kind: String
    /// The heading as people write it, such as `[route ALIAS]`.
    public let form: String
    /// Its settings as a table in Markdown: key, value, default, meaning, who reads it.
    public let text: String

    /// The tables of all sections that people may write.
    public static let all = (StartupSection.all.map(\.section) + RecordKind.all.filter(\.isWritten).map(\.section))
        .map { SettingTable(kind: $0.kind, form: $0.form, text: $0.table) }
}

extension ClusterConfiguration {
    /// The value of a setting, given or by default, as it is written in a file: `nodes.lanes`, `coordinator.a.listen`,
    /// `route.chat.attempts`. Empty where it has none; nil when there is no such setting or section.
    public func setting(_ name: String) -> String? {
        let kind = name.prefix { $0 != "." }
        if let section = StartupSection.all.first(where: { $0.section.kind == kind }) {
            return section.values(self).first { $0.name == name }?.value
        }
        let record = RecordKind.all.first { $0.name == kind && $0.isWritten }
        return record?.values(published).first { $0.name == name }?.value
    }
}
