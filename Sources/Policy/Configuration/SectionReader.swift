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

/// Parsers of values that are plain text.
enum PlainText {
    static func any(_ text: String) throws(ValueProblem) -> String {
        guard !text.isEmpty else { throw ValueProblem("expected a value, found nothing") }
        return text
    }

    /// A name of letters, digits and `._-`, at most 64 bytes.
    static func name(_ text: String) throws(ValueProblem) -> String {
        let isName = text.utf8.allSatisfy { byte in
            byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || [0x2E, 0x5F, 0x2D].contains(byte)
        }
        guard isName, !text.isEmpty, text.utf8.count <= 64 else {
            throw ValueProblem("expected a name of letters, digits, '.', '_' or '-', found '\(text)'")
        }
        return text
    }

    /// `host:port` or `unix:path`.
    static func address(_ text: String) throws(ValueProblem) -> String {
        if text.hasPrefix("unix:"), text.count > 5 { return text }
        guard let colon = text.lastIndex(of: ":"), UInt16(text[text.index(after: colon)...]) != nil,
            colon != text.startIndex
        else { throw ValueProblem("expected an address such as 127.0.0.1:7443 or unix:path, found '\(text)'") }
        return text
    }
}
