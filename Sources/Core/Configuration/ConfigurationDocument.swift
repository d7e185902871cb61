// The syntax of `cluster.conf`: sections of `key = value` lines, every piece with its position.

/// What is wrong in a configuration, and where.
public struct ConfigurationProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file, as it was named.
    public let file: String
    /// From 1.
    public let line: Int
    /// From 1, in characters.
    public let column: Int
    /// What was found and what was expected.
    public let message: String

    /// A problem at a place.
    public init(file: String, line: Int, column: Int, message: String) {
        self.file = file
        self.line = line
        self.column = column
        self.message = message
    }

    /// `file:line:column: message`.
    public var description: String { "\(file):\(line):\(column): \(message)" }
}

/// A place in a configuration file.
public struct ConfigurationPosition: Hashable, Sendable {
    /// From 1.
    public let line: Int
    /// From 1, in characters.
    public let column: Int
    /// A place.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}

/// A parsed file, before anything is known about its meaning.
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

    /// The largest file that is read.
    public static let sizeLimit = 4 << 20

    /// Reads a file's text; returns what could be understood, and every problem.
    public static func parse(_ text: String, file: String) -> (ConfigurationDocument, [ConfigurationProblem]) {
        var document = ConfigurationDocument(file: file)
        var problems: [ConfigurationProblem] = []
        guard text.utf8.count <= sizeLimit else {
            return (document, [document.problem(1, 1, "the file is larger than 4 MiB")])
        }
        var number = 0
        for raw in text.split(separator: "\n", omittingEmptySubsequences: false) {
            number += 1
            let line = withoutComment(raw.hasSuffix("\r") ? raw.dropLast() : raw)
            guard let first = line.firstIndex(where: { !$0.isWhitespace }) else { continue }
            let column = line.distance(from: line.startIndex, to: first) + 1
            if line[first] == "[" {
                document.heading(line[first...], number, column, &problems)
            } else {
                document.entry(line, number, column, &problems)
            }
        }
        return (document, problems)
    }

    /// A comment begins at a `#` that stands first or behind a blank.
    private static func withoutComment(_ line: Substring) -> Substring {
        var previous: Character = " "
        for index in line.indices {
            if line[index] == "#", previous.isWhitespace { return trimmed(line[..<index]) }
            previous = line[index]
        }
        return trimmed(line)
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    private mutating func heading(
        _ text: Substring, _ line: Int, _ column: Int, _ problems: inout [ConfigurationProblem]
    ) {
        guard text.hasSuffix("]") else {
            problems.append(problem(line, column, "a heading ends with ']'"))
            return
        }
        let words = text.dropFirst().dropLast().split(separator: " ", maxSplits: 1)
        guard let kind = words.first, words.count == 2 else {
            problems.append(problem(line, column, "expected a heading such as [provider openai]"))
            return
        }
        let name = String(words[1].drop { $0 == " " })
        let position = ConfigurationPosition(line: line, column: column)
        sections.append(Section(kind: String(kind), name: name, position: position, entries: []))
    }

    private mutating func entry(
        _ line: Substring, _ number: Int, _ column: Int, _ problems: inout [ConfigurationProblem]
    ) {
        guard let equals = line.firstIndex(of: "=") else {
            problems.append(problem(number, column, "expected 'key = value' or a heading in brackets"))
            return
        }
        let key = ConfigurationDocument.trimmed(line[..<equals]).drop { $0.isWhitespace }
        let value = line[line.index(after: equals)...].drop { $0.isWhitespace }
        guard !key.isEmpty else { return problems.append(problem(number, column, "a key is missing before '='")) }
        guard !sections.isEmpty else {
            return problems.append(problem(number, column, "'\(key)' stands before the first heading"))
        }
        let valueColumn = line.distance(from: line.startIndex, to: value.startIndex) + 1
        sections[sections.count - 1].entries.append(
            Entry(
                key: String(key), value: String(value),
                keyPosition: ConfigurationPosition(line: number, column: column),
                valuePosition: ConfigurationPosition(line: number, column: valueColumn)))
    }

    private func problem(_ line: Int, _ column: Int, _ message: String) -> ConfigurationProblem {
        ConfigurationProblem(file: file, line: line, column: column, message: message)
    }
}
