// Turns OpenAI's chat completion, whole or as a stream of chunks, into the canonical answer.
import Core
import HTTP
import Wire

/// Decodes one answer. Lenient about what compatible servers leave out or add: only `choices`, `usage` and `error` matter.
struct OpenAIAnswerDecoder: ~Copyable {
    private var events = EventStreamDecoder()
    /// A whole answer, until it is read; a large one until all of it is handed out.
    var whole = ByteBuffer()
    /// How far a large answer is; nil for others.
    var large: LargeAnswer?
    var scratch = ByteBuffer()
    let isStream: Bool
    var end = AnswerEnd()
    private(set) var failure: ProviderFailure?
    /// True when the stream's end mark was seen: what follows is not read.
    private(set) var hasDone = false
    /// True when the body is over: choices that never began will not.
    private var hasEnded = false
    /// True when a whole answer was read already.
    private var hasRead = false
    var hasRefusal = false
    /// Choices that were begun and that were finished, one bit each.
    var begun: UInt64 = 0
    var finished: UInt64 = 0
    /// Pieces and events that were handed out: what a client saw.
    var handedOut: Int64 = 0
    /// The same and calls whose name came, but may not be complete: what counts as progress.
    var progress: Int64 = 0
    /// What had been handed out when a choice last ended; -1 before.
    private(set) var handedOutAtFinish: Int64 = -1
    /// What the event under way, or the whole answer, came to so far: nothing of it is handed out before all of it proved to be sound, for
    /// until then another target may answer instead.
    var held: [HeldPiece] = []
    /// Calls of tools in order of first appearance; their place here is their index on the wire.
    var toolCalls: [KnownToolCall] = []
    /// The call that a client takes arguments for.
    var openTool = -1
    /// Counts what comes of calls, so that the one that last had something is known.
    var toolTurn = 0
    /// A call whose id came before its name.
    var unnamedCall: KnownToolCall?
    /// Characters of which only a half came; nearly always none.
    var halves: [HalfCharacter] = []
    /// The member that thinking comes in: servers that send both say the same in both.
    var reasoningMember = ReasoningMember.unknown
    private var pattern = ChunkPattern()
    /// What the chunk under way came to.
    var lesson = ChunkLesson()
    var chunk = ChunkNews()

    /// Choices that an answer may have (protocol, section 5.4: four bits).
    static let choiceLimit = 16
    /// Calls of tools that an answer may have, all choices together: as many as a request may name tools.
    static let toolCallLimit = 128
    /// Bytes of a whole answer that are gathered before they are read.
    static let wholeLimit = 32 << 20
    /// Bytes of an answer that one turn of a lane reads or hands out.
    static let turnBytes = 256 * 1024
    let turnBytes: Int

    init(isStream: Bool, bounds: AnswerBounds = AnswerBounds(), turnBytes: Int = OpenAIAnswerDecoder.turnBytes) {
        self.isStream = isStream
        self.turnBytes = turnBytes
        end.bounds = bounds
    }

    /// True once something that a client can see was handed out.
    var hasContent: Bool { handedOut > 0 }

    /// True when every choice that was asked for, or that there will be, has its finish reason: only usage may follow.
    var isWhole: Bool {
        guard begun != 0, begun == finished else { return false }
        let wanted = min(end.bounds.choices, OpenAIAnswerDecoder.choiceLimit)
        return hasDone || hasEnded || finished.nonzeroBitCount >= wanted
    }

    /// True when the answer is whole and nothing came behind its last finish reason.
    var isSettled: Bool { isWhole && handedOut == handedOutAtFinish }

    /// True when nothing that matters can follow.
    var isComplete: Bool { failure != nil || hasDone }

    /// Takes a whole answer that lies in one piece.
    mutating func decodeWhole(_ bytes: RawSpan, to sink: any AnswerSink) {
        precondition(!isStream && whole.isEmpty, "an answer is read once")
        hasRead = true
        readWhole(bytes, to: sink)
    }

    private mutating func readWhole(_ bytes: RawSpan, to sink: any AnswerSink) {
        read(bytes.extracting(OpenAIAnswerDecoder.markEnd(bytes)..<bytes.byteCount), to: sink)
    }

    /// Where a document begins: behind its byte order mark, if it has one.
    static func markEnd(_ bytes: RawSpan) -> Int {
        bytes.byteCount >= 3 && bytes.matches("\u{FEFF}", in: 0..<3) ? 3 : 0
    }

    /// Takes the next bytes of the body.
    mutating func decode(_ bytes: RawSpan, to sink: any AnswerSink) {
        guard failure == nil, !hasDone else { return }
        guard isStream else {
            guard whole.count + bytes.byteCount <= OpenAIAnswerDecoder.wholeLimit else { return fail(.protocolError) }
            // Memory that nobody wrote to is not there yet; moving what is there would take a turn longer than reading it.
            if whole.count > 4 * turnBytes { whole.reserve(OpenAIAnswerDecoder.wholeLimit - whole.count) }
            return whole.append(bytes)
        }
        var decoder = EventStreamDecoder()
        swap(&decoder, &events)
        do {
            try decoder.decode(bytes) { data in
                event(data, to: sink)
                return failure == nil && !hasDone
            }
        } catch {
            fail(.protocolError)
        }
        swap(&decoder, &events)
    }

