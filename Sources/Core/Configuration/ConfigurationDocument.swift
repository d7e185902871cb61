// The syntax of `cluster.conf`: sections of `key = value` lines, every piece with its position.

/// A parsed file, before anything is known about its meaning.
///
/// Lines end with LF or CRLF. Blanks are spaces and tabs. A comment begins at a `#` that stands first or behind a blank,
/// so that `a#b` is a value. Text is UTF-8.
public struct ConfigurationDocument: Sendable, Equatable {
    /// One `key = value` line.
    public struct Entry: Sendable, Equatable {
        /// The key.
        public let key: String
        /// The value without surrounding blanks and comment.
        public let value: String
        /// Where the key begins.
        public let keyPosition: ConfigurationPosition
        /// Where the value begins.
        public let valuePosition: ConfigurationPosition
    }

    /// A `[kind name]` heading with the lines below it.
    public struct Section: Sendable, Equatable {
        /// The first word of the heading.
        public let kind: String
        /// The rest of the heading.
        public let name: String
        /// Where the heading begins.
        public let position: ConfigurationPosition
        /// Its lines, in order.
        public fileprivate(set) var entries: [Entry]
    }

    /// The file, as it was named.
    public let file: String
    /// Its sections, in order.
    public private(set) var sections: [Section] = []

    /// The largest file that is read, in bytes: what people write by hand is a hundredth of it.
    public static let sizeLimit = 4 << 20

    /// Reads a file's text; returns what could be understood, and every problem.
    public static func parse(
        _ text: String, file: String, limit: Int = sizeLimit
    ) -> (ConfigurationDocument, [ConfigurationProblem]) {
        parse(Array(text.utf8), file: file, limit: limit)
    }

    /// Reads a file's bytes; returns what could be understood, and every problem.
    public static func parse(
        _ bytes: [UInt8], file: String, limit: Int = sizeLimit
    ) -> (ConfigurationDocument, [ConfigurationProblem]) {
        var parser = ConfigurationParser(bytes, file: file)
        if bytes.count > limit {
            let message = "expected at most \(limit) bytes, found \(bytes.count)"
            return (parser.document, [ConfigurationProblem(file: file, line: 1, column: 1, message: message)])
        }
        parser.run()
        return (parser.document, parser.problems)
    }

    fileprivate init(file: String) { self.file = file }

    fileprivate mutating func add(_ section: Section) { sections.append(section) }

    fileprivate mutating func add(_ entry: Entry) { sections[sections.count - 1].entries.append(entry) }
}

/// Walks over the bytes once. Snapshots of many thousand keys use the same syntax, so no step here looks at characters.
private struct ConfigurationParser {
    private let bytes: [UInt8]
    private var line = 0
    private var lineStart = 0
    var document: ConfigurationDocument
    var problems: [ConfigurationProblem] = []

    init(_ bytes: [UInt8], file: String) {
        self.bytes = bytes
        document = ConfigurationDocument(file: file)
    }

    mutating func run() {
        while lineStart < bytes.count {
            line += 1
            let end = bytes[lineStart...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            read(lineStart..<end)
            lineStart = end + 1
        }
    }

    private mutating func read(_ whole: Range<Int>) {
        guard let text = checked(whole) else { return }
        let content = trimmed(withoutComment(text))
        guard let first = content.first.map({ bytes[$0] }) else { return }
        if first == UInt8(ascii: "[") { heading(content) } else { entry(content) }
    }

    /// The line without its CR; nil, and a problem, when it is not text.
    private mutating func checked(_ whole: Range<Int>) -> Range<Int>? {
        let endsInReturn = whole.last.map { bytes[$0] } == UInt8(ascii: "\r")
        let range = endsInReturn ? whole.dropLast() : whole
        guard bytes[range].allSatisfy({ $0 < 0x80 }) || bytes.span.raw.extracting(range).isUTF8 else {
            report(range.lowerBound, "the line is not UTF-8")
            return nil
        }
        let control = range.first { (bytes[$0] < 0x20 && bytes[$0] != UInt8(ascii: "\t")) || bytes[$0] == 0x7F }
        if let control {
            report(control, "control character \(bytes[control]) in the line")
            return nil
        }
        // Beyond ASCII they hide what a line really says, in a comment as well as in a value.
        if bytes[range].contains(where: { $0 >= 0x80 }),
            let hidden = String(decoding: bytes[range], as: UTF8.self).firstControl(but: "\t")
        {
            report(range.lowerBound + hidden.offset, "control character \(hidden.name) in the line")
            return nil
        }
        return range
    }

    private func withoutComment(_ range: Range<Int>) -> Range<Int> {
        let comment = range.first { place in
            bytes[place] == UInt8(ascii: "#") && (place == range.lowerBound || isBlank(bytes[place - 1]))
        }
        return range.lowerBound..<(comment ?? range.upperBound)
    }

    private func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

    private func trimmed(_ range: Range<Int>) -> Range<Int> {
        guard let first = range.first(where: { !isBlank(bytes[$0]) }),
            let last = range.last(where: { !isBlank(bytes[$0]) })
        else { return range.upperBound..<range.upperBound }
        return first..<(last + 1)
    }

    private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    /// Columns count characters as Unicode scalars: every byte that does not continue one.
    private func position(_ place: Int) -> ConfigurationPosition {
        let before = bytes[lineStart..<place].reduce(0) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 }
        return ConfigurationPosition(line: line, column: before + 1)
    }

    private mutating func report(_ place: Int, _ message: String) {
        let position = position(place)
        problems.append(
            ConfigurationProblem(file: document.file, line: position.line, column: position.column, message: message))
    }

    private mutating func heading(_ range: Range<Int>) {
        guard bytes[range.upperBound - 1] == UInt8(ascii: "]") else {
            return report(range.lowerBound, "a heading ends with ']'")
        }
        let inner = trimmed(range.dropFirst().dropLast())
        guard let space = inner.first(where: { isBlank(bytes[$0]) }) else {
            return report(range.lowerBound, "expected a heading such as [provider openai]")
        }
        let name = trimmed(space..<inner.upperBound)
        document.add(
            ConfigurationDocument.Section(
                kind: text(inner.lowerBound..<space), name: text(name), position: position(range.lowerBound),
                entries: []))
    }

    private mutating func entry(_ range: Range<Int>) {
        guard let equals = range.first(where: { bytes[$0] == UInt8(ascii: "=") }) else {
            return report(range.lowerBound, "expected 'key = value' or a heading in brackets")
        }
        let key = trimmed(range.lowerBound..<equals)
        guard !key.isEmpty else { return report(range.lowerBound, "a key is missing before '='") }
        guard !document.sections.isEmpty else {
            return report(range.lowerBound, "'\(text(key))' stands before the first heading")
        }
        let value = trimmed((equals + 1)..<range.upperBound)
        document.add(
            ConfigurationDocument.Entry(
                key: text(key), value: text(value), keyPosition: position(key.lowerBound),
                valuePosition: position(value.isEmpty ? equals + 1 : value.lowerBound)))
    }
}
