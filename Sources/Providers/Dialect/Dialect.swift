// What a provider speaks: how it is asked, how its answers and its errors are read, how it is probed.
import Core
import HTTP
import Policy
import Wire

/// One provider's dialect, with its address and its credentials. All that differs between providers' APIs is behind it, or in the `AnswerReader` that
/// it names: what drives a call knows none of them.
///
/// A dialect is asked a few times a request. What comes for each piece of an answer is `AnswerReader`'s, which is no protocol.
protocol Dialect: AnyObject, Sendable {
    /// Appends the JSON of a request and returns what it can use at most.
    ///
    /// - Throws: `BodyError` for a body that breaks the protocol; `json` then holds a part that must be dropped.
    func write(_ body: RawSpan, _ terms: RequestTerms, into json: inout ByteBuffer) throws(BodyError) -> AnswerBounds

    /// Appends the request line and all header lines but Content-Length, each ended by CRLF. The body is there already, for dialects that sign it.
    func writeHead(
        _ terms: RequestTerms, body: RawSpan, wallClockMicroseconds: Int64, into head: inout ByteBuffer)

    /// About how many bytes `writeHead` writes.
    var headBytes: Int { get }

    /// Reads an answer of its.
    func reader() -> AnswerReader

    /// False when a stream's usage was not asked for, so that nobody has to wait for it.
    var tellsUsage: Bool { get }

    /// What an answer that is an error means.
    func failure(status: Int, body: [UInt8]) -> ProviderFailure

    /// The provider's name for a request; `bytes` are those of the head.
    func requestID(_ head: HTTPResponseHead, in bytes: RawSpan) -> String?

    /// Appends a probe's request, head and body.
    func writeProbe(
        _ call: ProbeSetting.Call, wallClockMicroseconds: Int64, head: inout ByteBuffer, body: inout ByteBuffer)

    /// What the answer to a probe says.
    func judge(_ call: ProbeSetting.Call, status: Int, body: [UInt8]) -> ProbeResult
}

/// What a request asks of its target, beside what its body says.
public struct RequestTerms: Sendable {
    /// The model as the provider names it.
    public let model: String
    /// Whether deltas are wanted as they come.
    public let isStream: Bool
    /// Output limit in tokens; 0 for none.
    public let maximumOutputTokens: UInt32

    /// Terms of one request.
    public init(model: String, isStream: Bool, maximumOutputTokens: UInt32 = 0) {
        self.model = model
        self.isStream = isStream
        self.maximumOutputTokens = maximumOutputTokens
    }
}

extension ProviderRecord {
    /// The dialect that it names. The one place that knows all of them.
    func dialect(_ address: BaseURL, _ apiKey: Secret?) -> any Dialect {
        switch kind {
        case .openai: OpenAIDialect(self, address, apiKey)
        }
    }
}

/// Members that clients add to their requests for one provider.
public enum Passthrough {
    /// Looks through the members that a body adds for providers that there are, before anything is reserved or sent.
    ///
    /// - Throws: `BodyError` for a body that breaks the protocol, a member that the provider's section does not list, one that stands twice, or one
    ///   that the request has an item of its own for.
    public static func check(_ body: RawSpan, provider: (String) -> ProviderRecord?) throws(BodyError) {
        var reader = ChatBodyReader(body)
        var items: [ChatItem] = []
        var names: Set<String> = []
        while let item = try reader.next() {
            switch item {
            case .passthrough(let name, _): names.insert(body.string(name.range))
            // Conversations are long, and no member is named for them.
            case .message, .name, .text, .imageURL, .image, .audio, .file, .toolCall, .toolResult, .refusal,
                .reasoning:
                continue
            case .tool, .parameter, .stop, .seed, .choices, .parallelToolCalls, .logProbabilities,
                .topLogProbabilities, .toolChoice, .metadata:
                break
            }
            items.append(item)
        }
        for name in names {
            guard let record = provider(name) else { continue }
            switch record.kind {
            case .openai: _ = try OpenAIChatRequest.passed(items, for: name, record.passthrough, body)
            }
        }
    }
}
