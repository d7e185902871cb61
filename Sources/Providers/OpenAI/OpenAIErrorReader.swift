// What an OpenAI-style error body means.
import Core
import HTTP

enum OpenAIErrorReader {
    /// Classifies an error response by its status and body; a body without an error that can be read is judged by the status alone.
    static func classify(status: Int, body: [UInt8]) -> ProviderFailure {
        guard let value = document(body) else {
            return ProviderFailure(page(status, body) ?? classify(status, nil, nil, ""), status: status)
        }
        // Some servers have no wrapper, some send a list of one.
        let error = value["error"] ?? value.elements?.first?["error"] ?? value
        return failure(status: status, error)
    }

    /// Classifies the `error` member of a body or of a stream's event.
    static func failure(status: Int, _ error: JSONValue) -> ProviderFailure {
        // Mistral lists what is wrong inside the message; the first entry names the kind.
        let detail = error["message"]?["detail"]?.elements?.first?["type"]?.text
        let type = word(detail) ?? word(error["type"]?.text) ?? word(error["status"]?.text)
        let code = word(error["code"]?.text) ?? error["code"]?.integer.map(String.init)
        // Within a success the error's own number is the status; some servers send it as a text.
        let number = code.flatMap(statusNumber) ?? error["status"]?.integer.map(Int.init(clamping:)) ?? 0
        let effective = (200..<300).contains(status) ? number : status
        let message = error["message"]?.text ?? error["detail"]?.text ?? error.text ?? ""
        var failure = ProviderFailure(classify(effective, type, code, message), status: status)
        failure.type = type.map { $0.cut(to: 64) }
        failure.code = code.map { $0.cut(to: 64) }
        return failure
    }

    /// True for the value of an `error` member that says something: null, false, an empty text and an empty object stand beside good answers.
    static func isError(_ value: JSONValue) -> Bool {
        switch value {
        case .null, .bool(false): false
        case .string(let text): !text.isEmpty
        case .object(let members): !members.isEmpty
        case .array(let elements): !elements.isEmpty
        case .bool, .number: true
        }
    }

    /// The JSON of a body, or of the first event where a server answers a request for a stream with one.
    private static func document(_ body: [UInt8]) -> JSONValue? {
        let limits = JSONLimits(depth: 32, size: 1 << 20)
        let start = body.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        if let value = try? JSONValue.parse(Array(body[start...]), limits: limits) { return value }
        var decoder = EventStreamDecoder()
        var found: JSONValue?
        // The empty line that ends the last event may be missing.
        let ended = body + Array("\n\n".utf8)
        try? decoder.decode(ended.span.raw) { event in
            found = try? JSONValue.parse(event.array(), limits: limits)
            return found == nil
        }
        return found
    }

    /// What a proxy's page means that speaks of our connection, and not of the request.
    private static func page(_ status: Int, _ body: [UInt8]) -> FailureClass? {
        guard status == 400 else { return nil }
        let text = String(decoding: body.prefix(4_096), as: UTF8.self)
        if text.contains("SSL certificate") { return .authentication }
        return text.contains("plain HTTP request was sent to HTTPS port") ? .protocolError : nil
    }

    /// LiteLLM writes Python's `None` for what it does not know.
    private static func word(_ text: String?) -> String? {
        guard let text, !text.isEmpty, text != "None", text != "null" else { return nil }
        return text
    }

    private static func statusNumber(_ code: String) -> Int? {
        guard code.utf8.count == 3, let number = Int(code), (300...599).contains(number) else { return nil }
        return number
    }

    private static func classify(_ status: Int, _ type: String?, _ code: String?, _ message: String) -> FailureClass {
        let word = OpenAIErrorWords.classify(type: type ?? "", code: code ?? "", message: message)
        // `server_error` stands beside each status from 500 on; the status says more.
        if let word, !(word == .serverError && status >= 498) { return word }
        switch status {
        case 401: return .authentication
        case 402: return .quotaExhausted
        case 403: return .permissionDenied
        // A wrong path, or an address that is not in use any more: the operator's concern, and another target may answer.
        case 404, 405, 410: return .notFound
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
}