    /// The body ended, or what matters of it: judges whether the answer is whole. False when more is to be done, in another turn: a large answer
    /// is read and handed out in parts.
    @discardableResult mutating func finish(to sink: any AnswerSink) -> Bool {
        guard failure == nil else { return true }
        hasEnded = true
        if !isStream, !hasRead {
            if whole.count > turnBytes {
                guard goOnWithLarge(to: sink) else { return false }
            } else {
                var body = ByteBuffer()
                swap(&body, &whole)
                readWhole(body.bytes, to: sink)
            }
            hasRead = true
        }
        if failure == nil { conclude(to: sink) }
        return true
    }

    /// All of it was read and handed out.
    private mutating func conclude(to sink: any AnswerSink) {
        if !isStream { finishSilentChoices() }
        guard isWhole else {
            // A body that ends without its terminal event is broken, whatever official clients make of it.
            guard hasContent else { return fail(.protocolError) }
            failure = ProviderFailure(.streamInterrupted, status: 200)
            return
        }
        // Half a character is broken text, as bad UTF-8 is.
        guard halves.isEmpty else { return fail(.protocolError) }
        completeCalls(of: 0)
        handOut(RawSpan(), to: sink)
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
        if let text = pattern.text(in: data) {
            // The frame is that of a chunk that was read whole: only the text is new.
            pass(data, text, pattern.choice, pattern.kind, to: sink)
            return
        }
        var (start, end) = (0, data.byteCount)
        while start < end, data.byte(at: start) <= 0x20 { start += 1 }
        while end > start, data.byte(at: end - 1) <= 0x20 { end -= 1 }
        // Some servers and proxies send their keep-alive comments as data.
        guard start < end, data.byte(at: start) != UInt8(ascii: ":") else { return }
        if data.matches("[DONE]", in: start..<end) {
            hasDone = true
        } else {
            read(data, to: sink)
            if failure == nil { pattern.learn(lesson, from: data) }
        }
    }

    /// Reads an event or a whole answer; hands out what it says when all of it proved to be sound.
    private mutating func read(_ bytes: RawSpan, to sink: any AnswerSink) {
        parse(bytes, JSONReader(bytes))
        guard failure == nil else { return held = [] }
        handOut(bytes, to: sink)
        noteNews()
    }

    /// Reads a document, and holds what it says.
    mutating func parse(_ bytes: RawSpan, _ start: consuming JSONReader) {
        (lesson, chunk) = (ChunkLesson(), ChunkNews())
        do {
            var reader = start
            guard case .objectStart = try reader.nextValue() else { return fail(.protocolError) }
            while let key = try reader.nextKey() { try member(key, &reader) }
            _ = try reader.next()
        } catch {
            fail(.protocolError)
        }
        if failure == nil, chunk.isErrorObject { failUnwrapped(bytes) }
    }

    /// What a document says beside its texts counts when they were handed out.
    mutating func noteNews() {
        if chunk.hasFinish { handedOutAtFinish = handedOut }
        if let usage = chunk.usage {
            end.reported.merge(usage)
            if usage.output != nil { end.outputWhenReported = end.output }
        }
    }

    private mutating func member(_ key: JSONText, _ reader: inout JSONReader) throws(JSONError) {
        if reader.matches(key, "choices") {
            try choices(&reader)
        } else if reader.matches(key, "usage") {
            try usage(&reader)
        } else if reader.matches(key, "error") {
            try error(&reader)
        } else if reader.matches(key, "x_groq") {
            try nestedUsage(&reader)
        } else if reader.matches(key, "object") {
            if case .string(let text) = try scalar(&reader) { chunk.isErrorObject = reader.matches(text, "error") }
        } else if reader.matches(key, "model") {
            if let text = try keep(&reader, end.model.isEmpty) { end.model = text }
        } else {
            try reader.skipValue()
        }
    }

    /// The text that comes next, when it is still wanted; all chunks repeat what the first one said.
    private func keep(_ reader: inout JSONReader, _ isWanted: Bool) throws(JSONError) -> String? {
        guard isWanted else {
            try reader.skipValue()
            return nil
        }
        guard case .string(let text) = try scalar(&reader) else { return nil }
        return word(reader, text, 128)
    }

    /// A text of at most so many bytes: what is longer is cut.
    func word(_ reader: borrowing JSONReader, _ text: JSONText, _ limit: Int) -> String {
        reader.string(reader.prefix(of: text, atMost: 6 * limit)).cut(to: limit)
    }

    /// A scalar value; arrays and objects are skipped whole and read as null.
    func scalar(_ reader: inout JSONReader) throws(JSONError) -> JSONReader.Event {
        let depth = reader.depth
        let event = try reader.nextValue()
        guard reader.depth > depth else { return event }
        try reader.skip(to: depth)
        return .null
    }
}

/// What one event, or a whole answer, says beside its texts.
struct ChunkNews {
    /// A choice ended.
    var hasFinish = false
    /// It calls itself an error, as Mistral's do.
    var isErrorObject = false
    var usage: ReportedUsage?
}
