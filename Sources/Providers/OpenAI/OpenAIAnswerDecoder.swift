// Turns OpenAI's chat completion, whole or as a stream of chunks, into the canonical answer.
import Core
import HTTP
import Wire

/// Decodes one answer. Lenient about what compatible servers leave out or add: only `choices`, `usage` and `error` matter.
struct OpenAIAnswerDecoder: ~Copyable {
    private var events = EventStreamDecoder()
    private var whole = ByteBuffer()
    private var scratch = ByteBuffer()
    private let isStream: Bool
    private(set) var end = AnswerEnd()
    private(set) var failure: ProviderFailure?
    private var hasDone = false
    /// True when a whole answer was read already.
    private var hasRead = false
    private var hasRefusal = false
    /// Choices that were begun and that were finished, one bit each.
    private var begun: UInt64 = 0
    private var finished: UInt64 = 0
    /// Gateway's index of each tool call, in order of first appearance, and the one that arguments went to last.
    var toolCalls: [(choice: Int, index: Int)] = []
    var openTool = -1

    /// Choices that an answer may have (protocol, section 5.4: four bits).
    static let choiceLimit = 16
    /// Bytes of a whole answer that are gathered before they are read.
    static let wholeLimit = 32 << 20

    init(isStream: Bool) { self.isStream = isStream }

    /// True once something that a client can see was handed out.
    var hasContent: Bool { end.deltas > 0 || !toolCalls.isEmpty }

    /// Grows with everything that a client can see; what does not make it grow is no progress.
    var progress: Int64 { end.deltas + Int64(toolCalls.count) }

    /// True when every choice that began has its finish reason: the answer is whole, only usage may follow.
    var isWhole: Bool { begun != 0 && begun == finished }

    /// True when the terminal signal was seen; what follows only matters for usage and for reusing the connection.
    var isComplete: Bool {
        failure != nil || hasDone || (isStream && begun != 0 && begun == finished && end.usage != nil)
    }

    /// Takes a whole answer that lies in one piece.
    mutating func decodeWhole(_ bytes: RawSpan, to sink: any AnswerSink) {
        precondition(!isStream && whole.isEmpty, "an answer is read once")
        hasRead = true
        read(bytes, to: sink)
    }

    /// Takes the next bytes of the body.
    mutating func decode(_ bytes: RawSpan, to sink: any AnswerSink) {
        guard failure == nil else { return }
        guard isStream else {
            guard whole.count + bytes.byteCount <= OpenAIAnswerDecoder.wholeLimit else { return fail(.protocolError) }
            return whole.append(bytes)
        }
        var decoder = EventStreamDecoder()
        swap(&decoder, &events)
        do {
            try decoder.decode(bytes) { data in
                event(data, to: sink)
                return failure == nil
            }
        } catch {
            fail(.protocolError)
        }
        swap(&decoder, &events)
    }

    /// The body ended: judges whether the answer is whole.
    mutating func finish(to sink: any AnswerSink) {
        guard failure == nil else { return }
        if !isStream, !hasRead {
            var body = ByteBuffer()
            swap(&body, &whole)
            read(body.bytes, to: sink)
            guard failure == nil else { return }
        }
        if begun == 0 || isStream && begun != finished {
            // A stream that ends without its terminal event is broken, whatever official clients make of it. A whole answer is
            // whole when its JSON is: servers that leave out the reason have nothing more to say.
            if !isStream { return fail(.protocolError) }
            failure = ProviderFailure(.streamInterrupted, status: 200)
            return
        }
        if hasRefusal, end.finish == .stop { end.finish = .refusal }
        if let usage = end.usage, !usage.isPlausible { end.usage = nil }
    }

    mutating func fail(_ kind: FailureClass) {
        var failure = ProviderFailure(hasContent ? .streamInterrupted : kind, status: 200)
        if hasContent { failure.cause = kind }
        self.failure = failure
    }

    private mutating func event(_ data: RawSpan, to sink: any AnswerSink) {
        var (start, end) = (0, data.byteCount)
        while start < end, data.byte(at: start) <= 0x20 { start += 1 }
        while end > start, data.byte(at: end - 1) <= 0x20 { end -= 1 }
        if data.matches("[DONE]", in: start..<end) {
            hasDone = true
        } else if !hasDone {
            read(data, to: sink)
        }
    }

