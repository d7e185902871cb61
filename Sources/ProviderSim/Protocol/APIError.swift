// Refusals in OpenAI's error format.
import Core

/// A refusal: status and the `error` object of the body.
struct APIError: Error, Equatable, Sendable {
    let status: Int
    let message: String
    let type: String
    var parameter: String?
    var code: String?

    /// The caller's request is wrong.
    static func invalid(_ message: String, parameter: String? = nil, code: String? = nil) -> APIError {
        APIError(status: 400, message: message, type: "invalid_request_error", parameter: parameter, code: code)
    }

    /// The key is missing or unknown.
    static let unauthorized = APIError(
        status: 401, message: "Incorrect API key provided.", type: "invalid_request_error", code: "invalid_api_key")

    /// No such path.
    static func unknownPath(_ method: String, _ path: String) -> APIError {
        APIError(status: 404, message: "Invalid URL (\(method) \(path))", type: "invalid_request_error")
    }

    /// No such model.
    static func unknownModel(_ model: String) -> APIError {
        APIError(
            status: 404, message: "The model `\(model)` does not exist or you do not have access to it.",
            type: "invalid_request_error", code: "model_not_found")
    }

    /// Money, not rate: waiting does not help.
    static let quota = APIError(
        status: 429, message: "You exceeded your current quota, please check your plan and billing details.",
        type: "insufficient_quota", code: "insufficient_quota")

    /// What a stream says whose server has too much to do.
    static let overloaded = simulated(503)

    /// The error that a simulated status comes with.
    static func simulated(_ status: Int) -> APIError {
        let message = "Simulated error \(status)."
        return switch status {
        case 400: .invalid(message, code: "invalid_type")
        case 401: .unauthorized
        case 403: APIError(status: 403, message: message, type: "permission_error", code: "unsupported_country")
        case 404: .unknownModel("simulated")
        case 429: APIError(status: 429, message: message, type: "requests", code: "rate_limit_exceeded")
        case 503:
            APIError(status: 503, message: message, type: "service_unavailable_error", code: "server_is_overloaded")
        case 500...599: APIError(status: status, message: message, type: "server_error")
        default: APIError(status: status, message: message, type: "invalid_request_error")
        }
    }

    /// Appends `{"error":{…}}`.
    func write(into buffer: inout ByteBuffer) {
        buffer.append(literal: "{\"error\":{\"message\":\"")
        APIError.append(escaping: message, to: &buffer)
        buffer.append(literal: "\",\"type\":\"")
        APIError.append(escaping: type, to: &buffer)
        buffer.append(literal: "\",\"param\":")
        APIError.append(optional: parameter, to: &buffer)
        buffer.append(literal: ",\"code\":")
        APIError.append(optional: code, to: &buffer)
        buffer.append(literal: "}}")
    }

    private static func append(optional text: String?, to buffer: inout ByteBuffer) {
        guard let text else { return buffer.append(literal: "null") }
        buffer.append(UInt8(ascii: "\""))
        append(escaping: text, to: &buffer)
        buffer.append(UInt8(ascii: "\""))
    }

    /// Appends text as the inside of a JSON string.
    static func append(escaping text: String, to buffer: inout ByteBuffer) {
        JSONWriter.escape(text.utf8Span.span.raw, &buffer)
    }
}
