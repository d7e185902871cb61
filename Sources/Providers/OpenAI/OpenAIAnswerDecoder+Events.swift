// Citations and log probabilities: the provider's own JSON, in pieces that fit an EVENT of the wire.
import Core
import Wire

extension OpenAIAnswerDecoder {
    /// Bytes of JSON that one EVENT carries, behind its kind and its choice.
    private static let eventRoom = StreamEvent.maximumPayload - 2

    /// Each annotation is one citation. What no EVENT can carry is left out.
    mutating func annotations(
        _ reader: inout JSONReader, _ choice: UInt8
    ) throws(JSONError) {
        let range = try reader.rawValue()
        for element in try OpenAIAnswerDecoder.elements(reader.bytes.extracting(range))
        where element.count <= OpenAIAnswerDecoder.eventRoom {
            let place = (range.lowerBound + element.lowerBound)..<(range.lowerBound + element.upperBound)
            hold(.citation(choice: choice, json: reader.bytes.array(place)))
        }
    }

    /// As the provider sent it when it fits; else its lists in pieces of the same form. A position that no EVENT can carry is left out.
    mutating func logProbabilities(
        _ bytes: RawSpan, _ range: Range<Int>, _ choice: UInt8
    ) throws(JSONError) {
        guard range.count > OpenAIAnswerDecoder.eventRoom else {
            return hold(.logProbabilities(choice: choice, json: bytes.array(range)))
        }
        let object = bytes.extracting(range)
        var reader = JSONReader(object)
        guard case .objectStart = try reader.nextValue() else { return }
        while let key = try reader.nextKey() {
            let name = reader.string(key)
            let list = try reader.rawValue()
            guard name == "content" || name == "refusal" else { continue }
            logProbabilities(object.extracting(list), name, choice)
        }
    }

    private mutating func logProbabilities(
        _ list: RawSpan, _ name: String, _ choice: UInt8
    ) {
        let (front, back) = (Array("{\"\(name)\":[".utf8), Array("]}".utf8))
        let room = OpenAIAnswerDecoder.eventRoom - front.count - back.count
        var piece: Range<Int>?
        for element in (try? OpenAIAnswerDecoder.elements(list)) ?? [] where element.count <= room {
            if let open = piece, element.upperBound - open.lowerBound <= room {
                piece = open.lowerBound..<element.upperBound
                continue
            }
            if let piece { hold(.logProbabilities(choice: choice, json: front + list.array(piece) + back)) }
            piece = element
        }
        if let piece { hold(.logProbabilities(choice: choice, json: front + list.array(piece) + back)) }
    }

    /// Where the elements of an array lie; none for anything else.
    private static func elements(_ bytes: RawSpan) throws(JSONError) -> [Range<Int>] {
        var reader = JSONReader(bytes)
        guard case .arrayStart = try reader.nextValue() else { return [] }
        var found: [Range<Int>] = []
        while let element = try reader.nextElement() { found.append(element) }
        return found
    }
}
