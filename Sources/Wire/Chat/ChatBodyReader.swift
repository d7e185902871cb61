// Reads the body of a chat request item by item, checking every length, count and text before it is handed out.

import Core

/// A pull reader over a whole chat body: no copies, no allocation.
///
/// What it hands out is safe to use: texts are UTF-8, decimals follow JSON's grammar, JSON is complete and nested at most 32 deep,
/// counts and sizes are within `BodyLimits`, and the order makes sense.
public struct ChatBodyReader: ~Escapable {
    let span: RawSpan
    let base: Int
    let limits: BodyLimits
    var cursor = 0
    var pendingText: ByteSlice?
    var counts = Counts()
    var isInMessage = false
    var seen: UInt64 = 0
    /// Offset of the item that is being read.
    var itemStart = 0

    struct Counts {
        var messages = 0
        var parts = 0
        var tools = 0
        var stops = 0
        var metadata = 0
        var passthroughs = 0
        var schemaBytes = 0
    }

    /// A reader of a whole body. `base` is added to the start of every slice: the body's own place in its buffer.
    @_lifetime(copy body)
    public init(_ body: RawSpan, base: Int = 0, limits: BodyLimits = .standard) {
        span = body
        self.base = base
        self.limits = limits
    }

    /// The next item; nil at the end. After an error the reader must not be asked again.
    @_lifetime(self: copy self)
    public mutating func next() throws(BodyError) -> ChatItem? {
        if let text = pendingText {
            pendingText = nil
            return .text(text)
        }
        while cursor < span.byteCount {
            itemStart = cursor
            let tag = span.byte(at: cursor)
            cursor += 1
            let length = try varint(end: span.byteCount)
            guard length <= span.byteCount - cursor else { throw invalid("body", "as many bytes as the item declares") }
            let end = cursor + length
            let item = try read(tag, end)
            guard cursor == end else { throw invalid("body", "an item that ends where its length says") }
            if let item { return item }
        }
        guard counts.messages > 0 else {
            itemStart = cursor
            throw invalid("messages", "at least one message")
        }
        return nil
    }

    @_lifetime(self: copy self)
    private mutating func read(_ tag: UInt8, _ end: Int) throws(BodyError) -> ChatItem? {
        switch tag {
        case 0x10...0x14: return try message(tag - ChatTag.textMessage, end, isText: true)
        case 0x20...0x24: return try message(tag - ChatTag.message, end, isText: false)
        case ChatTag.name...ChatTag.reasoning: return try part(tag, end)
        case ChatTag.tool: return try tool(end)
        case 0x50...0x57: return try parameter(tag, end)
        case ChatTag.stop...ChatTag.passthrough: return try setting(tag, end)
        case 0x80...:
            cursor = end
            return nil
        default: throw invalid("body", "an item that this version knows")
        }
    }

    @_lifetime(self: copy self)
    private mutating func message(_ role: UInt8, _ end: Int, isText: Bool) throws(BodyError) -> ChatItem? {
        guard let role = ChatRole(rawValue: role) else { throw invalid("messages[].role", "a role from 0 to 4") }
        counts.messages += 1
        guard counts.messages <= limits.messages else {
            throw tooMany("messages", "at most \(limits.messages) messages")
        }
        isInMessage = true
        if isText {
            try countPart()
            pendingText = try text("messages[].content", end)
        } else {
            guard cursor == end else { throw invalid("messages", "no bytes in the beginning of a message") }
        }
        return .message(role)
    }

    private mutating func countPart() throws(BodyError) {
        counts.parts += 1
        guard counts.parts <= limits.parts else { throw tooMany("messages[].content", "at most \(limits.parts) parts") }
    }

    @_lifetime(self: copy self)
    private mutating func part(_ tag: UInt8, _ end: Int) throws(BodyError) -> ChatItem? {
        guard isInMessage else { throw invalid("messages[].content", "a message before its parts") }
        try countPart()
        switch tag {
        case ChatTag.name: return .name(try name("messages[].name", end, 1...64))
        case ChatTag.text: return .text(try text("messages[].content", end))
        case ChatTag.imageURL:
            guard cursor < end, let detail = ImageDetail(rawValue: span.byte(at: cursor)) else {
                throw invalid("image_url.detail", "a detail from 0 to 2")
            }
            cursor += 1
            return .imageURL(try text("image_url.url", end, 1...Int.max), detail: detail)
        case ChatTag.image:
            let mediaType = try head("image", end, 1...64)
            return .image(mediaType: mediaType, bytes: rest(end))
        case ChatTag.audio:
            let format = try head("input_audio.format", end, 1...64)
            return .audio(format: format, bytes: rest(end))
        case ChatTag.file:
            let name = try head("file.filename", end, 0...255)
            let mediaType = try head("file", end, 1...64)
            return .file(name: name, mediaType: mediaType, bytes: rest(end))
        case ChatTag.toolCall:
            let id = try head("tool_calls[].id", end, 1...255)
            let name = try head("tool_calls[].function.name", end, 1...255)
            return .toolCall(id: id, name: name, arguments: try text("tool_calls[].function.arguments", end))
        case ChatTag.toolResult:
            let id = try head("tool_call_id", end, 1...255)
            return .toolResult(callID: id, content: try text("messages[].content", end))
        case ChatTag.refusal: return .refusal(try text("messages[].refusal", end))
        default:
            let signature = try head("messages[].reasoning", end, 0...16_384)
            return .reasoning(signature: signature, text: try text("messages[].reasoning", end))
        }
    }

