// Calls of tools: which call a fragment belongs to, in all the ways in which servers number them.
import Core
import Wire

/// A call that has begun.
struct KnownToolCall {
    let choice: Int
    /// The server's number for it; nil where it sends none.
    let index: Int?
    let id: String
}

/// One element of `tool_calls`.
private struct ToolCallPiece {
    var index: Int?
    var id = ""
    var name = ""
    var arguments: JSONText?
}

extension OpenAIAnswerDecoder {
    mutating func toolCall(_ reader: inout JSONReader, _ choice: Int, to sink: any AnswerSink) throws(JSONError) {
        var piece = ToolCallPiece()
        while let key = try reader.nextKey() {
            if reader.matches(key, "index") {
                piece.index = try integer(&reader).map { Int(clamping: $0) }
            } else if reader.matches(key, "id") {
                if case .string(let text) = try scalar(&reader) { piece.id = reader.string(text).cut(to: 200) }
            } else if reader.matches(key, "function") || reader.matches(key, "custom") {
                try function(&reader, &piece)
            } else {
                try reader.skipValue()
            }
        }
        take(piece, choice, reader.bytes, to: sink)
    }

    /// The form that `tool_calls` replaced: one call, without id or index.
    mutating func functionCall(_ reader: inout JSONReader, _ choice: Int, to sink: any AnswerSink) throws(JSONError) {
        var piece = ToolCallPiece()
        piece.index = 0
        try function(&reader, &piece)
        guard !piece.name.isEmpty || piece.arguments != nil else { return }
        take(piece, choice, reader.bytes, to: sink)
    }

    private func function(_ reader: inout JSONReader, _ piece: inout ToolCallPiece) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue() else {
            while reader.depth > depth { _ = try reader.next() }
            return
        }
        while let key = try reader.nextKey() {
            if reader.matches(key, "name") {
                if case .string(let text) = try scalar(&reader) { piece.name = reader.string(text).cut(to: 200) }
            } else if reader.matches(key, "arguments") || reader.matches(key, "input") {
                piece.arguments = try arguments(&reader)
            } else {
                try reader.skipValue()
            }
        }
    }

    /// Arguments are a text that holds JSON; some servers send the JSON itself.
    private func arguments(_ reader: inout JSONReader) throws(JSONError) -> JSONText? {
        let depth = reader.depth
        if case .string(let text) = try reader.next() { return text }
        guard reader.depth > depth else { return nil }
        let start = reader.position - 1
        while reader.depth > depth { _ = try reader.next() }
        return JSONText(range: start..<reader.position, hasEscapes: false)
    }

    private mutating func take(_ piece: ToolCallPiece, _ choice: Int, _ bytes: RawSpan, to sink: any AnswerSink) {
        let hasArguments = piece.arguments?.range.isEmpty == false
        if let known = known(piece, choice) {
            resume(known, to: sink)
        } else if !piece.name.isEmpty {
            guard toolCalls.count < OpenAIAnswerDecoder.toolCallLimit else {
                return fail(.modelOutputError, code: "too_many_tool_calls")
            }
            start(piece, choice, to: sink)
        } else {
            // An id may come before its name; arguments may not.
            if hasArguments { return fail(.modelOutputError, code: "arguments_without_call") }
            if !piece.id.isEmpty { unnamedCall = KnownToolCall(choice: choice, index: piece.index, id: piece.id) }
            return
        }
        if let arguments = piece.arguments { _ = emit(bytes, arguments, UInt8(choice), .toolArguments, to: sink) }
    }

    /// The call that a piece goes on with; nil when it begins one.
    private func known(_ piece: ToolCallPiece, _ choice: Int) -> Int? {
        // A server that numbers its calls says which one is meant; one that does not sends them one after the other.
        let last = toolCalls.lastIndex { $0.choice == choice && (piece.index == nil || $0.index == piece.index) }
        guard let last else { return nil }
        guard !piece.name.isEmpty else { return last }
        // Some repeat id and name in every piece; some give all calls the same number. Only a new id tells these apart.
        if piece.id.isEmpty { return piece.index == nil ? nil : last }
        return piece.id == toolCalls[last].id ? last : nil
    }

    private mutating func resume(_ known: Int, to sink: any AnswerSink) {
        guard known != openTool else { return }
        openTool = known
        hand(.toolCallResume(choice: UInt8(toolCalls[known].choice), index: UInt16(known)), to: sink)
    }

    private mutating func start(_ piece: ToolCallPiece, _ choice: Int, to sink: any AnswerSink) {
        var id = piece.id
        if id.isEmpty, let early = unnamedCall, early.choice == choice, early.index == piece.index { id = early.id }
        unnamedCall = nil
        openTool = toolCalls.count
        // A result must be able to name its call, also where the server gave it no id.
        if id.isEmpty { id = "call_\(openTool)" }
        toolCalls.append(KnownToolCall(choice: choice, index: piece.index, id: id))
        hand(.toolCallStart(choice: UInt8(choice), index: UInt16(openTool), id: id, name: piece.name), to: sink)
    }
}
