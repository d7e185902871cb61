// What an answer comes to, whatever its dialect: held until the event that it came in is known to be sound, then passed to whoever reads.
import Core
import Policy
import Wire

/// An answer as it grows. A dialect's reader says what an event means; nothing of it is handed out before all of the event proved to be sound,
/// for until then another target may answer instead.
struct AnswerOutput: ~Copyable {
    var end = AnswerEnd()
    private(set) var failure: ProviderFailure?
    /// True when the stream's end mark was seen: what follows is not read.
    var hasDone = false
    /// True when the body is over: choices that never began will not.
    var hasEnded = false
    /// Choices that were begun and that were finished, one bit each.
    private(set) var begun: UInt64 = 0
    private(set) var finished: UInt64 = 0
    /// Pieces and events that were handed out: what a client saw.
    private(set) var handedOut: Int64 = 0
    /// The same and what came but is not complete yet, such as the name of a call: what counts as progress.
    var progress: Int64 = 0
    /// What had been handed out when a choice last ended; -1 before.
    private(set) var handedOutAtFinish: Int64 = -1
    /// What the event under way, or the whole answer, came to so far.
    var held: [HeldPiece] = []
    /// Characters of which only a half came; nearly always none.
    private(set) var halves: [HalfCharacter] = []
    /// What the event under way came to.
    var lesson = ChunkLesson()
    var news = AnswerNews()
    private var scratch = ByteBuffer()

    /// Choices that an answer may have (protocol, section 5.4: four bits).
    static let choiceLimit = 16

    /// True once something that a client can see was handed out.
    var hasContent: Bool { handedOut > 0 }

    /// True when every choice that was asked for, or that there will be, has its finish reason: only usage may follow.
    var isWhole: Bool {
        guard begun != 0, begun == finished else { return false }
        let wanted = min(end.bounds.choices, AnswerOutput.choiceLimit)
        return hasDone || hasEnded || finished.nonzeroBitCount >= wanted
    }

    /// True when the answer is whole and nothing came behind its last finish reason.
    var isSettled: Bool { isWhole && handedOut == handedOutAtFinish }

    // MARK: - What a reader says

    /// An event, or a whole answer, is read next.
    mutating func beginEvent() { (lesson, news) = (ChunkLesson(), AnswerNews()) }

    /// A choice has begun.
    mutating func begin(choice: Int) { begun |= 1 << UInt64(choice) }

    /// Choices that began and have no end yet.
    var openChoices: [Int] { (0..<AnswerOutput.choiceLimit).filter { begun & ~finished & (1 << UInt64($0)) != 0 } }

    /// A choice has ended; `word` is the provider's own.
    mutating func finish(choice: Int, _ reason: FinishReason, _ word: String) {
        lesson.noteOther()
        news.hasFinish = true
        finished |= 1 << UInt64(choice)
        guard choice == 0 else { return hold(.choiceEnd(choice: UInt8(choice), finish: reason)) }
        end.finish = reason
        end.finishWord = word
    }

    /// Holds a piece of text of the event under way. False for an empty one.
    @discardableResult mutating func hold(_ text: JSONText, _ choice: UInt8, _ kind: DeltaKind) -> Bool {
        guard !text.range.isEmpty else { return false }
        held.append(.text(text, choice, kind))
        return true
    }

    /// Holds what is not text.
    mutating func hold(_ event: StreamEvent) { held.append(.event(event)) }

    /// Holds a list whose elements are passed on as they are, by where it begins.
    mutating func hold(_ list: HeldList, at start: Int, _ choice: UInt8) {
        held.append(.list(start, list, choice: choice))
    }

    /// Figures of what was used.
    mutating func note(_ usage: ReportedUsage) {
        lesson.noteOther()
        news.usage = usage
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

    /// The body is over before the answer is: it is broken, whatever official clients make of it.
    mutating func breakOff() {
        guard hasContent else { return fail(.protocolError) }
        failure = ProviderFailure(.streamInterrupted, status: 200)
    }

    // MARK: - Handing out

    /// Hands out what was held of the event in `bytes`; `keeps`: more events come, which need the room.
    mutating func handOut(_ bytes: RawSpan, keeps: Bool, to sink: any AnswerSink) {
        for place in held.indices {
            switch held[place] {
            case .text(let text, let choice, let kind): pass(bytes, text, choice, kind, to: sink)
            case .event(let event): pass(event, to: sink)
            case .list(let start, let list, let choice):
                var mark: JSONReader.Mark?
                _ = passList(JSONReader(bytes), at: start, list, choice, from: &mark, atMost: .max, to: sink)
            case .emptyArguments(let choice): passEmptyArguments(choice, to: sink)
            }
            guard failure == nil else { break }
        }
        held.removeAll(keepingCapacity: keeps)
    }

    /// What an event says beside its texts counts when they were handed out.
    mutating func noteNews() {
        if news.hasFinish { handedOutAtFinish = handedOut }
        if let usage = news.usage {
            end.reported.merge(usage)
            if usage.output != nil { end.outputWhenReported = end.output }
        }
    }

    /// Passes a text on. Called for nearly every piece of every stream: without escapes nothing is copied.
    mutating func pass(
        _ bytes: RawSpan, _ text: JSONText, _ choice: UInt8, _ kind: DeltaKind, to sink: any AnswerSink
    ) {
        lesson.noteText(text.range, choice, kind)
        guard text.hasEscapes || !halves.isEmpty else {
            guard !text.range.isEmpty else { return }
            note(text.range.count)
            return sink.answerDelta(choice: choice, kind: kind, bytes.extracting(text.range))
        }
        var half = takeHalf(choice, kind)
        scratch.removeAll()
        guard JSONReader(bytes).unescape(text, into: &scratch, half: &half) else { return fail(.protocolError) }
        if half != 0 { halves.append(HalfCharacter(choice: choice, kind: kind, unit: half)) }
        guard scratch.count > 0 else { return }
        note(scratch.count)
        sink.answerDelta(choice: choice, kind: kind, scratch.bytes)
    }

    private mutating func note(_ byteCount: Int) {
        handedOut += 1
        progress += 1
        end.output.note(byteCount)
    }

    /// The half of a character with which the last text of this kind ended; 0 for none.
    private mutating func takeHalf(_ choice: UInt8, _ kind: DeltaKind) -> UInt32 {
        guard let place = halves.firstIndex(where: { $0.choice == choice && $0.kind == kind }) else { return 0 }
        return halves.remove(at: place).unit
    }

    mutating func pass(_ event: StreamEvent, to sink: any AnswerSink) {
        lesson.noteOther()
        handedOut += 1
        progress += 1
        // The name of a tool is output, too.
        if case .toolCallStart(_, _, _, let name) = event { end.output.note(name.utf8.count) }
        sink.answerEvent(event)
    }

    /// An empty text is no JSON: who reads the arguments, or sends them back in the next turn, needs an object.
    mutating func passEmptyArguments(_ choice: UInt8, to sink: any AnswerSink) {
        scratch.removeAll()
        scratch.append(literal: "{}")
        handedOut += 1
        sink.answerDelta(choice: choice, kind: .toolArguments, scratch.bytes)
    }
}
