// A metric's name, checked once where it is written down.

/// A metric name in the form that Prometheus accepts: `[a-zA-Z_:][a-zA-Z0-9_:]*`. Written as a literal, checked when made.
public struct MetricName: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The name as it stands on the page.
    public let description: String

    /// A name from a literal.
    ///
    /// - Precondition: the literal is a valid metric name.
    public init(stringLiteral value: StaticString) {
        let text = value.description
        precondition(MetricName.isValid(text), "a metric name consists of letters, digits, '_' and ':'")
        description = text
    }

    /// A name from text that is not known at build time; nil when Prometheus would reject it.
    public init?(_ text: String) {
        guard MetricName.isValid(text) else { return nil }
        description = text
    }

    /// True for `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    public static func isValid(_ text: String) -> Bool {
        isWord(text, allowingColon: true)
    }

    /// True for a label name that an exporter may use: `[a-zA-Z_][a-zA-Z0-9_]*`, and not reserved (`__…`, `le`).
    public static func isValidLabel(_ text: String) -> Bool {
        isWord(text, allowingColon: false) && !text.hasPrefix("__") && text != "le"
    }

    private static func isWord(_ text: String, allowingColon: Bool) -> Bool {
        var isFirst = true
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): break
            case UInt8(ascii: "0")...UInt8(ascii: "9"): if isFirst { return false }
            case UInt8(ascii: ":"): if !allowingColon { return false }
            default: return false
            }
            isFirst = false
        }
        return !isFirst
    }
}

/// Names from OpenTelemetry's semantic conventions for generative AI, in the form Prometheus gives them.
extension MetricName {
    /// From a request's arrival to the end of its answer, in seconds, at the server.
    public static let requestDuration: MetricName = "gen_ai_server_request_duration_seconds"
    /// Time from the request's arrival to the first piece of the answer, in seconds.
    public static let timeToFirstToken: MetricName = "gen_ai_server_time_to_first_token_seconds"
}

/// Label names from OpenTelemetry's semantic conventions for generative AI.
public enum GenAILabel {
    /// `chat`, `embeddings`, …
    public static let operation = "gen_ai_operation_name"
    /// `openai`, `anthropic`, …
    public static let provider = "gen_ai_provider_name"
    /// The model that was asked for.
    public static let requestModel = "gen_ai_request_model"
}
