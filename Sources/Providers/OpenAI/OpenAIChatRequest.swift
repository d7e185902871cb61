// Turns a chat body of the wire into the JSON that OpenAI's API takes; texts and schemas pass through as bytes.
import Core
import Policy
import Wire

/// What a server may be sent.
struct OpenAIServer: Sendable {
    /// True for servers that know only `max_tokens`.
    let usesLegacyLimitField: Bool
    let streamOptions: StreamOptions
    let userField: UserField
    let developerRole: DeveloperRole
    /// The provider's name, for passthrough members that are meant for it, and which of them pass.
    let provider: String
    let members: PassthroughMembers

    /// What a provider's section says.
    init(_ record: ProviderRecord) {
        usesLegacyLimitField = record.usesLegacyLimitField
        streamOptions = record.streamOptions
        userField = record.userField
        developerRole = record.developerRole
        provider = record.name
        members = record.passthrough
    }
}

/// Writes one request. Nothing is sent before the whole body proved to be sound.
struct OpenAIChatRequest {
    let terms: RequestTerms
    let server: OpenAIServer

    /// A request's fixed part.
    init(_ terms: RequestTerms, _ server: OpenAIServer) {
        self.terms = terms
        self.server = server
    }

    /// Appends the JSON of `body` to `output`, and returns what the request can use at most.
    ///
    /// - Throws: `BodyError` for a body that breaks the protocol; `output` then holds a part that must be dropped.
    @discardableResult
    func write(_ body: RawSpan, into output: inout ByteBuffer) throws(BodyError) -> AnswerBounds {
        let start = output.count
        var json = JSONWriter()
        json.beginObject(&output)
        json.key("model", &output)
        json.string(terms.model, &output)
        let (rest, attachments) = try messages(body, &json, &output)
        if terms.isStream {
            json.key("stream", &output)
            json.bool(true, &output)
            switch server.streamOptions {
            case .full:
                json.key("stream_options", &output)
                json.raw(#"{"include_usage":true,"include_obfuscation":false}"#, &output)
            case .usage:
                json.key("stream_options", &output)
                json.raw(#"{"include_usage":true}"#, &output)
            case .none: break
            }
        }
        if terms.maximumOutputTokens > 0 {
            json.key(server.usesLegacyLimitField ? "max_tokens" : "max_completion_tokens", &output)
            json.integer(terms.maximumOutputTokens, &output)
        }
        try parameters(rest, body, &json, &output)
        json.endObject(&output)
        let choices = rest.lazy.compactMap { if case .choices(let count) = $0 { Int(count) } else { nil } }.last
        return AnswerBounds(
            requestBytes: output.count - start, attachments: attachments, outputLimit: terms.maximumOutputTokens,
            choices: choices ?? 1)
    }

    // MARK: - Messages

    /// Writes the messages; returns everything else, in order, and how many images and files there are.
    private func messages(
        _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer
    ) throws(BodyError) -> (rest: [ChatItem], attachments: Int) {
        var attachments = 0
        var reader = ChatBodyReader(body)
        var rest: [ChatItem] = []
        var parts: [ChatItem] = []
        var role: ChatRole?
        json.key("messages", &output)
        json.beginArray(&output)
        while let item = try reader.next() {
            switch item {
            case .message(let next):
                if let role { message(role, parts, body, &json, &output) }
                role = next
                parts.removeAll(keepingCapacity: true)
            case .imageURL, .image, .audio, .file:
                attachments += 1
                parts.append(item)
            case .name, .text, .toolCall, .toolResult, .refusal, .reasoning: parts.append(item)
            case .tool, .parameter, .stop, .seed, .choices, .parallelToolCalls, .logProbabilities,
                .topLogProbabilities, .toolChoice, .metadata, .passthrough:
                rest.append(item)
            }
        }
        if let role { message(role, parts, body, &json, &output) }
        json.endArray(&output)
        return (rest, attachments)
    }

    private func message(
        _ role: ChatRole, _ parts: [ChatItem], _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer
    ) {
        // Each tool result is a message of its own here.
        var others: [ChatItem] = []
        for part in parts {
            if case .toolResult(let id, let content) = part {
                json.beginObject(&output)
                json.key("role", &output)
                json.string(literal: "tool", &output)
                text("tool_call_id", id, body, &json, &output)
                text("content", content, body, &json, &output)
                json.endObject(&output)
            } else if parts.count > 1 {
                others.append(part)
            }
        }
        if parts.count == 1 {
            if case .toolResult = parts[0] { return }
            others = parts
        }
        guard !others.isEmpty || role != .tool else { return }
        json.beginObject(&output)
        json.key("role", &output)
        json.string(literal: word(role), &output)
        content(others, body, &json, &output)
        calls(others, body, &json, &output)
        json.endObject(&output)
    }

    private func word(_ role: ChatRole) -> StaticString {
        switch role {
        case .system: "system"
        case .developer: server.developerRole == .system ? "system" : "developer"
        case .user: "user"
        case .assistant: "assistant"
        case .tool: "tool"
        }
    }

    private func content(
        _ parts: [ChatItem], _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer
    ) {
        var visible = 0
        for part in parts {
            switch part {
            case .text, .imageURL, .image, .audio, .file: visible += 1
            case .name(let name): text("name", name, body, &json, &output)
            case .refusal(let refusal): text("refusal", refusal, body, &json, &output)
            // Thinking has no place in this API's history.
            default: break
            }
        }
        if visible == 1, let only = parts.first(where: { if case .text = $0 { true } else { false } }),
            case .text(let slice) = only
        {
            return text("content", slice, body, &json, &output)
        }
        json.key("content", &output)
        guard visible > 0 else { return json.null(&output) }
        json.beginArray(&output)
        for part in parts { contentPart(part, body, &json, &output) }
        json.endArray(&output)
    }

    private func contentPart(
        _ part: ChatItem, _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer
    ) {
        switch part {
        case .text(let slice):
            begin("text", &json, &output)
            text("text", slice, body, &json, &output)
        case .imageURL(let url, let detail):
            begin("image_url", &json, &output)
            json.key("image_url", &output)
            json.beginObject(&output)
            text("url", url, body, &json, &output)
            if detail != .auto {
                json.key("detail", &output)
                json.string(literal: detail == .low ? "low" : "high", &output)
            }
            json.endObject(&output)
        case .image(let type, let bytes):
            begin("image_url", &json, &output)
            json.key("image_url", &output)
            json.beginObject(&output)
            json.key("url", &output)
            dataURL(type, bytes, body, &json, &output)
            json.endObject(&output)
        case .audio(let format, let bytes):
            begin("input_audio", &json, &output)
            json.key("input_audio", &output)
            json.beginObject(&output)
            json.key("data", &output)
            json.beginString(&output)
            Base64.append(body.extracting(bytes.range), to: &output)
            json.endString(&output)
            text("format", format, body, &json, &output)
            json.endObject(&output)
        case .file(let name, let type, let bytes):
            begin("file", &json, &output)
            json.key("file", &output)
            json.beginObject(&output)
            text("filename", name, body, &json, &output)
            json.key("file_data", &output)
            dataURL(type, bytes, body, &json, &output)
            json.endObject(&output)
        default: return
        }
        json.endObject(&output)
    }

    private func begin(_ type: StaticString, _ json: inout JSONWriter, _ output: inout ByteBuffer) {
        json.beginObject(&output)
        json.key("type", &output)
        json.string(literal: type, &output)
    }

    private func dataURL(
        _ type: ByteSlice, _ bytes: ByteSlice, _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer
    ) {
        json.beginString(&output)
        output.append(literal: "data:")
        JSONWriter.escape(body.extracting(type.range), &output)
        output.append(literal: ";base64,")
        Base64.append(body.extracting(bytes.range), to: &output)
        json.endString(&output)
    }

    private func calls(_ parts: [ChatItem], _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer) {
        var isOpen = false
        for case .toolCall(let id, let name, let arguments) in parts {
            if !isOpen {
                json.key("tool_calls", &output)
                json.beginArray(&output)
                isOpen = true
            }
            json.beginObject(&output)
            text("id", id, body, &json, &output)
            json.key("type", &output)
            json.string(literal: "function", &output)
            json.key("function", &output)
            json.beginObject(&output)
            text("name", name, body, &json, &output)
            // Clients send back what they were given; several providers refuse arguments that are no JSON.
            let given = body.extracting(arguments.range)
            let isBlank = (0..<given.byteCount).allSatisfy { given.byte(at: $0) <= 0x20 }
            json.key("arguments", &output)
            if isBlank { json.string(literal: "{}", &output) } else { json.string(given, &output) }
            json.endObject(&output)
            json.endObject(&output)
        }
        if isOpen { json.endArray(&output) }
    }

    private func text(
        _ key: StaticString, _ slice: ByteSlice, _ body: RawSpan, _ json: inout JSONWriter,
        _ output: inout ByteBuffer
    ) {
        json.key(key, &output)
        json.string(body.extracting(slice.range), &output)
    }
}

extension ByteSlice {
    /// The slice as a range of a span that begins where its buffer's storage does.
    var range: Range<Int> { start..<(start + count) }
}
