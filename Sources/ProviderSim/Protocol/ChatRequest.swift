// What the simulator reads out of a chat completion request.
import Core

/// The members of a chat completion request that change the answer. Ranges count from the start of the body.
struct ChatRequest: Equatable {
    var model = 0..<0
    var isStream = false
    var includesUsage = false
    var outputLimit: Int?
    /// The text of the last user message, or of its last text part.
    var prompt = 0..<0
    var inputTokens = 0

    private var hasMessages = false
    private var hasStreamOptions = false

    /// Reads a request's body.
    static func read(_ body: RawSpan) throws(APIError) -> ChatRequest {
        var request = ChatRequest()
        var reader = JSONReader(body)
        try reader.enterObject("the request")
        while let key = try reader.nextKey() { try request.readMember(key, &reader) }
        try reader.finish()
        guard !request.model.isEmpty else {
            throw .invalid("You must provide a model parameter.", parameter: "model")
        }
        guard request.hasMessages else {
            throw .invalid(
                "Missing required parameter: 'messages'.", parameter: "messages", code: "missing_required_parameter")
        }
        if request.hasStreamOptions, !request.isStream {
            throw .invalid(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.", parameter: "stream_options")
        }
        return request
    }

    private mutating func readMember(_ key: JSONText, _ reader: inout JSONReader) throws(APIError) {
        if reader.matches(key, "model") {
            model = try reader.text("model")
        } else if reader.matches(key, "messages") {
            try readMessages(&reader)
        } else if reader.matches(key, "stream") {
            isStream = try reader.flag("stream")
        } else if reader.matches(key, "stream_options") {
            try readStreamOptions(&reader)
        } else if reader.matches(key, "max_completion_tokens") || reader.matches(key, "max_tokens") {
            guard let limit = try reader.count("max_completion_tokens") else { return }
            guard limit > 0 else {
                throw .invalid("Expected a number above 0.", parameter: "max_completion_tokens", code: "invalid_value")
            }
            outputLimit = limit
        } else if reader.matches(key, "n") {
            guard try reader.count("n") ?? 1 == 1 else {
                throw .invalid("The simulator gives one choice.", parameter: "n", code: "unsupported_value")
            }
        } else {
            try reader.skip()
        }
    }

    private mutating func readStreamOptions(_ reader: inout JSONReader) throws(APIError) {
        let event = try reader.event()
        if event == .null { return }
        guard event == .objectStart else { throw .wrongType("stream_options", "an object") }
        hasStreamOptions = true
        while let key = try reader.nextKey() {
            if reader.matches(key, "include_usage") {
                includesUsage = try reader.flag("include_usage")
            } else {
                try reader.skip()
            }
        }
    }

    private mutating func readMessages(_ reader: inout JSONReader) throws(APIError) {
        guard try reader.event() == .arrayStart else { throw .wrongType("messages", "an array") }
        while true {
            switch try reader.event() {
            case .arrayEnd: return
            case .objectStart: try readMessage(&reader)
            default: throw .wrongType("messages", "an array of objects")
            }
            hasMessages = true
        }
    }

    private mutating func readMessage(_ reader: inout JSONReader) throws(APIError) {
        var isUser = false
        var content: (last: Range<Int>, bytes: Int) = (0..<0, 0)
        while let key = try reader.nextKey() {
            if reader.matches(key, "role") {
                isUser = try reader.bytes.matches("user", in: reader.text("role"))
            } else if reader.matches(key, "content") {
                content = try ChatRequest.readContent(&reader)
            } else {
                try reader.skip()
            }
        }
        if isUser { prompt = content.last }
        inputTokens += ChatUsage.inputTokens(ofMessageWith: content.bytes)
    }

    /// A string or an array of parts: where its (last) text is, and the bytes of all its texts.
    private static func readContent(_ reader: inout JSONReader) throws(APIError) -> (last: Range<Int>, bytes: Int) {
        switch try reader.event() {
        case .null: return (0..<0, 0)
        case .string(let text): return (text.range, text.range.count)
        case .arrayStart: break
        default: throw .wrongType("messages.content", "a string or an array of parts")
        }
        var last = 0..<0
        var bytes = 0
        while true {
            switch try reader.event() {
            case .arrayEnd: return (last, bytes)
            case .objectStart: break
            default: throw .wrongType("messages.content", "an array of objects")
            }
            while let key = try reader.nextKey() {
                if reader.matches(key, "text") {
                    last = try reader.text("messages.content.text")
                    bytes += last.count
                } else {
                    try reader.skip()
                }
            }
        }
    }
}
