// What an OpenAI-style error body means.
import Core

enum OpenAIErrorReader {
    /// Classifies an error response by its status and body; a body that is not JSON is judged by the status alone.
    static func classify(status: Int, body: [UInt8]) -> ProviderFailure {
        guard let value = try? JSONValue.parse(body, limits: JSONLimits(depth: 32, size: 1 << 20)) else {
            return ProviderFailure(classify(status, nil, nil, ""), status: status)
        }
        // Some servers have no wrapper, some send a list of one.
        let error = value["error"] ?? value.elements?.first?["error"] ?? value
        return failure(status: status, error)
    }

    /// Classifies the `error` member of a body or of a stream's event.
    static func failure(status: Int, _ error: JSONValue) -> ProviderFailure {
        // Mistral lists what is wrong inside the message; the first entry names the kind.
        let detail = error["message"]?["detail"]?.elements?.first?["type"]?.text
        let type = detail ?? error["type"]?.text ?? error["status"]?.text
        let code = error["code"]?.text ?? error["code"]?.integer.map(String.init)
        // Within a stream the status is 200; then a numeric code stands for it.
        let effective = status == 200 ? Int(error["code"]?.integer ?? 0) : status
        let message = error["message"]?.text ?? error.text ?? ""
        var failure = ProviderFailure(classify(effective, type, code, message), status: status)
        failure.type = type.map { $0.cut(to: 64) }
        failure.code = code.map { $0.cut(to: 64) }
        return failure
    }

    private static let billing: Set<String> = [
        "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded", "organization_usage_limit_exceeded",
    ]

    private static func classify(_ status: Int, _ type: String?, _ code: String?, _ message: String) -> FailureClass {
        let word = byWord(type ?? "", code ?? "", message)
        // `server_error` stands beside each status from 500 on; the status says more.
        if let word, !(word == .serverError && status >= 498) { return word }
        switch status {
        case 401: return .authentication
        case 402: return .quotaExhausted
        case 403: return .permissionDenied
        case 404: return .notFound
        case 408, 504: return .timeout
        case 413: return .payloadTooLarge
        case 429: return .rateLimited
        case 498, 503, 529: return .overloaded
        case 424: return .serverError
        case 400..<500: return .invalidRequest
        // A redirect or a success without an answer: whoever speaks there is no chat completions API.
        case 201..<400: return .protocolError
        default: return .serverError
        }
    }

    private static func byWord(_ type: String, _ code: String, _ message: String) -> FailureClass? {
        if billing.contains(code) || billing.contains(type) { return .quotaExhausted }
        switch code {
        case "context_length_exceeded": return .contextLengthExceeded
        case "unsupported_parameter", "unsupported_value": return .unsupportedParameter
        case "content_filter": return .contentFiltered
        case "tool_use_failed": return .modelOutputError
        case "rate_limit_exceeded", "slow_down": return .rateLimited
        case "server_is_overloaded", "capacity_exceeded": return .overloaded
        default: break
        }
        switch type {
        case "exceed_context_size_error": return .contextLengthExceeded
        case "extra_forbidden": return .unsupportedParameter
        case "unavailable_error", "service_unavailable_error", "overloaded_error": return .overloaded
        case "rate_limit_error", "rate_limit_exceeded": return .rateLimited
        case "server_error": return .serverError
        default: break
        }
        let text = message.lowercased()
        if text.contains("maximum context length") || text.contains("context window") { return .contextLengthExceeded }
        if text.hasPrefix("function tools with reasoning_effort are not supported") { return .unsupportedParameter }
        return nil
    }
}
