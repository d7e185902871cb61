// Calls of tools: which call a fragment belongs to, in all the ways in which servers number them.
import Core
import Wire

/// A call that has begun.
struct KnownToolCall {
    let choice: Int
    /// The server's number for it; nil where it sends none.
    let index: Int?
    var id: String
    var name = ""
    /// False while the id is one that was made up here.
    var hasOwnID = true
    /// True when its start was handed out: its name is complete.
    var isStarted = false
    var hasArguments = false
    /// When it last had something, as `toolTurn` counts.
    var turn = 0
}

/// One element of `tool_calls`.
private struct ToolCallPiece {
    var index: Int?
    var id = ""
    var name = ""
    var arguments: JSONText?
}

extension OpenAIAnswerReader {
    /// Bytes of an id or a name that are kept.
    private static let wordLimit = 200

    mutating func toolCall(
        _ reader: inout JSONReader, _ choice: Int, _ answer: inout AnswerOutput
    ) throws(JSONError) {
        var piece = ToolCallPiece()
        while let key = try reader.nextKey() {
            if reader.matches(key, "index") {
                piece.index = try reader.wholeNumber().map { Int(clamping: $0) }
            } else if reader.matches(key, "id") {
                if case .string(let text) = try reader.scalar() {
                    piece.id = reader.word(text, OpenAIAnswerReader.wordLimit)
                }
            } else if reader.matches(key, "function") || reader.matches(key, "custom") {
                try function(&reader, &piece)
            } else {
                try reader.skipValue()
            }
        }
        take(piece, choice, reader.bytes, &answer)
    }

    /// The form that `tool_calls` replaced: one call, without id or index.
    mutating func functionCall(
        _ reader: inout JSONReader, _ choice: Int, _ answer: inout AnswerOutput
    ) throws(JSONError) {
        var piece = ToolCallPiece()
        piece.index = 0
        try function(&reader, &piece)
        guard !piece.name.isEmpty || piece.arguments != nil else { return }
        take(piece, choice, reader.bytes, &answer)
    }

