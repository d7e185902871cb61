// A section while it is read: its lines, what is wrong with them, and where the values stand that were taken.
import Core

struct SectionReader {
    let section: ConfigurationDocument.Section
    let file: String
    private(set) var problems: [ConfigurationProblem] = []
    /// The lines whose values were taken.
    private(set) var accepted: [ConfigurationDocument.Entry] = []
    /// Targets that the section names, to compare them with the providers when all sections were read.
    private(set) var targets: [ClusterConfiguration.TargetPlace] = []

    init(_ section: ConfigurationDocument.Section, file: String) {
        self.section = section
        self.file = file
    }

    mutating func report(_ message: String, at position: ConfigurationPosition) {
        problems.append(
            ConfigurationProblem(file: file, line: position.line, column: position.column, message: message))
    }

    /// Reports at the value of a key; at the heading when the key does not stand.
    mutating func report(_ message: String, at key: String) { report(message, at: position(of: key)) }

    /// True when the key stands, whatever its value.
    func has(_ key: String) -> Bool { section.entries.contains { $0.key == key } }

    /// Where the value of a key stands; the heading when the key does not.
    func position(of key: String) -> ConfigurationPosition {
        section.entries.first { $0.key == key }?.valuePosition ?? section.position
    }

    /// Where the values of a list stand that were taken, in their order.
    func positions(of key: String) -> [ConfigurationPosition] {
        accepted.filter { $0.key == key }.map(\.valuePosition)
    }

    mutating func name(_ target: RouteTarget, of route: String, at position: ConfigurationPosition) {
        targets.append(ClusterConfiguration.TargetPlace(route: route, target: target, position: position))
    }

    /// Reads all lines of one setting; returns how many there are.
    mutating func read<Record>(_ setting: Setting<Record>, into record: inout Record) -> Int {
        var count = 0
        for entry in section.entries where entry.key == setting.key {
            count += 1
            if count > 1, !setting.isList {
                report("'\(setting.key)' is set twice in this section", at: entry.keyPosition)
                continue
            }
            do {
                try setting.take(entry.value, &record)
                accepted.append(entry)
            } catch {
                report(error.message, at: entry.valuePosition)
            }
        }
        return count
    }
}