    @_lifetime(self: copy self)
    private mutating func tool(_ end: Int) throws(BodyError) -> ChatItem? {
        isInMessage = false
        counts.tools += 1
        guard counts.tools <= limits.tools else { throw tooMany("tools", "at most \(limits.tools) tools") }
        guard cursor < end, span.byte(at: cursor) <= 2 else { throw invalid("tools[].strict", "0, 1 or 2") }
        let flag = span.byte(at: cursor)
        cursor += 1
        let name = try nameHead("tools[].function.name", end, 1...128)
        let description = try head("tools[].function.description", end, 0...16_384)
        let start = cursor
        let schema = try object("tools[].function.parameters", end, limit: limits.schemaBytes)
        counts.schemaBytes += end - start
        guard counts.schemaBytes <= limits.schemaBytesTogether else {
            throw tooMany("tools[].function.parameters", "at most \(limits.schemaBytesTogether) bytes of schemas")
        }
        return .tool(name: name, description: description, strict: flag == 0 ? nil : flag == 2, schema: schema)
    }

    @_lifetime(self: copy self)
    private mutating func parameter(_ tag: UInt8, _ end: Int) throws(BodyError) -> ChatItem? {
        try once(tag)
        guard let parameter = ChatParameter(rawValue: tag) else { throw invalid("body", "a parameter") }
        switch parameter.content {
        case .decimal: return .parameter(parameter, try decimal(parameter.field, end))
        case .word: return .parameter(parameter, try name(parameter.field, end, 1...256))
        case .object: return .parameter(parameter, try object(parameter.field, end, limit: limits.schemaBytes))
        }
    }

    @_lifetime(self: copy self)
    private mutating func setting(_ tag: UInt8, _ end: Int) throws(BodyError) -> ChatItem? {
        isInMessage = false
        switch tag {
        case ChatTag.stop:
            counts.stops += 1
            guard counts.stops <= limits.stops else { throw tooMany("stop", "at most \(limits.stops) stop sequences") }
            return .stop(try text("stop", end, 1...256))
        case ChatTag.metadata:
            counts.metadata += 1
            guard counts.metadata <= limits.metadata else {
                throw tooMany("metadata", "at most \(limits.metadata) pairs")
            }
            let key = try nameHead("metadata", end, 1...64)
            return .metadata(key: key, value: try text("metadata", end, 0...256))
        case ChatTag.passthrough:
            counts.passthroughs += 1
            guard counts.passthroughs <= limits.passthroughs else {
                throw tooMany("passthrough", "at most \(limits.passthroughs) providers")
            }
            let provider = try nameHead("passthrough.provider", end, 1...64)
            return .passthrough(
                provider: provider, json: try object("passthrough", end, limit: limits.schemaBytes))
        default: break
        }
        try once(tag)
        switch tag {
        case ChatTag.seed:
            guard end - cursor == 8 else { throw invalid("seed", "8 bytes") }
            let seed: Int64 = span.integer(at: cursor)
            cursor = end
            return .seed(seed)
        case ChatTag.choices: return .choices(try small("n", end, 1...ChatBodyOutline.mostChoices))
        case ChatTag.parallelToolCalls: return .parallelToolCalls(try small("parallel_tool_calls", end, 0...1) == 1)
        case ChatTag.logProbabilities: return .logProbabilities(try small("logprobs", end, 0...1) == 1)
        case ChatTag.topLogProbabilities: return .topLogProbabilities(try small("top_logprobs", end, 0...20))
        default:
            guard cursor < end, let choice = ToolChoice(rawValue: span.byte(at: cursor)) else {
                throw invalid("tool_choice", "a choice from 0 to 3")
            }
            cursor += 1
            let name = try text("tool_choice", end, choice == .named ? 1...128 : 0...0)
            return .toolChoice(choice, name: name)
        }
    }
}

extension ChatParameter {
    /// The field's name as people know it.
    var field: StaticString {
        switch self {
        case .temperature: "temperature"
        case .topP: "top_p"
        case .presencePenalty: "presence_penalty"
        case .frequencyPenalty: "frequency_penalty"
        case .reasoningEffort: "reasoning_effort"
        case .user: "user"
        case .responseFormat: "response_format"
        case .logitBias: "logit_bias"
        }
    }
}
