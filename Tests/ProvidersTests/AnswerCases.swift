// Answers that real servers gave, each with its right meaning; AnswerCaseTests and the proof read them in every split.
import Core
import Testing
import Wire

@testable import Providers

/// One answer: the bytes of its body, and what they mean.
struct AnswerCase: Sendable, CustomTestStringConvertible {
    /// The public case that it comes from, or what it is about.
    let id: String
    var isStream = true
    let body: [UInt8]
    /// What its dialect is.
    var reader: @Sendable () -> AnswerReader = { .openAI(OpenAIAnswerReader()) }
    var bounds = AnswerBounds()
    /// What is handed out, one line a piece; texts of one kind that follow each other are joined.
    var lines: [String] = []
    var finish = FinishReason.stop
    /// Input and output; input that the provider did not say is `estimatedInput`.
    var tokens: (input: Int64, output: Int64)?
    /// Whether both are the provider's.
    var isReported = true
    var failure: FailureClass?
    var testDescription: String { id }

    /// What is reserved for a prompt whose provider does not say its size.
    static let estimatedInput: Int64 = 7

    /// A stream of these events, `[DONE]` behind them.
    static func stream(_ id: String, _ events: [String], done: Bool = true) -> AnswerCase {
        let all = events + (done ? ["[DONE]"] : [])
        return AnswerCase(id: id, body: Array(all.map { "data: \($0)\n\n" }.joined().utf8))
    }

    /// A stream of these very bytes.
    static func raw(_ id: String, _ text: String) -> AnswerCase { AnswerCase(id: id, body: Array(text.utf8)) }

    /// A whole answer.
    static func whole(_ id: String, _ json: String) -> AnswerCase {
        AnswerCase(id: id, isStream: false, body: Array(json.utf8))
    }

    func gives(_ lines: String..., finish: FinishReason = .stop) -> AnswerCase {
        var copy = self
        (copy.lines, copy.finish) = (lines, finish)
        return copy
    }

    func uses(_ input: Int64, _ output: Int64, isReported: Bool = true) -> AnswerCase {
        var copy = self
        (copy.tokens, copy.isReported) = ((input, output), isReported)
        return copy
    }

    func fails(_ kind: FailureClass, _ lines: String...) -> AnswerCase {
        var copy = self
        (copy.failure, copy.lines) = (kind, lines)
        return copy
    }

    func within(input: Int64 = Usage.most, output: Int64 = Usage.most, choices: Int = 1) -> AnswerCase {
        var copy = self
        (copy.bounds.inputTokens, copy.bounds.outputTokens, copy.bounds.choices) = (input, output, choices)
        return copy
    }

    // MARK: - What it comes to

    /// The answer, its body in these pieces.
    func read(_ pieces: [ArraySlice<UInt8>], turnBytes: Int = AnswerDecoder.turnBytes) -> Reading {
        var decoder = AnswerDecoder(reader(), isStream: isStream, bounds: bounds, turnBytes: turnBytes)
        let sink = JoinedTranscript()
        for piece in pieces { decoder.decode(Array(piece).span.bytes, to: sink) }
        while !decoder.finish(to: sink) {}
        let used = decoder.end.used(estimatedInput: AnswerCase.estimatedInput)
        return Reading(
            lines: sink.lines, finish: decoder.end.finish, input: used.usage.inputTokens,
            output: used.usage.outputTokens, isReported: used.isReported, failure: decoder.failure?.kind)
    }

    /// What a reading should be; a failure says nothing about what is not expected of it.
    func differs(from reading: Reading) -> String? {
        if reading.failure != failure { return "failure \(String(describing: reading.failure))" }
        if reading.lines != lines { return "handed out \(reading.lines)" }
        if failure == nil, reading.finish != finish { return "finish \(reading.finish)" }
        guard let tokens else { return nil }
        let isRight =
            reading.input == tokens.input && reading.output == tokens.output && reading.isReported == isReported
        return isRight ? nil : "tokens \(reading.input)/\(reading.output), reported \(reading.isReported)"
    }

    /// Deliveries that `firstWrong` tries.
    var splits: Int { body.count < 1_024 ? body.count + 3 : 131 }

    /// The first split in which it does not mean what it should: at once, byte by byte, cut at every place, of a long one at 128.
    func firstWrong() -> String? {
        let bytes = body[...]
        if let wrong = differs(from: read([bytes])) { return "at once: \(wrong)" }
        if let wrong = differs(from: read(bytes.indices.map { bytes[$0...$0] })) { return "byte by byte: \(wrong)" }
        let step = bytes.count < 1_024 ? 1 : bytes.count / 128
        for cut in stride(from: 0, through: bytes.count, by: step) {
            if let wrong = differs(from: read([bytes[..<cut], bytes[cut...]])) { return "cut at \(cut): \(wrong)" }
        }
        return nil
    }
}

/// What an answer came to.
struct Reading: Equatable {
    let lines: [String]
    let finish: FinishReason
    let input: Int64
    let output: Int64
    let isReported: Bool
    let failure: FailureClass?
}

/// A transcript in which pieces of one text are one line, wherever the stream was cut.
final class JoinedTranscript: AnswerSink {
    private var texts: [(head: String, bytes: [UInt8])] = []
    private let events = Transcript()

    var lines: [String] { texts.map { $0.head + String(decoding: $0.bytes, as: UTF8.self) } }

    func answerDelta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        let head = "\(choice) \(kind) "
        if texts.last?.head != head { texts.append((head, [])) }
        texts[texts.count - 1].bytes += bytes.array()
    }

    func answerEvent(_ event: StreamEvent) {
        events.answerEvent(event)
        texts.append((events.lines.last ?? "", []))
    }
}
