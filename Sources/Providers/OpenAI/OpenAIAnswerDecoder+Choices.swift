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

extension OpenAIAnswerDecoder {
    mutating func choices(_ reader: inout JSONReader, to sink: any AnswerSink) throws(JSONError) {
        try objects(&reader) { (decoder, reader) throws(JSONError) in try decoder.choice(&reader, to: sink) }
    }

    /// Reads each object of an array with `read`; a value that is no array, and elements that are no objects, are skipped.
    private mutating func objects(
        _ reader: inout JSONReader, _ read: (inout Self, inout JSONReader) throws(JSONError) -> Void
    ) throws(JSONError) {
        let depth = reader.depth
        guard case .arrayStart = try reader.nextValue() else {
            while reader.depth > depth { _ = try reader.next() }
            return
        }
        while reader.depth > depth {
            let inside = reader.depth
            if case .objectStart = try reader.next() {
                try read(&self, &reader)
            } else {
                while reader.depth > inside { _ = try reader.next() }
            }
        }
    }

    private mutating func choice(_ reader: inout JSONReader, to sink: any AnswerSink) throws(JSONError) {
        var index: Int?
        var postponed: Range<Int>?
        var probabilities: Range<Int>?
        var finish: String?
        while let key = try reader.nextKey() {
            if reader.matches(key, "index") {
                index = Int(clamping: try integer(&reader) ?? 0)
            } else if reader.matches(key, "delta") || reader.matches(key, "message") {
                // `index` comes first everywhere we know; should it not, the delta waits for it.
                if let index {
                    try message(&reader, choice: index, to: sink)
                } else {
                    postponed = try reader.rawValue()
                }
            } else if reader.matches(key, "finish_reason") {
                if case .string(let text) = try scalar(&reader) { finish = reader.string(text) }
            } else if reader.matches(key, "logprobs") {
                let range = try reader.rawValue()
                if reader.bytes.byte(at: range.lowerBound) == UInt8(ascii: "{") { probabilities = range }
            } else {
                try reader.skipValue()
            }
        }
        let place = index ?? 0
        // The wire has room for sixteen choices; nobody asked for more.
        guard (0..<OpenAIAnswerDecoder.choiceLimit).contains(place) else { return }
        begun |= 1 << UInt64(place)
        if let postponed {
            lesson.noteOther()
            var inner = JSONReader(reader.bytes.extracting(postponed))
            heldBase = postponed.lowerBound
            try message(&inner, choice: place, to: sink)
            heldBase = 0
        }
        if let probabilities { try logProbabilities(reader.bytes, probabilities, UInt8(place), to: sink) }
        if let finish { finishChoice(place, finish, to: sink) }
    }

    // MARK: - The end of a choice

    private mutating func finishChoice(_ place: Int, _ word: String, to sink: any AnswerSink) {
        guard word != "error" else { return fail(.serverError) }
        lesson.noteOther()
        finished |= 1 << UInt64(place)
        let reason = OpenAIAnswerDecoder.reason(word)
        if place == 0 {
            end.finish = reason
            end.finishWord = word.cut(to: 64)
        } else {
            hand(.choiceEnd(choice: UInt8(place), finish: reason), to: sink)
        }
    }

    /// A whole answer is whole when its JSON is: choices without a finish reason ended by themselves.
    mutating func finishSilentChoices(to sink: any AnswerSink) {
        for place in 0..<OpenAIAnswerDecoder.choiceLimit where begun & ~finished & (1 << UInt64(place)) != 0 {
            let calls = toolCalls.contains { $0.choice == place }
            finishChoice(place, calls ? "tool_calls" : "stop", to: sink)
            if place == 0 { end.finishWord = "" }
        }
    }

    static func reason(_ word: String) -> FinishReason {
        switch word {
        case "stop", "eos", "COMPLETE": .stop
        case "length", "model_length": .length
        case "tool_calls", "function_call", "TOOL_CALL": .toolCalls
        case "content_filter": .contentFilter
        default: .other
        }
    }

    // MARK: - Messages and deltas

    private mutating func message(
        _ reader: inout JSONReader, choice: Int, to sink: any AnswerSink
    ) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue(), (0..<OpenAIAnswerDecoder.choiceLimit).contains(choice) else {
            while reader.depth > depth { _ = try reader.next() }
            return
        }
        let place = UInt8(choice)
        while let key = try reader.nextKey() {
            if reader.matches(key, "content") {
                try content(&reader, place, .text, to: sink)
            } else if reader.matches(key, "refusal") {
                if try content(&reader, place, .refusal, to: sink) { hasRefusal = true }
            } else if reader.matches(key, "reasoning_content") {
                try reasoning(&reader, place, .content, to: sink)
            } else if reader.matches(key, "reasoning") {
                try reasoning(&reader, place, .reasoning, to: sink)
            } else if reader.matches(key, "tool_calls") {
                try objects(&reader) { (decoder, reader) throws(JSONError) in
                    try decoder.toolCall(&reader, choice, to: sink)
                }
            } else if reader.matches(key, "function_call") {
                try functionCall(&reader, choice, to: sink)
            } else if reader.matches(key, "annotations") {
                try annotations(&reader, place, to: sink)
            } else {
                try reader.skipValue()
            }
        }
    }

    private mutating func reasoning(
        _ reader: inout JSONReader, _ choice: UInt8, _ member: ReasoningMember, to sink: any AnswerSink
    ) throws(JSONError) {
        guard reasoningMember == .unknown || reasoningMember == member else { return try reader.skipValue() }
        if try content(&reader, choice, .reasoning, to: sink) { reasoningMember = member }
    }

    /// A text, or an array of parts as Mistral sends it. True when something was handed out.
    @discardableResult
    private mutating func content(
        _ reader: inout JSONReader, _ choice: UInt8, _ kind: DeltaKind, to sink: any AnswerSink
    ) throws(JSONError) -> Bool {
        let depth = reader.depth
        switch try reader.nextValue() {
        case .string(let text): return emit(reader.bytes, text, choice, kind, to: sink)
        case .arrayStart:
            var isSome = false
            while reader.depth > depth {
                let inside = reader.depth
                switch try reader.next() {
                case .objectStart: if try part(&reader, choice, kind, to: sink) { isSome = true }
                default: while reader.depth > inside { _ = try reader.next() }
                }
            }
            return isSome
        default:
            while reader.depth > depth { _ = try reader.next() }
            return false
        }
    }

    /// True when something was handed out.
    private mutating func part(
        _ reader: inout JSONReader, _ choice: UInt8, _ kind: DeltaKind, to sink: any AnswerSink
    ) throws(JSONError) -> Bool {
        var isSome = false
        while let key = try reader.nextKey() {
            if reader.matches(key, "text") || reader.matches(key, "refusal") {
                if try content(&reader, choice, kind, to: sink) { isSome = true }
            } else if reader.matches(key, "thinking") {
                if try content(&reader, choice, .reasoning, to: sink) { isSome = true }
            } else {
                try reader.skipValue()
            }
        }
        return isSome
    }
}
