// Turns OpenAI's chat completion, whole or as a stream of chunks, into the canonical answer.
import Core
import HTTP
import Wire

/// Decodes one answer. Lenient about what compatible servers leave out or add: only `choices`, `usage` and `error` matter.
struct OpenAIAnswerDecoder: ~Copyable {
    private var events = EventStreamDecoder()
    private var whole = ByteBuffer()
    private var scratch = ByteBuffer()
    let isStream: Bool
    var end = AnswerEnd()
    private(set) var failure: ProviderFailure?
    private var hasDone = false
    /// True when a whole answer was read already.
    private var hasRead = false
    var hasRefusal = false
    /// Choices that were begun and that were finished, one bit each.
    var begun: UInt64 = 0
    var finished: UInt64 = 0
    /// Pieces and events that were handed out: what a client saw, and what counts as progress.
    private(set) var handedOut: Int64 = 0
    /// What a whole answer came to so far: nothing of it is handed out before all of it proved to be sound, for until then another
    /// target may answer instead.
    private var held: [HeldPiece] = []
    private var isHolding = false
    /// Where the text under way begins in the whole answer.
    var heldBase = 0
    /// Calls of tools in order of first appearance; their place here is their index on the wire.
    var toolCalls: [KnownToolCall] = []
    /// The call that arguments went to last.
    var openTool = -1
    /// A call whose id came before its name.
    var unnamedCall: KnownToolCall?
    /// The member that thinking comes in: servers that send both say the same in both.
    var reasoningMember = ReasoningMember.unknown
    private var pattern = ChunkPattern()
    /// What the chunk under way came to, for the pattern.
    var lesson = ChunkLesson()

    /// Choices that an answer may have (protocol, section 5.4: four bits).
    static let choiceLimit = 16
    /// Calls of tools that an answer may have, all choices together: as many as a request may name tools.
    static let toolCallLimit = 128
    /// Bytes of a whole answer that are gathered before they are read.
    static let wholeLimit = 32 << 20

    init(isStream: Bool) { self.isStream = isStream }

    /// True once something that a client can see was handed out.
    var hasContent: Bool { handedOut > 0 }

    /// True when every choice that began has its finish reason: the answer is whole, only usage may follow.
    var isWhole: Bool { begun != 0 && begun == finished }

    /// True when the terminal signal was seen; what follows only matters for usage and for reusing the connection.
    var isComplete: Bool { failure != nil || hasDone || (isStream && isWhole && end.usage != nil) }

    /// Takes a whole answer that lies in one piece.
    mutating func decodeWhole(_ bytes: RawSpan, to sink: any AnswerSink) {
        precondition(!isStream && whole.isEmpty, "an answer is read once")
        hasRead = true
        readWhole(bytes, to: sink)
    }

    /// Nothing of a whole answer is handed out before all of it is known to be JSON: until then another target may answer instead.
    private mutating func readWhole(_ bytes: RawSpan, to sink: any AnswerSink) {
        isHolding = true
        read(bytes, to: sink)
        isHolding = false
        guard failure == nil else { return held = [] }
        for piece in held {
            switch piece {
            case .text(let text, let choice, let kind): pass(bytes, text, choice, kind, to: sink)
            case .event(let event): pass(event, to: sink)
            }
        }
        held = []
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
        if !isStream {
            if !hasRead {
                var body = ByteBuffer()
                swap(&body, &whole)
                readWhole(body.bytes, to: sink)
            }
            guard failure == nil else { return }
            finishSilentChoices(to: sink)
        }
        guard isWhole else {
            // A body that ends without its terminal event is broken, whatever official clients make of it.
            guard hasContent else { return fail(.protocolError) }
            failure = ProviderFailure(.streamInterrupted, status: 200)
            return
        }
        if hasRefusal, end.finish == .stop { end.finish = .refusal }
    }

    /// The answer cannot be used, or not beyond what was handed out. The first failure stays.
    mutating func fail(_ kind: FailureClass, code: String? = nil) {
        guard failure == nil else { return }
        var failure = ProviderFailure(kind, status: 200)
        failure.code = code
        fail(failure)
    }

    /// The provider itself says what failed: this replaces what was concluded from other signs.
    mutating func fail(_ found: ProviderFailure) {
        var found = found
        if hasContent {
            found.cause = found.kind
            found.kind = .streamInterrupted
        }
        failure = found
    }

    private mutating func event(_ data: RawSpan, to sink: any AnswerSink) {
        if !hasDone, let text = pattern.text(in: data) {
            _ = emit(data, text, pattern.choice, pattern.kind, to: sink)
            return
        }
        var (start, end) = (0, data.byteCount)
        while start < end, data.byte(at: start) <= 0x20 { start += 1 }
        while end > start, data.byte(at: end - 1) <= 0x20 { end -= 1 }
        if data.matches("[DONE]", in: start..<end) {
            hasDone = true
        } else if !hasDone {
            lesson = ChunkLesson()
            read(data, to: sink)
            pattern.learn(lesson, from: data)
        }
    }

    private mutating func read(_ bytes: RawSpan, to sink: any AnswerSink) {
        do {
            var reader = JSONReader(bytes)
            guard case .objectStart = try reader.nextValue() else { return fail(.protocolError) }
            while let key = try reader.nextKey() {
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
        let event = try reader.nextValue()
        guard reader.depth > depth else { return event }
        while reader.depth > depth { _ = try reader.next() }
        return .null
    }

    // MARK: - What is handed out

    /// Hands out a piece of text. False for an empty one.
    mutating func emit(
        _ bytes: RawSpan, _ text: JSONText, _ choice: UInt8, _ kind: DeltaKind, to sink: any AnswerSink
    ) -> Bool {
        guard !text.range.isEmpty else { return false }
        guard isHolding else {
            pass(bytes, text, choice, kind, to: sink)
            return true
        }
        let range = (heldBase + text.range.lowerBound)..<(heldBase + text.range.upperBound)
        held.append(.text(JSONText(range: range, hasEscapes: text.hasEscapes), choice, kind))
        return true
    }

    private mutating func pass(
        _ bytes: RawSpan, _ text: JSONText, _ choice: UInt8, _ kind: DeltaKind, to sink: any AnswerSink
    ) {
        lesson.noteText(text.range, choice, kind)
        handedOut += 1
        end.deltas += 1
        if text.hasEscapes {
            scratch.removeAll()
            JSONReader(bytes).unescape(text, into: &scratch)
            end.deltaBytes += Int64(scratch.count)
            sink.answerDelta(choice: choice, kind: kind, scratch.bytes)
        } else {
            end.deltaBytes += Int64(text.range.count)
            sink.answerDelta(choice: choice, kind: kind, bytes.extracting(text.range))
        }
    }

    /// Hands out what is not text.
    mutating func hand(_ event: StreamEvent, to sink: any AnswerSink) {
        if isHolding { held.append(.event(event)) } else { pass(event, to: sink) }
    }

    private mutating func pass(_ event: StreamEvent, to sink: any AnswerSink) {
        lesson.noteOther()
        handedOut += 1
        sink.answerEvent(event)
    }
}

/// A piece of a whole answer that waits until the answer was read.
private enum HeldPiece {
    /// A text in the answer.
    case text(JSONText, UInt8, DeltaKind)
    case event(StreamEvent)
}
