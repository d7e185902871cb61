// Tool calls, citations and log probabilities of an answer: passed on whole, whatever form a server gives them.
import Core
import Wire

extension OpenAIAnswerDecoder {
    /// Tool calls in one answer; OpenAI allows as many tools in a request.
    static let toolCallLimit = 128
    /// Bytes of a provider's JSON in one event: its payload without kind and choice.
    private static let passedLimit = StreamEvent.maximumPayload - 2

    /// One entry of `tool_calls`.
    mutating func toolCall(
        _ reader: inout JSONReader, _ choice: Int, to sink: any AnswerSink
    ) throws(JSONError) {
        var piece = ToolPiece()
        while case .key(let key) = try reader.next() {
            if reader.matches(key, "index") {
                piece.index = Int(clamping: try integer(&reader) ?? 0)
            } else if reader.matches(key, "id") {
                if case .string(let text) = try scalar(&reader) { piece.id = reader.string(text) }
            } else if reader.matches(key, "function") || reader.matches(key, "custom") {
                try function(&reader, &piece)
            } else {
                try reader.skipValue()
            }
        }
        guard openToolCall(choice, piece, to: sink) else { return }
        if let arguments = piece.arguments { _ = emit(reader, arguments, UInt8(choice), .toolArguments, to: sink) }
    }

    /// The form before tools: one call at most, without an id.
    mutating func functionCall(
        _ reader: inout JSONReader, _ choice: Int, to sink: any AnswerSink
    ) throws(JSONError) {
        var piece = ToolPiece()
        piece.index = 0
        try function(&reader, &piece)
        guard !piece.isEmpty, openToolCall(choice, piece, to: sink) else { return }
        if let arguments = piece.arguments { _ = emit(reader, arguments, UInt8(choice), .toolArguments, to: sink) }
    }

    /// What one delta says of a call.
    private struct ToolPiece {
        var index: Int?
        var id = ""
        var name = ""
        var arguments: JSONText?
        var isEmpty: Bool { name.isEmpty && arguments == nil }
    }

    private func function(_ reader: inout JSONReader, _ piece: inout ToolPiece) throws(JSONError) {
        let depth = reader.depth
        guard try reader.next() == .objectStart else {
            while reader.depth > depth { _ = try reader.next() }
            return
        }
        while case .key(let key) = try reader.next() {
            if reader.matches(key, "name") {
                if case .string(let text) = try scalar(&reader) { piece.name = reader.string(text) }
            } else if reader.matches(key, "arguments") || reader.matches(key, "input") {
                if case .string(let text) = try scalar(&reader) { piece.arguments = text }
            } else {
                try reader.skipValue()
            }
        }
    }

    /// Makes the call that arguments belong to the open one. False when there is none: a piece that belongs to no call, or one
    /// call too many, breaks the answer, for nothing of it may be lost in silence.
    private mutating func openToolCall(_ choice: Int, _ piece: ToolPiece, to sink: any AnswerSink) -> Bool {
        // A whole answer numbers its calls by position; so does a server that sends calls whole without an index.
        let wanted =
            piece.index
            ?? (piece.name.isEmpty ? toolCalls.last { $0.choice == choice }?.index : 1_000 + toolCalls.count)
        guard let wanted else {
            if !piece.isEmpty { fail(.protocolError) }
            return false
        }
        if let known = toolCalls.firstIndex(where: { $0.choice == choice && $0.index == wanted }) {
            if known != openTool {
                sink.answerEvent(.toolCallResume(choice: UInt8(choice), index: UInt16(known)))
                openTool = known
            }
            return true
        }
        guard toolCalls.count < OpenAIAnswerDecoder.toolCallLimit else {
            fail(.protocolError)
            return false
        }
        openTool = toolCalls.count
        toolCalls.append((choice, wanted))
        sink.answerEvent(
            .toolCallStart(
                choice: UInt8(choice), index: UInt16(openTool), id: piece.id.cut(to: 200),
                name: piece.name.cut(to: 200)))
        return true
    }

    // MARK: - What is passed on as the provider's JSON

    /// Citations, one event each.
    func annotations(
        _ reader: inout JSONReader, _ choice: UInt8, to sink: any AnswerSink
    ) throws(JSONError) {
        let list = try reader.rawValue()
        try eachElement(reader.bytes.extracting(list)) { element in
            if element.byteCount <= OpenAIAnswerDecoder.passedLimit {
                sink.answerEvent(.citation(choice: choice, json: element.array()))
            }
        }
    }

    /// Log probabilities as they came; a list that is longer than an event goes one token at a time, and an entry that alone is
    /// longer is left out.
    func logProbabilities(
        _ reader: borrowing JSONReader, _ range: Range<Int>, _ choice: UInt8, to sink: any AnswerSink
    ) throws(JSONError) {
        let whole = reader.bytes.extracting(range)
        guard whole.byteCount > 0, whole.byte(at: 0) == UInt8(ascii: "{") else { return }
        if whole.byteCount <= OpenAIAnswerDecoder.passedLimit {
            return sink.answerEvent(.logProbabilities(choice: choice, json: whole.array()))
        }
        var inner = JSONReader(whole)
        _ = try inner.next()
        while case .key(let key) = try inner.next() {
            let name = inner.string(key).cut(to: 32)
            let list = try inner.rawValue()
            try eachElement(whole.extracting(list)) { element in
                let json = Array("{\"\(name)\":[".utf8) + element.array() + Array("]}".utf8)
                if json.count <= OpenAIAnswerDecoder.passedLimit {
                    sink.answerEvent(.logProbabilities(choice: choice, json: json))
                }
            }
        }
    }

    /// Lends the elements of an array one by one; anything else has none.
    private func eachElement(_ json: RawSpan, _ body: (RawSpan) -> Void) throws(JSONError) {
        guard json.byteCount > 0, json.byte(at: 0) == UInt8(ascii: "[") else { return }
        var reader = JSONReader(json)
        _ = try reader.next()
        while let element = try reader.nextElement() { body(json.extracting(element)) }
    }
}
