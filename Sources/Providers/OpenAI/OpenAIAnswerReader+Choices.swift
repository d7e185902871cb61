// The choices of an answer: text, thinking, refusals, citations, log probabilities, and why each ended.
import Core
import Wire

/// Which member of a message thinking comes in.
enum ReasoningMember {
    case unknown
    /// `reasoning`: vLLM, Ollama, Groq, OpenRouter.
    case reasoning
    /// `reasoning_content`: DeepSeek, older vLLM.
    case content
}

extension OpenAIAnswerReader {
    mutating func choices(_ reader: inout JSONReader, _ answer: inout AnswerOutput) throws(JSONError) {
        try objects(&reader, &answer) { (state, reader, answer) throws(JSONError) in
            try state.choice(&reader, &answer)
        }
    }

    /// Reads each object of an array with `read`; a value that is no array, and elements that are no objects, are skipped.
    private mutating func objects(
        _ reader: inout JSONReader, _ answer: inout AnswerOutput,
        _ read: (inout Self, inout JSONReader, inout AnswerOutput) throws(JSONError) -> Void
    ) throws(JSONError) {
        let depth = reader.depth
        guard case .arrayStart = try reader.nextValue() else {
            try reader.skip(to: depth)
            return
        }
        while reader.depth > depth {
            let inside = reader.depth
            if case .objectStart = try reader.next() {
                try read(&self, &reader, &answer)
            } else {
                try reader.skip(to: inside)
            }
        }
    }

    private mutating func choice(_ reader: inout JSONReader, _ answer: inout AnswerOutput) throws(JSONError) {
        var index: Int?
        var postponed: Range<Int>?
        var probabilities: Range<Int>?
        var finish: String?
        while let key = try reader.nextKey() {
            if reader.matches(key, "index") {
                index = Int(clamping: try reader.wholeNumber() ?? 0)
            } else if reader.matches(key, "delta") || reader.matches(key, "message") {
                // `index` comes first everywhere we know; should it not, the delta waits for it.
                if let index {
                    try message(&reader, choice: index, &answer)
                } else {
                    postponed = try reader.rawValue()
                }
            } else if reader.matches(key, "finish_reason") {
                // An empty word says nothing, as null does.
                if case .string(let text) = try reader.scalar(), !text.range.isEmpty { finish = reader.word(text, 64) }
            } else if reader.matches(key, "logprobs") {
                let range = try reader.rawValue()
                if reader.bytes.byte(at: range.lowerBound) == UInt8(ascii: "{") { probabilities = range }
            } else {
                try reader.skipValue()
            }
        }
        let place = index ?? 0
        // The wire has room for sixteen choices; nobody asked for more.
        guard (0..<AnswerOutput.choiceLimit).contains(place) else { return }
        answer.begin(choice: place)
        if let postponed {
            answer.lesson.noteOther()
            var inner = reader.reader(at: postponed.lowerBound)
            try message(&inner, choice: place, &answer)
            reader.count(inner)
        }
        if let probabilities { try logProbabilities(reader, probabilities, UInt8(place), &answer) }
        if let finish { self.finish(place, finish, &answer) }
    }

    // MARK: - The end of a choice

    private mutating func finish(_ choice: Int, _ word: String, _ answer: inout AnswerOutput) {
        // The server gave the request up; its engine may have failed.
        guard word != "error", word != "abort" else { return answer.fail(.serverError, code: word) }
        finish(choice, OpenAIAnswerReader.reason(word), word, &answer)
    }

    mutating func finish(_ choice: Int, _ reason: FinishReason, _ word: String, _ answer: inout AnswerOutput) {
        startCalls(of: choice, &answer)
        if choice != 0 { completeCalls(of: choice, &answer) }
        answer.finish(choice: choice, reason, word)
    }

    static func reason(_ word: String) -> FinishReason {
        switch word {
        case "stop", "eos", "eos_token", "COMPLETE": .stop
        case "length", "model_length": .length
        case "tool_calls", "function_call", "TOOL_CALL": .toolCalls
        case "content_filter": .contentFilter
        default: .other
        }
    }

    // MARK: - Messages and deltas

    private mutating func message(
        _ reader: inout JSONReader, choice: Int, _ answer: inout AnswerOutput
    ) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue(), (0..<AnswerOutput.choiceLimit).contains(choice) else {
            try reader.skip(to: depth)
            return
        }
        let place = UInt8(choice)
        while let key = try reader.nextKey() {
            if reader.matches(key, "content") {
                try content(&reader, place, .text, &answer)
            } else if reader.matches(key, "refusal") {
                if try content(&reader, place, .refusal, &answer) { hasRefusal = true }
            } else if reader.matches(key, "reasoning_content") {
                try reasoning(&reader, place, .content, &answer)
            } else if reader.matches(key, "reasoning") {
                try reasoning(&reader, place, .reasoning, &answer)
            } else if reader.matches(key, "tool_calls") {
                try objects(&reader, &answer) { (state, reader, answer) throws(JSONError) in
                    try state.toolCall(&reader, choice, &answer)
                }
            } else if reader.matches(key, "function_call") {
                try functionCall(&reader, choice, &answer)
            } else if reader.matches(key, "annotations") {
                try annotations(&reader, place, &answer)
            } else {
                try reader.skipValue()
            }
        }
    }

    private mutating func reasoning(
        _ reader: inout JSONReader, _ choice: UInt8, _ member: ReasoningMember, _ answer: inout AnswerOutput
    ) throws(JSONError) {
        guard reasoningMember == .unknown || reasoningMember == member else { return try reader.skipValue() }
        if try content(&reader, choice, .reasoning, &answer) { reasoningMember = member }
    }

    /// A text, or an array of parts as Mistral sends it. True when something was handed out.
    @discardableResult
    private func content(
        _ reader: inout JSONReader, _ choice: UInt8, _ kind: DeltaKind, _ answer: inout AnswerOutput
    ) throws(JSONError) -> Bool {
        let depth = reader.depth
        switch try reader.nextValue() {
        case .string(let text): return answer.hold(text, choice, kind)
        case .arrayStart:
            var isSome = false
            while reader.depth > depth {
                let inside = reader.depth
                switch try reader.next() {
                case .objectStart: if try part(&reader, choice, kind, &answer) { isSome = true }
                default: try reader.skip(to: inside)
                }
            }
            return isSome
        default:
            try reader.skip(to: depth)
            return false
        }
    }

    /// True when something was handed out.
    private func part(
        _ reader: inout JSONReader, _ choice: UInt8, _ kind: DeltaKind, _ answer: inout AnswerOutput
    ) throws(JSONError) -> Bool {
        var isSome = false
        while let key = try reader.nextKey() {
            if reader.matches(key, "text") || reader.matches(key, "refusal") {
                if try content(&reader, choice, kind, &answer) { isSome = true }
            } else if reader.matches(key, "thinking") {
                if try content(&reader, choice, .reasoning, &answer) { isSome = true }
            } else {
                try reader.skipValue()
            }
        }
        return isSome
    }
}