    private mutating func read(_ bytes: RawSpan, to sink: any AnswerSink) {
        do {
            var reader = JSONReader(bytes)
            guard try reader.next() == .objectStart else { return fail(.protocolError) }
            while case .key(let key) = try reader.next() {
                if reader.matches(key, "choices") {
                    try choices(&reader, to: sink)
                } else if reader.matches(key, "usage") {
                    try usage(&reader)
                } else if reader.matches(key, "error") {
                    try error(&reader)
                } else if reader.matches(key, "x_groq") {
                    try nestedUsage(&reader)
                } else if reader.matches(key, "model") {
                    if let text = try keep(&reader, end.model.isEmpty) { end.model = text }
                } else {
                    try reader.skipValue()
                }
            }
            _ = try reader.next()
        } catch {
            fail(.protocolError)
        }
    }

    /// The text that comes next, when it is still wanted; all chunks repeat what the first one said.
    private func keep(_ reader: inout JSONReader, _ isWanted: Bool) throws(JSONError) -> String? {
        guard isWanted else {
            try reader.skipValue()
            return nil
        }
        guard case .string(let text) = try scalar(&reader) else { return nil }
        return reader.string(text).cut(to: 128)
    }

    /// A scalar value; arrays and objects are skipped whole and read as null.
    func scalar(_ reader: inout JSONReader) throws(JSONError) -> JSONReader.Event {
        let depth = reader.depth
        let event = try reader.next()
        guard reader.depth > depth else { return event }
        while reader.depth > depth { _ = try reader.next() }
        return .null
    }

    private mutating func error(_ reader: inout JSONReader) throws(JSONError) {
        let range = try reader.rawValue()
        guard let value = try? JSONValue.parse(reader.bytes.array(range)), value != .null, value != .bool(false) else {
            return
        }
        var failure = OpenAIErrorReader.failure(status: 200, value)
        if hasContent {
            failure.cause = failure.kind
            failure.kind = .streamInterrupted
        }
        self.failure = failure
    }

    private mutating func nestedUsage(_ reader: inout JSONReader) throws(JSONError) {
        guard try reader.next() == .objectStart else { return }
        while case .key(let key) = try reader.next() {
            if reader.matches(key, "usage") {
                try usage(&reader)
            } else if reader.matches(key, "error") {
                try error(&reader)
            } else {
                try reader.skipValue()
            }
        }
    }

    private mutating func usage(_ reader: inout JSONReader) throws(JSONError) {
        let depth = reader.depth
        guard try reader.next() == .objectStart else {
            while reader.depth > depth { _ = try reader.next() }
            return
        }
        var usage = Usage()
        while case .key(let key) = try reader.next() {
            if reader.matches(key, "prompt_tokens") {
                usage.inputTokens = try integer(&reader) ?? 0
            } else if reader.matches(key, "completion_tokens") {
                usage.outputTokens = try integer(&reader) ?? 0
            } else if reader.matches(key, "prompt_cache_hit_tokens") {
                usage.cacheReadTokens = try integer(&reader) ?? usage.cacheReadTokens
            } else if reader.matches(key, "prompt_tokens_details") || reader.matches(key, "completion_tokens_details") {
                try details(&reader, &usage)
            } else {
                try reader.skipValue()
            }
        }
        end.usage = usage
    }

    private func details(_ reader: inout JSONReader, _ usage: inout Usage) throws(JSONError) {
        guard try reader.next() == .objectStart else { return }
        while case .key(let key) = try reader.next() {
            if reader.matches(key, "cached_tokens") {
                usage.cacheReadTokens = try integer(&reader) ?? usage.cacheReadTokens
            } else if reader.matches(key, "cache_write_tokens") {
                usage.cacheWriteTokens = try integer(&reader) ?? usage.cacheWriteTokens
            } else if reader.matches(key, "reasoning_tokens") {
                usage.reasoningTokens = try integer(&reader)
            } else {
                try reader.skipValue()
            }
        }
    }

    func integer(_ reader: inout JSONReader) throws(JSONError) -> Int64? {
        guard case .number(let range) = try scalar(&reader) else { return nil }
        return reader.integer(range)
    }

    // MARK: - Choices

    private mutating func choices(_ reader: inout JSONReader, to sink: any AnswerSink) throws(JSONError) {
        guard try reader.next() == .arrayStart else { return }
        while try reader.next() == .objectStart { try choice(&reader, to: sink) }
    }

