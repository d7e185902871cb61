// What an answer hands out: held until the event that it came in is known to be sound, then passed to whoever reads.
import Core
import Policy
import Wire

/// A piece of an event that waits until all of the event was read.
enum HeldPiece {
    /// A text in the event.
    case text(JSONText, UInt8, DeltaKind)
    case event(StreamEvent)
    /// Where a list lies whose elements are passed on as they are.
    case list(Int, HeldList, choice: UInt8)
    /// The arguments of a call that was given none.
    case emptyArguments(choice: UInt8)
}

/// Lists of the provider's own JSON.
enum HeldList {
    case citations
    /// Of the text, or of a refusal.
    case logProbabilities(ofRefusal: Bool)
}

/// The first half of a surrogate pair, at the end of what came of one text.
struct HalfCharacter {
    let choice: UInt8
    let kind: DeltaKind
    let unit: UInt32
}

extension OpenAIAnswerDecoder {
    /// Holds a piece of text of the event under way. False for an empty one.
    mutating func hold(_ text: JSONText, _ choice: UInt8, _ kind: DeltaKind) -> Bool {
        guard !text.range.isEmpty else { return false }
        held.append(.text(text, choice, kind))
        return true
    }

    /// Holds what is not text.
    mutating func hold(_ event: StreamEvent) { held.append(.event(event)) }

    /// Hands out what was held of the event in `bytes`.
    mutating func handOut(_ bytes: RawSpan, to sink: any AnswerSink) {
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
        held.removeAll(keepingCapacity: isStream)
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
