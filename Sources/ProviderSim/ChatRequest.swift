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

    private var hasModel = false
    private var hasMessages = false
    private var hasStreamOptions = false

    /// Reads a request's body.
    static func read(_ body: RawSpan) throws(APIError) -> ChatRequest {
        let text = Span<UInt8>(_bytes: body)
        var request = ChatRequest()
        var scan = JSONScan()
        var isFirst = true
        try scan.take(UInt8(ascii: "{"), text)
        while let key = try scan.nextKey(text, isFirst: &isFirst) { try request.readMember(key, text, &scan) }
        guard scan.peek(text) == nil else { throw .invalid("There are bytes behind the request's JSON object.") }
        guard request.hasModel else { throw .invalid("You must provide a model parameter.", parameter: "model") }
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

    private mutating func readMember(_ key: Range<Int>, _ text: Span<UInt8>, _ scan: inout JSONScan) throws(APIError) {
        func isKey(_ name: String) -> Bool { SimulatorRequest.equals(text, key, name) }
        if isKey("model") {
            model = try ChatRequest.string("model", text, &scan)
            hasModel = !model.isEmpty
        } else if isKey("messages") {
            try readMessages(text, &scan)
        } else if isKey("stream") {
            isStream = try scan.isTrue(text)
        } else if isKey("stream_options") {
            try readStreamOptions(text, &scan)
        } else if isKey("max_completion_tokens") || isKey("max_tokens") {
            if scan.peek(text) == UInt8(ascii: "n") { return try scan.skip(text) }
            guard let limit = try scan.integer(text), limit > 0 else {
                throw .invalid(
                    "Expected a whole number above 0.", parameter: "max_completion_tokens", code: "invalid_type")
            }
            outputLimit = limit
        } else if isKey("n") {
            if scan.peek(text) == UInt8(ascii: "n") { return try scan.skip(text) }
            guard try scan.integer(text) == 1 else {
                throw .invalid("The simulator gives one choice.", parameter: "n", code: "unsupported_value")
            }
        } else {
            try scan.skip(text)
        }
    }

    private mutating func readStreamOptions(_ text: Span<UInt8>, _ scan: inout JSONScan) throws(APIError) {
        if scan.peek(text) == UInt8(ascii: "n") { return try scan.skip(text) }
        hasStreamOptions = true
        try scan.take(UInt8(ascii: "{"), text)
        var isFirst = true
        while let key = try scan.nextKey(text, isFirst: &isFirst) {
            if SimulatorRequest.equals(text, key, "include_usage") {
                includesUsage = try scan.isTrue(text)
            } else {
                try scan.skip(text)
            }
        }
    }

    private mutating func readMessages(_ text: Span<UInt8>, _ scan: inout JSONScan) throws(APIError) {
        guard scan.peek(text) == UInt8(ascii: "[") else {
            throw .invalid(
                "Invalid type for 'messages': expected an array.", parameter: "messages", code: "invalid_type")
        }
        try scan.take(UInt8(ascii: "["), text)
        var isFirst = true
        while try scan.nextElement(text, isFirst: &isFirst) {
            try readMessage(text, &scan)
            hasMessages = true
        }
    }

    private mutating func readMessage(_ text: Span<UInt8>, _ scan: inout JSONScan) throws(APIError) {
        try scan.take(UInt8(ascii: "{"), text)
        var isFirst = true
        var isUser = false
        var content = 0..<0
        var bytes = 0
        while let key = try scan.nextKey(text, isFirst: &isFirst) {
            if SimulatorRequest.equals(text, key, "role") {
                isUser = SimulatorRequest.equals(text, try ChatRequest.string("role", text, &scan), "user")
            } else if SimulatorRequest.equals(text, key, "content") {
                (content, bytes) = try ChatRequest.readContent(text, &scan)
            } else {
                try scan.skip(text)
            }
        }
        if isUser { prompt = content }
        inputTokens += ChatUsage.inputTokens(ofMessageWith: bytes)
    }

    /// A string or an array of parts: where its (last) text is, and the bytes of all its texts.
    private static func readContent(
        _ text: Span<UInt8>, _ scan: inout JSONScan
    ) throws(APIError) -> (last: Range<Int>, bytes: Int) {
        switch scan.peek(text) {
        case UInt8(ascii: "\""):
            let content = try scan.string(text)
            return (content, content.count)
        case UInt8(ascii: "["):
            try scan.take(UInt8(ascii: "["), text)
            var last = 0..<0
            var bytes = 0
            var isFirstPart = true
            while try scan.nextElement(text, isFirst: &isFirstPart) {
                try scan.take(UInt8(ascii: "{"), text)
                var isFirst = true
                while let key = try scan.nextKey(text, isFirst: &isFirst) {
                    if SimulatorRequest.equals(text, key, "text") {
                        last = try string("messages.content.text", text, &scan)
                        bytes += last.count
                    } else {
                        try scan.skip(text)
                    }
                }
            }
            return (last, bytes)
        default:
            try scan.skip(text)
            return (0..<0, 0)
        }
    }

    private static func string(
        _ name: String, _ text: Span<UInt8>, _ scan: inout JSONScan
    ) throws(APIError) -> Range<Int> {
        guard scan.peek(text) == UInt8(ascii: "\"") else {
            throw .invalid("Invalid type for '\(name)': expected a string.", parameter: name, code: "invalid_type")
        }
        return try scan.string(text)
    }
}
