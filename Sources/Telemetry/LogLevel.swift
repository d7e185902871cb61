// How much a log line matters.

/// How much a log line matters, in ascending order.
public enum LogLevel: UInt8, Comparable, Sendable, CaseIterable {
    /// For someone who follows one request closely.
    case debug
    /// What happened in normal service.
    case info
    /// Something an operator should look at in working hours.
    case warning
    /// Something that failed and needs an operator.
    case error

    /// The level with this name; nil for any other text.
    public init?(name: String) {
        guard let level = LogLevel.allCases.first(where: { $0.name.description == name }) else { return nil }
        self = level
    }

    /// The name that stands in the log line.
    public var name: StaticString {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
    }

    /// Less important first.
    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}