    private mutating func choice(_ reader: inout JSONReader, to sink: any AnswerSink) throws(JSONError) {
        var index: Int?
        var postponed: Range<Int>?
        var finish: String?
        var logprobs: Range<Int>?
        while case .key(let key) = try reader.next() {
            if reader.matches(key, "index") {
                index = Int(clamping: try integer(&reader) ?? 0)
            } else if reader.matches(key, "delta") || reader.matches(key, "message") {
                // `index` comes first everywhere we know; should it not, the delta waits for it.
                if let index {
                    try message(&reader, choice: index, to: sink)
                } else {
                    postponed = try reader.rawValue()
                }
            } else if reader.matches(key, "logprobs") {
                logprobs = try reader.rawValue()
            } else if reader.matches(key, "finish_reason") {
                if case .string(let text) = try scalar(&reader) { finish = reader.string(text) }
            } else {
                try reader.skipValue()
            }
        }
        let place = index ?? 0
        // The wire has room for sixteen choices; nobody asked for more.
        guard (0..<OpenAIAnswerDecoder.choiceLimit).contains(place) else { return }
        begun |= 1 << UInt64(place)
        if let postponed {
            var inner = JSONReader(reader.bytes.extracting(postponed))
            try message(&inner, choice: place, to: sink)
        }
        if let logprobs { try logProbabilities(reader, logprobs, UInt8(place), to: sink) }
        if let finish { finishChoice(place, finish, to: sink) }
    }

    private mutating func finishChoice(_ place: Int, _ word: String, to sink: any AnswerSink) {
        guard word != "error" else { return fail(.serverError) }
        finished |= 1 << UInt64(place)
        let reason = OpenAIAnswerDecoder.reason(word)
        if place == 0 {
            end.finish = reason
            end.finishWord = word.cut(to: 64)
        } else {
            sink.answerEvent(.choiceEnd(choice: UInt8(place), finish: reason))
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

    private mutating func message(
        _ reader: inout JSONReader, choice: Int, to sink: any AnswerSink
    ) throws(JSONError) {
        let depth = reader.depth
        guard try reader.next() == .objectStart, (0..<OpenAIAnswerDecoder.choiceLimit).contains(choice) else {
            while reader.depth > depth { _ = try reader.next() }
            return
        }
        let place = UInt8(choice)
        var hasReasoning = false
        while case .key(let key) = try reader.next() {
            if reader.matches(key, "content") {
                try content(&reader, place, .text, to: sink)
            } else if reader.matches(key, "refusal") {
                if try content(&reader, place, .refusal, to: sink) { hasRefusal = true }
            } else if reader.matches(key, "reasoning_content") || reader.matches(key, "reasoning") {
                // Some servers say it twice, under the old name and the new one.
                if hasReasoning {
                    try reader.skipValue()
                } else {
                    hasReasoning = try content(&reader, place, .reasoning, to: sink)
                }
            } else if reader.matches(key, "annotations") {
                try annotations(&reader, place, to: sink)
            } else if reader.matches(key, "function_call") {
                try functionCall(&reader, choice, to: sink)
            } else if reader.matches(key, "tool_calls") {
                guard try reader.next() == .arrayStart else { continue }
                while try reader.next() == .objectStart { try toolCall(&reader, choice, to: sink) }
            } else {
                try reader.skipValue()
            }
        }
    }

    /// A text, or an array of parts as Mistral sends it. True when something was handed out.
    @discardableResult
    private mutating func content(
        _ reader: inout JSONReader, _ choice: UInt8, _ kind: DeltaKind, to sink: any AnswerSink
    ) throws(JSONError) -> Bool {
        let depth = reader.depth
        switch try reader.next() {
        case .string(let text): return emit(reader, text, choice, kind, to: sink)
        case .arrayStart:
            let before = end.deltas
            while try reader.next() == .objectStart { try part(&reader, choice, kind, to: sink) }
            return end.deltas > before
        default:
            while reader.depth > depth { _ = try reader.next() }
            return false
        }
    }

    private mutating func part(
        _ reader: inout JSONReader, _ choice: UInt8, _ kind: DeltaKind, to sink: any AnswerSink
    ) throws(JSONError) {
        while case .key(let key) = try reader.next() {
            if reader.matches(key, "text") {
                try content(&reader, choice, kind, to: sink)
            } else if reader.matches(key, "thinking") {
                try content(&reader, choice, .reasoning, to: sink)
            } else {
                try reader.skipValue()
            }
        }
    }

    mutating func emit(
        _ reader: borrowing JSONReader, _ text: JSONText, _ choice: UInt8, _ kind: DeltaKind, to sink: any AnswerSink
    ) -> Bool {
        guard !text.range.isEmpty else { return false }
        end.deltas += 1
        if text.hasEscapes {
            scratch.removeAll()
            reader.unescape(text, into: &scratch)
            end.deltaBytes += Int64(scratch.count)
            sink.answerDelta(choice: choice, kind: kind, scratch.bytes)
        } else {
            end.deltaBytes += Int64(text.range.count)
            sink.answerDelta(choice: choice, kind: kind, reader.bytes.extracting(text.range))
        }
        return true
    }
}
