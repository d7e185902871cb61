// What the body of a chat request is made of.

public import Core

/// Who speaks.
public enum ChatRole: UInt8, Sendable, CaseIterable {
    /// The operator's rules.
    case system = 0
    /// The application's rules.
    case developer = 1
    /// The person.
    case user = 2
    /// The model.
    case assistant = 3
    /// A tool's answer.
    case tool = 4
}

/// How closely a model should look at an image.
public enum ImageDetail: UInt8, Sendable, CaseIterable {
    /// The provider decides.
    case auto = 0
    /// Small.
    case low = 1
    /// Large.
    case high = 2
}

/// Whether the model must call a tool.
public enum ToolChoice: UInt8, Sendable, CaseIterable {
    /// It decides.
    case auto = 0
    /// It must not.
    case none = 1
    /// It must call one.
    case required = 2
    /// It must call the one that is named.
    case named = 3
}

/// Parameters that travel as text: decimals exactly as the caller wrote them, JSON untouched.
public enum ChatParameter: UInt8, Sendable, CaseIterable {
    /// A decimal.
    case temperature = 0x50
    /// A decimal.
    case topP = 0x51
    /// A decimal.
    case presencePenalty = 0x52
    /// A decimal.
    case frequencyPenalty = 0x53
    /// A word such as `low`.
    case reasoningEffort = 0x54
    /// An opaque name of the end user.
    case user = 0x55
    /// A JSON object.
    case responseFormat = 0x56
    /// A JSON object.
    case logitBias = 0x57

    enum Content { case decimal, word, object }

    var content: Content {
        switch self {
        case .temperature, .topP, .presencePenalty, .frequencyPenalty: .decimal
        case .reasoningEffort, .user: .word
        case .responseFormat, .logitBias: .object
        }
    }
}

/// One item of a chat body. Slices lie in the body, or in the buffer that the reader was told of.
public enum ChatItem: Equatable, Sendable {
    /// A message begins; its parts follow.
    case message(ChatRole)
    /// The name of whoever speaks.
    case name(ByteSlice)
    /// Text of the message.
    case text(ByteSlice)
    /// An image by its address.
    case imageURL(ByteSlice, detail: ImageDetail)
    /// An image itself.
    case image(mediaType: ByteSlice, bytes: ByteSlice)
    /// Sound itself.
    case audio(format: ByteSlice, bytes: ByteSlice)
    /// A file itself.
    case file(name: ByteSlice, mediaType: ByteSlice, bytes: ByteSlice)
    /// A call that the model made; the arguments are the string as it came, JSON or not.
    case toolCall(id: ByteSlice, name: ByteSlice, arguments: ByteSlice)
    /// What a tool answered.
    case toolResult(callID: ByteSlice, content: ByteSlice)
    /// A refusal that the model gave.
    case refusal(ByteSlice)
    /// Thinking that the model gave, with the provider's signature over it, which may be empty.
    case reasoning(signature: ByteSlice, text: ByteSlice)
    /// A tool that may be called; the schema is a JSON object as it came.
    case tool(name: ByteSlice, description: ByteSlice, strict: Bool?, schema: ByteSlice)
    /// A parameter that travels as text.
    case parameter(ChatParameter, ByteSlice)
    /// A stop sequence.
    case stop(ByteSlice)
    /// For repeatable answers.
    case seed(Int64)
    /// Answers wanted, 1…16.
    case choices(Int)
    /// Whether several tools may be called at once.
    case parallelToolCalls(Bool)
    /// Whether log probabilities are wanted.
    case logProbabilities(Bool)
    /// Alternatives per position, 0…20.
    case topLogProbabilities(Int)
    /// Whether a tool must be called; the name with `named` only.
    case toolChoice(ToolChoice, name: ByteSlice)
    /// A pair for the provider's records.
    case metadata(key: ByteSlice, value: ByteSlice)
    /// Members for one provider's request, a JSON object as it came.
    case passthrough(provider: ByteSlice, json: ByteSlice)
}

/// The numbers of items. Below 0x80 an item must be understood; the rest may be skipped.
enum ChatTag {
    /// + role: a message that is one text.
    static let textMessage: UInt8 = 0x10
    /// + role: a message whose parts follow.
    static let message: UInt8 = 0x20
    static let name: UInt8 = 0x30
    static let text: UInt8 = 0x31
    static let imageURL: UInt8 = 0x32
    static let image: UInt8 = 0x33
    static let audio: UInt8 = 0x34
    static let file: UInt8 = 0x35
    static let toolCall: UInt8 = 0x36
    static let toolResult: UInt8 = 0x37
    static let refusal: UInt8 = 0x38
    static let reasoning: UInt8 = 0x39
    static let tool: UInt8 = 0x40
    // 0x50…0x57: ChatParameter.
    static let stop: UInt8 = 0x58
    static let seed: UInt8 = 0x59
    static let choices: UInt8 = 0x5A
    static let parallelToolCalls: UInt8 = 0x5B
    static let logProbabilities: UInt8 = 0x5C
    static let topLogProbabilities: UInt8 = 0x5D
    static let toolChoice: UInt8 = 0x5E
    static let metadata: UInt8 = 0x5F
    static let passthrough: UInt8 = 0x60
    /// An embeddings body: one text to be turned into a vector.
    static let input: UInt8 = 0x70
    /// An embeddings body: how long the vectors shall be.
    static let dimensions: UInt8 = 0x71
}

/// What is wrong with a body: an answer to the client, never the end of its connection.
public struct BodyError: Error, Equatable, Sendable, CustomStringConvertible {
    /// `invalidRequest` or `tooLarge`.
    public let code: ErrorCode
    /// Offset of the item in the body.
    public let offset: Int
    /// The field, as people know it: `messages`, `tools[].schema`.
    public let field: StaticString
    /// What was expected.
    public let expected: String

    /// An error in the item at `offset` of the body.
    public init(_ code: ErrorCode, at offset: Int, _ field: StaticString, _ expected: String) {
        self.code = code
        self.offset = offset
        self.field = field
        self.expected = expected
    }

    /// Where and what was expected.
    public var description: String { "\(field) (body byte \(offset)): expected \(expected)" }

    /// Equal in code, place and field.
    public static func == (left: BodyError, right: BodyError) -> Bool {
        left.code == right.code && left.offset == right.offset && left.field.description == right.field.description
    }

    /// The terminal frame that tells the client.
    public var streamError: StreamError { StreamError(code: code, text: description, field: field.description) }
}
