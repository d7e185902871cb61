// Writes the body of a chat or embeddings request.

public import Core

/// Builds a body item by item, in the order of the calls. What it writes is checked where it is read.
public struct ChatBodyWriter: ~Copyable {
    private var buffer: ByteBuffer

    /// An empty body, in `buffer`'s memory when one is given.
    public init(into buffer: consuming ByteBuffer = ByteBuffer()) {
        self.buffer = buffer
        self.buffer.removeAll()
    }

    /// The body so far.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get { buffer.bytes }
    }

    /// Bytes so far.
    public var count: Int { buffer.count }

    /// Gives the buffer back.
    public consuming func finish() -> ByteBuffer { buffer }

    private mutating func item(_ tag: UInt8, _ length: Int) {
        buffer.append(tag)
        buffer.append(varint: length)
    }

    private mutating func item(_ tag: UInt8, _ text: String) {
        item(tag, text.utf8.count)
        buffer.append(text)
    }

    /// Texts with a varint length each, then the rest.
    private mutating func item(_ tag: UInt8, prefix: Int = 0, _ heads: [String], rest: RawSpan) {
        var length = prefix + rest.byteCount
        for head in heads { length += head.utf8.count + Self.varintSize(head.utf8.count) }
        item(tag, length)
        for head in heads {
            buffer.append(varint: head.utf8.count)
            buffer.append(head)
        }
        buffer.append(rest)
    }

    private static func varintSize(_ value: Int) -> Int {
        var size = 1
        var rest = value >> 7
        while rest > 0 {
            size += 1
            rest >>= 7
        }
        return size
    }

    /// A message that is one text.
    public mutating func message(_ role: ChatRole, _ text: String) { item(ChatTag.textMessage + role.rawValue, text) }

    /// A message that is one text, as bytes.
    public mutating func message(_ role: ChatRole, bytes: RawSpan) {
        item(ChatTag.textMessage + role.rawValue, bytes.byteCount)
        buffer.append(bytes)
    }

    /// A message whose parts follow.
    public mutating func beginMessage(_ role: ChatRole) { item(ChatTag.message + role.rawValue, 0) }

    /// Who speaks, in the message that was begun.
    public mutating func name(_ name: String) { item(ChatTag.name, name) }

    /// Text.
    public mutating func text(_ text: String) { item(ChatTag.text, text) }

    /// An image by its address.
    public mutating func imageURL(_ url: String, detail: ImageDetail = .auto) {
        item(ChatTag.imageURL, 1 + url.utf8.count)
        buffer.append(detail.rawValue)
        buffer.append(url)
    }

    /// An image itself.
    public mutating func image(mediaType: String, bytes: [UInt8]) {
        item(ChatTag.image, [mediaType], rest: bytes.span.raw)
    }

    /// Sound itself.
    public mutating func audio(format: String, bytes: [UInt8]) { item(ChatTag.audio, [format], rest: bytes.span.raw) }

    /// A file itself.
    public mutating func file(name: String, mediaType: String, bytes: [UInt8]) {
        item(ChatTag.file, [name, mediaType], rest: bytes.span.raw)
    }

    /// A call that the model made.
    public mutating func toolCall(id: String, name: String, arguments: String) {
        item(ChatTag.toolCall, [id, name], rest: Array(arguments.utf8).span.raw)
    }

    /// What a tool answered.
    public mutating func toolResult(callID: String, content: String) {
        item(ChatTag.toolResult, [callID], rest: Array(content.utf8).span.raw)
    }

    /// A refusal that the model gave.
    public mutating func refusal(_ text: String) { item(ChatTag.refusal, text) }

    /// Thinking that the model gave.
    public mutating func reasoning(_ text: String, signature: String = "") {
        item(ChatTag.reasoning, [signature], rest: Array(text.utf8).span.raw)
    }

    /// A tool that may be called.
    public mutating func tool(name: String, description: String = "", strict: Bool? = nil, schema: String) {
        let head = [name, description]
        var length = 1 + schema.utf8.count
        for text in head { length += text.utf8.count + Self.varintSize(text.utf8.count) }
        item(ChatTag.tool, length)
        let flag: UInt8 =
            switch strict {
            case nil: 0
            case false?: 1
            case true?: 2
            }
        buffer.append(flag)
        for text in head {
            buffer.append(varint: text.utf8.count)
            buffer.append(text)
        }
        buffer.append(schema)
    }

    /// A parameter that travels as text.
    public mutating func parameter(_ parameter: ChatParameter, _ text: String) { item(parameter.rawValue, text) }

    /// A stop sequence.
    public mutating func stop(_ text: String) { item(ChatTag.stop, text) }

    /// For repeatable answers.
    public mutating func seed(_ seed: Int64) {
        item(ChatTag.seed, 8)
        buffer.append(integer: seed)
    }

    /// Answers wanted.
    public mutating func choices(_ count: Int) { small(ChatTag.choices, UInt8(clamping: count)) }

    /// Whether several tools may be called at once.
    public mutating func parallelToolCalls(_ flag: Bool) { small(ChatTag.parallelToolCalls, flag ? 1 : 0) }

    /// Whether log probabilities are wanted.
    public mutating func logProbabilities(_ flag: Bool) { small(ChatTag.logProbabilities, flag ? 1 : 0) }

    /// Alternatives per position.
    public mutating func topLogProbabilities(_ count: Int) {
        small(ChatTag.topLogProbabilities, UInt8(clamping: count))
    }

    private mutating func small(_ tag: UInt8, _ value: UInt8) {
        item(tag, 1)
        buffer.append(value)
    }

    /// Whether a tool must be called.
    public mutating func toolChoice(_ choice: ToolChoice, name: String = "") {
        item(ChatTag.toolChoice, 1 + name.utf8.count)
        buffer.append(choice.rawValue)
        buffer.append(name)
    }

    /// A pair for the provider's records.
    public mutating func metadata(_ key: String, _ value: String) {
        item(ChatTag.metadata, [key], rest: Array(value.utf8).span.raw)
    }

    /// Members for one provider's request.
    public mutating func passthrough(provider: String, json: String) {
        item(ChatTag.passthrough, [provider], rest: Array(json.utf8).span.raw)
    }

    // MARK: Embeddings

    /// One text to be turned into a vector.
    public mutating func input(_ text: String) { item(ChatTag.input, text) }

    /// How long the vectors shall be.
    public mutating func dimensions(_ count: UInt32) {
        item(ChatTag.dimensions, 4)
        buffer.append(integer: count)
    }
}
