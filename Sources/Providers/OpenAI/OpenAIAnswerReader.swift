// What OpenAI's chat completion says, whole or as the chunks of a stream.
import Core
import Wire

/// Reads one answer. Lenient about what compatible servers leave out or add: only `choices`, `usage` and `error` matter.
struct OpenAIAnswerReader {
    var hasRefusal = false
    /// Calls of tools in order of first appearance; their place here is their index on the wire.
    var toolCalls: [KnownToolCall] = []
    /// The call that a client takes arguments for.
    var openTool = -1
    /// Counts what comes of calls, so that the one that last had something is known.
    var toolTurn = 0
    /// A call whose id came before its name.
    var unnamedCall: KnownToolCall?
    /// The member that thinking comes in: servers that send both say the same in both.
    var reasoningMember = ReasoningMember.unknown

    /// Calls of tools that an answer may have, all choices together: as many as a request may name tools.
    static let toolCallLimit = 128

    static func isEndMark(_ data: RawSpan, _ range: Range<Int>) -> Bool { data.matches("[DONE]", in: range) }

    mutating func read(_ document: inout JSONReader, _ answer: inout AnswerOutput) throws(JSONError) {
        /// It calls itself an error, as Mistral's do.
        var isError = false
        while let key = try document.nextKey() { try member(key, &document, &answer, &isError) }
        if isError, answer.failure == nil { failUnwrapped(document.bytes, &answer) }
    }

    private mutating func member(
        _ key: JSONText, _ reader: inout JSONReader, _ answer: inout AnswerOutput, _ isError: inout Bool
    ) throws(JSONError) {
        if reader.matches(key, "choices") {
            try choices(&reader, &answer)
        } else if reader.matches(key, "usage") {
            try usage(&reader, &answer)
        } else if reader.matches(key, "error") {
            try error(&reader, &answer)
        } else if reader.matches(key, "x_groq") {
            try nestedUsage(&reader, &answer)
        } else if reader.matches(key, "object") {
            if case .string(let text) = try reader.scalar() { isError = reader.matches(text, "error") }
        } else if reader.matches(key, "model"), answer.end.model.isEmpty {
            // All chunks repeat what the first one said.
            if case .string(let text) = try reader.scalar() { answer.end.model = reader.word(text, 128) }
        } else {
            try reader.skipValue()
        }
    }

    /// A whole answer is whole when its JSON is: choices without a finish reason ended by themselves.
    mutating func endWhole(_ answer: inout AnswerOutput) {
        for choice in answer.openChoices {
            let calls = toolCalls.contains { $0.choice == choice }
            finish(choice, calls ? .toolCalls : .stop, "", &answer)
        }
    }

    mutating func end(_ answer: inout AnswerOutput) {
        completeCalls(of: 0, &answer)
        if hasRefusal, answer.end.finish == .stop { answer.end.finish = .refusal }
    }
}
