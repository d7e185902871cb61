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
    mutating func choices(_ reader: inout JSONReader) throws(JSONError) {
        try objects(&reader) { (decoder, reader) throws(JSONError) in try decoder.choice(&reader) }
    }

    /// Reads each object of an array with `read`; a value that is no array, and elements that are no objects, are skipped.
    private mutating func objects(
        _ reader: inout JSONReader, _ read: (inout Self, inout JSONReader) throws(JSONError) -> Void
    ) throws(JSONError) {
        let depth = reader.depth
        guard case .arrayStart = try reader.nextValue() else {
            try reader.skip(to: depth)
            return
        }
        while reader.depth > depth {
            let inside = reader.depth
            if case .objectStart = try reader.next() {
                try read(&self, &reader)
            } else {
                try reader.skip(to: inside)
            }
        }
    }

    private mutating func choice(_ reader: inout JSONReader) throws(JSONError) {
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
                    try message(&reader, choice: index)
                } else {
                    postponed = try reader.rawValue()
                }
            } else if reader.matches(key, "finish_reason") {
                // An empty word says nothing, as null does.
                if case .string(let text) = try scalar(&reader), !text.range.isEmpty { finish = word(reader, text, 64) }
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
            var inner = reader.reader(at: postponed.lowerBound)
            try message(&inner, choice: place)
            reader.count(inner)
        }
        if let probabilities { try logProbabilities(reader, probabilities, UInt8(place)) }
        if let finish { finishChoice(place, finish) }
    }

    // MARK: - The end of a choice

    private mutating func finishChoice(_ place: Int, _ word: String) {
        // The server gave the request up; its engine may have failed.
        guard word != "error", word != "abort" else { return fail(.serverError, code: word) }
        lesson.noteOther()
        chunk.hasFinish = true
        startCalls(of: place)
        finished |= 1 << UInt64(place)
        let reason = OpenAIAnswerDecoder.reason(word)
        if place == 0 {
            end.finish = reason
            end.finishWord = word
        } else {
            completeCalls(of: place)
            hold(.choiceEnd(choice: UInt8(place), finish: reason))
        }
    }

    /// A whole answer is whole when its JSON is: choices without a finish reason ended by themselves.
    mutating func finishSilentChoices() {
        for place in 0..<OpenAIAnswerDecoder.choiceLimit where begun & ~finished & (1 << UInt64(place)) != 0 {
            let calls = toolCalls.contains { $0.choice == place }
            finishChoice(place, calls ? "tool_calls" : "stop")
            if place == 0 { end.finishWord = "" }
        }
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
        _ reader: inout JSONReader, choice: Int
    ) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue(), (0..<OpenAIAnswerDecoder.choiceLimit).contains(choice) else {
            try reader.skip(to: depth)
            return
        }
        let place = UInt8(choice)
        while let key = try reader.nextKey() {
            if reader.matches(key, "content") {
                try content(&reader, place, .text)
            } else if reader.matches(key, "refusal") {
                if try content(&reader, place, .refusal) { hasRefusal = true }
            } else if reader.matches(key, "reasoning_content") {
                try reasoning(&reader, place, .content)
            } else if reader.matches(key, "reasoning") {
                try reasoning(&reader, place, .reasoning)
            } else if reader.matches(key, "tool_calls") {
                try objects(&reader) { (decoder, reader) throws(JSONError) in
                    try decoder.toolCall(&reader, choice)
                }
            } else if reader.matches(key, "function_call") {
                try functionCall(&reader, choice)
            } else if reader.matches(key, "annotations") {
                try annotations(&reader, place)
            } else {
                try reader.skipValue()
            }
        }
    }

    private mutating func reasoning(
        _ reader: inout JSONReader, _ choice: UInt8, _ member: ReasoningMember
    ) throws(JSONError) {
        guard reasoningMember == .unknown || reasoningMember == member else { return try reader.skipValue() }
        if try content(&reader, choice, .reasoning) { reasoningMember = member }
    }

    /// A text, or an array of parts as Mistral sends it. True when something was handed out.
    @discardableResult
    private mutating func content(
        _ reader: inout JSONReader, _ choice: UInt8, _ kind: DeltaKind
    ) throws(JSONError) -> Bool {
        let depth = reader.depth
        switch try reader.nextValue() {
        case .string(let text): return hold(text, choice, kind)
        case .arrayStart:
            var isSome = false
            while reader.depth > depth {
                let inside = reader.depth
                switch try reader.next() {
                case .objectStart: if try part(&reader, choice, kind) { isSome = true }
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
    private mutating func part(
        _ reader: inout JSONReader, _ choice: UInt8, _ kind: DeltaKind
    ) throws(JSONError) -> Bool {
        var isSome = false
        while let key = try reader.nextKey() {
            if reader.matches(key, "text") || reader.matches(key, "refusal") {
                if try content(&reader, choice, kind) { isSome = true }
            } else if reader.matches(key, "thinking") {
                if try content(&reader, choice, .reasoning) { isSome = true }
            } else {
                try reader.skipValue()
            }
        }
        return isSome
    }
}
