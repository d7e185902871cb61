// Citations and log probabilities: where they lie in a message.
import Core
import Wire

extension OpenAIAnswerReader {
    /// Each annotation is one citation. What no EVENT can carry is left out.
    func annotations(
        _ reader: inout JSONReader, _ choice: UInt8, _ answer: inout AnswerOutput
    ) throws(JSONError) {
        answer.hold(.citations, at: try reader.rawValue().lowerBound, choice)
    }

    /// As the provider sent it when it fits; else its lists in pieces of the same form. A position that no EVENT can carry is left out.
    func logProbabilities(
        _ outer: borrowing JSONReader, _ range: Range<Int>, _ choice: UInt8, _ answer: inout AnswerOutput
    ) throws(JSONError) {
        guard range.count > AnswerOutput.eventRoom else {
            return answer.hold(.logProbabilities(choice: choice, json: outer.bytes.array(range)))
        }
        var reader = outer.reader(at: range.lowerBound)
        guard case .objectStart = try reader.nextValue() else { return }
        while let key = try reader.nextKey() {
            let isRefusal = reader.matches(key, "refusal")
            let isList = isRefusal || reader.matches(key, "content")
            let list = try reader.rawValue()
            if isList { answer.hold(.logProbabilities(ofRefusal: isRefusal), at: list.lowerBound, choice) }
        }
    }
}
