// Turns the body of an answer, whole or as events, into the canonical answer: framing and judgement; what an event means its dialect says.
import Core
import HTTP
import Wire

/// Decodes one answer of any dialect.
struct AnswerDecoder: ~Copyable {
    /// The framing of streams: server-sent events.
    private var events = EventStreamDecoder()
    /// The other framing, one document: until it is read, or a large one until all of it is handed out.
    var whole = ByteBuffer()
    /// How far a large answer is; nil for others.
    var large: LargeAnswer?
    let isStream: Bool
    var answer = AnswerOutput()
    private var reader: AnswerReader
    private var pattern = ChunkPattern()
    /// True when a whole answer was read already.
    private var hasRead = false
    let turnBytes: Int

    /// Bytes of a whole answer that are gathered before they are read.
    static let wholeLimit = 32 << 20
    /// Bytes of an answer that one turn of a lane reads or hands out.
    static let turnBytes = 256 * 1024
    init(
        _ reader: AnswerReader, isStream: Bool, bounds: AnswerBounds = AnswerBounds(),
        turnBytes: Int = AnswerDecoder.turnBytes
    ) {
        self.reader = reader
        self.isStream = isStream
        self.turnBytes = turnBytes
        answer.end.bounds = bounds
    }

    var end: AnswerEnd { answer.end }
    var failure: ProviderFailure? { answer.failure }
    var hasContent: Bool { answer.hasContent }
    var progress: Int64 { answer.progress }

    /// True when nothing that matters can follow.
    var isComplete: Bool { failure != nil || answer.hasDone }

    /// Takes a whole answer that lies in one piece.
    mutating func decodeWhole(_ bytes: RawSpan, to sink: any AnswerSink) {
        precondition(!isStream && whole.isEmpty, "an answer is read once")
        hasRead = true
        readWhole(bytes, to: sink)
    }

    private mutating func readWhole(_ bytes: RawSpan, to sink: any AnswerSink) {
        read(bytes.extracting(AnswerDecoder.markEnd(bytes)..<bytes.byteCount), to: sink)
    }

    /// Where a document begins: behind its byte order mark, if it has one.
    static func markEnd(_ bytes: RawSpan) -> Int {
        bytes.byteCount >= 3 && bytes.matches("\u{FEFF}", in: 0..<3) ? 3 : 0
    }

    /// Takes the next bytes of the body.
    mutating func decode(_ bytes: RawSpan, to sink: any AnswerSink) {
        guard !isComplete else { return }
        guard isStream else {
            guard whole.count + bytes.byteCount <= AnswerDecoder.wholeLimit else { return answer.fail(.protocolError) }
            // Memory that nobody wrote to is not there yet; moving what is there would take a turn longer than reading it.
            if whole.count > 4 * turnBytes { whole.reserve(AnswerDecoder.wholeLimit - whole.count) }
            return whole.append(bytes)
        }
        var decoder = EventStreamDecoder()
        swap(&decoder, &events)
        do {
            try decoder.decode(bytes) { data in
                event(data, to: sink)
                return !isComplete
            }
        } catch {
            answer.fail(.protocolError)
        }
        swap(&decoder, &events)
    }

    /// The body ended, or what matters of it: judges whether the answer is whole. False when more is to be done, in another turn: a large answer
    /// is read and handed out in parts.
    @discardableResult mutating func finish(to sink: any AnswerSink) -> Bool {
        guard failure == nil else { return true }
        answer.hasEnded = true
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
        if !isStream { reader.endWhole(&answer) }
        guard answer.isWhole else { return answer.breakOff() }
        // Half a character is broken text, as bad UTF-8 is.
        guard answer.halves.isEmpty else { return answer.fail(.protocolError) }
        reader.end(&answer)
        answer.handOut(RawSpan(), keeps: false, to: sink)
    }

    private mutating func event(_ data: RawSpan, to sink: any AnswerSink) {
        if let text = pattern.text(in: data) {
            // The frame is that of a chunk that was read whole: only the text is new.
            answer.pass(data, text, pattern.choice, pattern.kind, to: sink)
            return
        }
        var (start, end) = (0, data.byteCount)
        while start < end, data.byte(at: start) <= 0x20 { start += 1 }
        while end > start, data.byte(at: end - 1) <= 0x20 { end -= 1 }
        // Some servers and proxies send their keep-alive comments as data.
        guard start < end, data.byte(at: start) != UInt8(ascii: ":") else { return }
        if reader.isEndMark(data, start..<end) {
            answer.hasDone = true
        } else {
            read(data, to: sink)
            if failure == nil { pattern.learn(answer.lesson, from: data) }
        }
    }

    /// Reads an event or a whole answer; hands out what it says when all of it proved to be sound.
    private mutating func read(_ bytes: RawSpan, to sink: any AnswerSink) {
        parse(JSONReader(bytes))
        guard failure == nil else { return answer.held = [] }
        answer.handOut(bytes, keeps: isStream, to: sink)
        answer.noteNews()
    }

    /// Reads a document, and holds what it says.
    mutating func parse(_ start: consuming JSONReader) {
        answer.beginEvent()
        do {
            var document = start
            guard case .objectStart = try document.nextValue() else { return answer.fail(.protocolError) }
            try reader.read(&document, &answer)
            _ = try document.next()
        } catch {
            answer.fail(.protocolError)
        }
    }
}
