// Citations and log probabilities: the provider's own JSON, in pieces that fit an EVENT of the wire.
import Core
import Wire

extension AnswerOutput {
    /// Bytes of JSON that one EVENT carries, behind its kind and its choice.
    static let eventRoom = StreamEvent.maximumPayload - 2

    /// Hands out the elements of the list that begins at `start`, from `mark` on; at its end nil is left there. False when about `most` bytes were
    /// looked at and more are there.
    mutating func passList(
        _ outer: borrowing JSONReader, at start: Int, _ list: HeldList, _ choice: UInt8,
        from mark: inout JSONReader.Mark?, atMost most: Int, to sink: any AnswerSink
    ) -> Bool {
        var reader = outer.reader(at: start)
        if let mark { reader.go(to: mark) } else if (try? reader.nextValue()) != .arrayStart { return true }
        let begin = reader.position
        /// Positions that go into one EVENT together.
        var joined: Range<Int>?
        while reader.position - begin < most {
            guard let element = try? reader.nextElement() else {
                if let joined { pass(list, reader.bytes, joined, choice, to: sink) }
                mark = nil
                return true
            }
            guard element.count <= AnswerOutput.room(of: list) else { continue }
            if case .logProbabilities = list, let open = joined,
                element.upperBound - open.lowerBound <= AnswerOutput.room(of: list)
            {
                joined = open.lowerBound..<element.upperBound
                continue
            }
            if let joined { pass(list, reader.bytes, joined, choice, to: sink) }
            joined = element
        }
        if let joined { pass(list, reader.bytes, joined, choice, to: sink) }
        mark = reader.mark
        return false
    }

    /// Bytes of elements that one EVENT carries.
    private static func room(of list: HeldList) -> Int {
        switch list {
        case .citations: eventRoom
        case .logProbabilities(let ofRefusal):
            eventRoom - frame(ofRefusal).front.utf8.count - frame(ofRefusal).back.utf8.count
        }
    }

    private static func frame(_ ofRefusal: Bool) -> (front: String, back: String) {
        (ofRefusal ? #"{"refusal":["# : #"{"content":["#, "]}")
    }

    private mutating func pass(
        _ list: HeldList, _ bytes: RawSpan, _ range: Range<Int>, _ choice: UInt8, to sink: any AnswerSink
    ) {
        switch list {
        case .citations: pass(.citation(choice: choice, json: bytes.array(range)), to: sink)
        case .logProbabilities(let ofRefusal):
            let frame = AnswerOutput.frame(ofRefusal)
            let json = Array(frame.front.utf8) + bytes.array(range) + Array(frame.back.utf8)
            pass(.logProbabilities(choice: choice, json: json), to: sink)
        }
    }
}