    private func function(_ reader: inout JSONReader, _ piece: inout ToolCallPiece) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue() else {
            try reader.skip(to: depth)
            return
        }
        while let key = try reader.nextKey() {
            if reader.matches(key, "name") {
                if case .string(let text) = try reader.scalar() {
                    piece.name = reader.word(text, OpenAIAnswerReader.wordLimit)
                }
            } else if reader.matches(key, "arguments") || reader.matches(key, "input") {
                piece.arguments = try arguments(&reader)
            } else {
                try reader.skipValue()
            }
        }
    }

    /// Arguments are a text that holds JSON; some servers send the JSON itself. Nil for an empty text.
    private func arguments(_ reader: inout JSONReader) throws(JSONError) -> JSONText? {
        let depth = reader.depth
        if case .string(let text) = try reader.next() { return text.range.isEmpty ? nil : text }
        guard reader.depth > depth else { return nil }
        let start = reader.position - 1
        try reader.skip(to: depth)
        return JSONText(range: start..<reader.position, hasEscapes: false)
    }

    private mutating func take(
        _ piece: ToolCallPiece, _ choice: Int, _ bytes: RawSpan, _ answer: inout AnswerOutput
    ) {
        let place: Int
        if let known = known(piece, choice) {
            place = known
            goOn(with: piece, known, &answer)
        } else if !piece.name.isEmpty {
            guard toolCalls.count < OpenAIAnswerReader.toolCallLimit else {
                return answer.fail(.modelOutputError, code: "too_many_tool_calls")
            }
            place = begin(piece, choice, &answer)
        } else {
            // An id may come before its name; arguments may not.
            if piece.arguments != nil { return answer.fail(.modelOutputError, code: "arguments_without_call") }
            if !piece.id.isEmpty { unnamedCall = KnownToolCall(choice: choice, index: piece.index, id: piece.id) }
            return
        }
        toolTurn += 1
        toolCalls[place].turn = toolTurn
        guard let arguments = piece.arguments else { return }
        // Blanks before the first brace are as good as nothing.
        let isBlank = arguments.range.count < 4_096 && arguments.range.allSatisfy { bytes.byte(at: $0) == 0x20 }
        guard toolCalls[place].hasArguments || !isBlank else { return }
        open(place, &answer)
        toolCalls[place].hasArguments = true
        answer.hold(arguments, UInt8(choice), .toolArguments)
    }

    /// The call that a piece goes on with; nil when it begins one. A known id decides; then the number; what has neither, or a number that was
    /// never heard of and no name, belongs to the call that had the last piece.
    private func known(_ piece: ToolCallPiece, _ choice: Int) -> Int? {
        if !piece.id.isEmpty {
            if let same = toolCalls.lastIndex(where: { $0.choice == choice && $0.id == piece.id }) { return same }
            // A new id with a name is a new call, also at a number that is taken. Without a name it can only be the id of that call.
            guard piece.name.isEmpty, let index = piece.index else { return nil }
            let same = toolCalls.lastIndex { $0.choice == choice && $0.index == index }
            return same.flatMap { piece.arguments != nil || !toolCalls[$0].hasOwnID ? $0 : nil }
        }
        let index = piece.index
        if index != nil, let same = toolCalls.lastIndex(where: { $0.choice == choice && $0.index == index }) {
            // Another name behind arguments begins another call.
            let call = toolCalls[same]
            return piece.name.isEmpty || !call.isStarted || call.name == piece.name ? same : nil
        }
        guard piece.name.isEmpty, unnamedCall == nil else { return nil }
        let calls = toolCalls.indices.filter { toolCalls[$0].choice == choice }
        return calls.max { toolCalls[$0].turn < toolCalls[$1].turn }
    }

    private mutating func goOn(with piece: ToolCallPiece, _ place: Int, _ answer: inout AnswerOutput) {
        if !piece.id.isEmpty, !toolCalls[place].isStarted, !toolCalls[place].hasOwnID {
            (toolCalls[place].id, toolCalls[place].hasOwnID) = (piece.id, true)
        }
        // Some repeat the name in every piece, some send it in parts.
        guard !piece.name.isEmpty, !toolCalls[place].isStarted, piece.name != toolCalls[place].name else { return }
        let whole = toolCalls[place].name + piece.name
        toolCalls[place].name = whole.cut(to: OpenAIAnswerReader.wordLimit)
        answer.progress += 1
    }

    /// The call that the piece begins. Its start is handed out when its name is complete.
    private mutating func begin(_ piece: ToolCallPiece, _ choice: Int, _ answer: inout AnswerOutput) -> Int {
        if let last = toolCalls.indices.last { start(last, &answer) }
        var call = KnownToolCall(choice: choice, index: piece.index, id: piece.id, name: piece.name)
        if call.id.isEmpty, let early = unnamedCall, early.choice == choice, early.index == piece.index {
            call.id = early.id
        }
        unnamedCall = nil
        // A result must be able to name its call, also where the server gave it no id.
        if call.id.isEmpty { (call.id, call.hasOwnID) = ("call_\(toolCalls.count)", false) }
        toolCalls.append(call)
        answer.progress += 1
        answer.lesson.noteOther()
        return toolCalls.count - 1
    }

    private mutating func start(_ place: Int, _ answer: inout AnswerOutput) {
        guard !toolCalls[place].isStarted else { return }
        toolCalls[place].isStarted = true
        openTool = place
        let call = toolCalls[place]
        answer.hold(.toolCallStart(choice: UInt8(call.choice), index: UInt16(place), id: call.id, name: call.name))
    }

    /// Arguments of this call follow.
    private mutating func open(_ place: Int, _ answer: inout AnswerOutput) {
        start(place, &answer)
        guard place != openTool else { return }
        openTool = place
        answer.hold(.toolCallResume(choice: UInt8(toolCalls[place].choice), index: UInt16(place)))
    }

    /// The names of a choice's calls are complete.
    mutating func startCalls(of choice: Int, _ answer: inout AnswerOutput) {
        for place in toolCalls.indices where toolCalls[place].choice == choice { start(place, &answer) }
    }

    /// The calls of a choice are complete: those without arguments get an empty object.
    mutating func completeCalls(of choice: Int, _ answer: inout AnswerOutput) {
        for place in toolCalls.indices where toolCalls[place].choice == choice && !toolCalls[place].hasArguments {
            open(place, &answer)
            toolCalls[place].hasArguments = true
            answer.held.append(.emptyArguments(choice: UInt8(choice)))
        }
    }
}
