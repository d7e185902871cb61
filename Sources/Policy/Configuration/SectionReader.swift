// Reads one section key by key, and reports what is unknown, doubled, missing or malformed.
import Core

/// A section being read. Keys that nobody asked for are reported at the end: a setting that nothing enforces is an error.
struct SectionReader {
    let section: ConfigurationDocument.Section
    let file: String
    private var asked: Set<String> = []
    private(set) var problems: [ConfigurationProblem] = []

    init(_ section: ConfigurationDocument.Section, file: String) {
        self.section = section
        self.file = file
    }

    mutating func report(_ message: String, at position: ConfigurationPosition) {
        problems.append(
            ConfigurationProblem(file: file, line: position.line, column: position.column, message: message))
    }

    /// The value of a key that may stand once.
    mutating func optional<T>(_ key: String, _ parse: (String) throws(ValueProblem) -> T) -> T? {
        asked.insert(key)
        let entries = section.entries.filter { $0.key == key }
        for extra in entries.dropFirst() { report("'\(key)' is set twice in this section", at: extra.keyPosition) }
        guard let entry = entries.first else { return nil }
        return value(entry, parse)
    }

    /// The value of a key that must stand.
    mutating func required<T>(_ key: String, _ parse: (String) throws(ValueProblem) -> T) -> T? {
        if !section.entries.contains(where: { $0.key == key }) {
            asked.insert(key)
            report("[\(section.kind) \(section.name)] needs '\(key)'", at: section.position)
            return nil
        }
        return optional(key, parse)
    }

    /// All values of a key that may be repeated, with their positions.
    mutating func list<T>(
        _ key: String, _ parse: (String) throws(ValueProblem) -> T
    ) -> [(value: T, position: ConfigurationPosition)] {
        asked.insert(key)
        var values: [(T, ConfigurationPosition)] = []
        for entry in section.entries where entry.key == key {
            if let value = value(entry, parse) { values.append((value, entry.valuePosition)) }
        }
        return values
    }

    /// A duration within `range`.
    mutating func time(_ key: String, in range: ClosedRange<Duration>) -> Duration? {
        optional(key) { text throws(ValueProblem) in try ConfigurationValue.duration(text, in: range) }
    }

    /// A whole number within `range`.
    mutating func number(_ key: String, in range: ClosedRange<Int>) -> Int? {
        optional(key) { text throws(ValueProblem) in try ConfigurationValue.integer(text, in: range) }
    }

    /// A size in bytes within `range`.
    mutating func bytes(_ key: String, in range: ClosedRange<Int>) -> Int? {
        optional(key) { text throws(ValueProblem) in try ConfigurationValue.bytes(text, in: range) }
    }

    /// One of `words`.
    mutating func choice(_ key: String, of words: [String]) -> String? {
        optional(key) { text throws(ValueProblem) in try ConfigurationValue.choice(text, of: words) }
    }

    /// Where the value of a key stands; the heading when the key does not.
    func position(of key: String) -> ConfigurationPosition {
        section.entries.first { $0.key == key }?.valuePosition ?? section.position
    }

    /// The section's name as `parse` accepts it; reported at the heading otherwise.
    mutating func name(_ parse: (String) throws(ValueProblem) -> String) -> String? {
        do {
            return try parse(section.name)
        } catch {
            report(error.message, at: section.position)
            return nil
        }
    }

    private mutating func value<T>(
        _ entry: ConfigurationDocument.Entry, _ parse: (String) throws(ValueProblem) -> T
    ) -> T? {
        do {
            return try parse(entry.value)
        } catch {
            report(error.message, at: entry.valuePosition)
            return nil
        }
    }

    /// Reports keys that this kind of section does not have.
    mutating func finish() {
        for entry in section.entries where !asked.contains(entry.key) {
            let known = asked.sorted().joined(separator: ", ")
            report("unknown key '\(entry.key)' in [\(section.kind) …]; known: \(known)", at: entry.keyPosition)
        }
    }
}
