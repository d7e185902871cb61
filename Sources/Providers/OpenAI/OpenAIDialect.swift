// OpenAI's Chat Completions API, and servers compatible with it.
import Core
import HTTP
import Policy
import Wire

/// One provider that speaks it.
final class OpenAIDialect: Dialect {
    private let server: OpenAIServer
    /// Request line and constant headers of a chat request, and of a request for the list of models.
    private let chatHead: [UInt8]
    private let modelsHead: [UInt8]

    init(_ record: ProviderRecord, _ address: BaseURL, _ apiKey: Secret?) {
        server = OpenAIServer(record)
        chatHead = OpenAIDialect.head(
            "POST \(address.path)/chat/completions\(address.query)", address, apiKey, hasBody: true)
        modelsHead = OpenAIDialect.head("GET \(address.path)/models\(address.query)", address, apiKey, hasBody: false)
    }

    private static func head(_ line: String, _ address: BaseURL, _ apiKey: Secret?, hasBody: Bool) -> [UInt8] {
        var head = ByteBuffer()
        head.append("\(line) HTTP/1.1\r\nHost: \(address.authority)\r\n")
        if let apiKey {
            head.append(literal: "Authorization: Bearer ")
            apiKey.withBytes { head.append($0) }
            head.append(literal: "\r\n")
        }
        if hasBody { head.append(literal: "Content-Type: application/json\r\n") }
        head.append(literal: "Accept-Encoding: identity\r\nUser-Agent: sluice/1\r\n")
        return head.array()
    }

    // MARK: - Requests and answers

    func write(_ body: RawSpan, _ terms: RequestTerms, into json: inout ByteBuffer) throws(BodyError) -> AnswerBounds {
        try OpenAIChatRequest(terms, server).write(body, into: &json)
    }

    func writeHead(
        _ terms: RequestTerms, body: RawSpan, wallClockMicroseconds: Int64, into head: inout ByteBuffer
    ) { head.append(chatHead) }

    var headBytes: Int { chatHead.count }

    func reader() -> AnswerReader { .openAI(OpenAIAnswerReader()) }

    var tellsUsage: Bool { server.streamOptions != .none }

    func failure(status: Int, body: [UInt8]) -> ProviderFailure {
        OpenAIErrorReader.classify(status: status, body: body)
    }

    /// OpenAI's name for it, Azure's two, OpenRouter's.
    func requestID(_ head: HTTPResponseHead, in bytes: RawSpan) -> String? {
        head.value(of: "x-request-id", in: bytes) ?? head.value(of: "apim-request-id", in: bytes)
            ?? head.value(of: "x-ms-request-id", in: bytes) ?? head.value(of: "x-generation-id", in: bytes)
    }

    // MARK: - Probes

    func writeProbe(
        _ call: ProbeSetting.Call, wallClockMicroseconds: Int64, head: inout ByteBuffer, body: inout ByteBuffer
    ) {
        guard case .chat(let model) = call else { return head.append(modelsHead) }
        head.append(chatHead)
        // One token is enough to show that the model answers.
        let message = JSONValue.object([.init("role", .string("user")), .init("content", .string("Hi"))])
        let limit = server.usesLegacyLimitField ? "max_tokens" : "max_completion_tokens"
        JSONValue.object([
            .init("model", .string(model)), .init("messages", .array([message])), .init(limit, .integer(1)),
        ]).write(into: &body)
    }

    func judge(_ call: ProbeSetting.Call, status: Int, body: [UInt8]) -> ProbeResult {
        guard status != 200 else { return judge(call, body) }
        let failure = failure(status: status, body: body)
        switch failure.kind {
        // It is there, knows us, and has too much to do: that is no failure, and passes.
        case .rateLimited: return .up
        case .permissionDenied, .notFound, .invalidRequest:
            guard call == .models else { break }
            return .unknown("status \(status): it shows no list of models to this API key; probe with a chat instead")
        default: break
        }
        return .failing("\(failure.kind.rawValue), status \(status)")
    }

    private func judge(_ call: ProbeSetting.Call, _ body: [UInt8]) -> ProbeResult {
        guard case .chat = call else { return .up }
        guard let value = try? JSONValue.parse(body, limits: JSONLimits(depth: 32, size: ProbeCall.bodyLimit)) else {
            return .failing("the answer is no JSON")
        }
        return value["choices"]?.elements?.isEmpty == false ? .up : .failing("the answer has no choices")
    }
}
