// What the events of an answer mean, in each dialect.
import Core

/// The state of a dialect's reader. An enum, so that no answer costs a box of its own; most events of most streams do not even come here
/// (`ChunkPattern`).
///
/// A dialect adds a case. Its reader gets one document at a time, whatever they are framed in, says what it means by the methods of `AnswerOutput`,
/// and throws where it is no JSON.
enum AnswerReader {
    case openAI(OpenAIAnswerReader)
    /// Only while it reads: then nothing of its state is copied.
    case atWork

    /// Reads an event, or a whole answer, from behind the first bracket of its object to the last.
    mutating func read(_ document: inout JSONReader, _ answer: inout AnswerOutput) throws(JSONError) {
        switch self {
        case .openAI(var reader):
            self = .atWork
            defer { self = .openAI(reader) }
            try reader.read(&document, &answer)
        case .atWork: preconditionFailure("a reader does not call itself")
        }
    }

    /// True for an event that is no document but says that the stream is over.
    func isEndMark(_ data: RawSpan, _ range: Range<Int>) -> Bool {
        switch self {
        case .openAI: OpenAIAnswerReader.isEndMark(data, range)
        case .atWork: false
        }
    }

    /// A whole answer is over: what it does not say about its end follows from the rest.
    mutating func endWhole(_ answer: inout AnswerOutput) {
        switch self {
        case .openAI(var reader):
            self = .atWork
            defer { self = .openAI(reader) }
            reader.endWhole(&answer)
        case .atWork: preconditionFailure("a reader does not call itself")
        }
    }

    /// All that the answer has is here.
    mutating func end(_ answer: inout AnswerOutput) {
        switch self {
        case .openAI(var reader):
            self = .atWork
            defer { self = .openAI(reader) }
            reader.end(&answer)
        case .atWork: preconditionFailure("a reader does not call itself")
        }
    }
}

extension JSONReader {
    /// A scalar value; arrays and objects are skipped whole and read as null.
    mutating func scalar() throws(JSONError) -> JSONReader.Event {
        let depth = depth
        let event = try nextValue()
        guard self.depth > depth else { return event }
        try skip(to: depth)
        return .null
    }

    /// The next value, when it is a whole number.
    mutating func wholeNumber() throws(JSONError) -> Int64? {
        guard case .number(let digits) = try scalar() else { return nil }
        return integer(digits.range)
    }

    /// A text of at most so many bytes: what is longer is cut.
    func word(_ text: JSONText, _ limit: Int) -> String {
        string(prefix(of: text, atMost: 6 * limit)).cut(to: limit)
    }
}
