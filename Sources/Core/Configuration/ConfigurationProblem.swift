// What is wrong in a configuration, and where.

/// One mistake in a configuration file.
public struct ConfigurationProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file, as it was named.
    public let file: String
    /// From 1.
    public let line: Int
    /// From 1, in characters (Unicode scalars).
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
public struct ConfigurationPosition: Hashable, Comparable, Sendable {
    /// From 1.
    public let line: Int
    /// From 1, in characters (Unicode scalars).
    public let column: Int

    /// A place.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// Earlier or later in the file.
    public static func < (left: ConfigurationPosition, right: ConfigurationPosition) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }
}
