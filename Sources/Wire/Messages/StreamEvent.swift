// EVENT: what belongs to an answer but is not text.

import Core

/// Something in an answer that is not text. PROTOCOL.md, section 5.5. A payload has at most 4,096 bytes.
public enum StreamEvent: Sendable, Equatable {
    /// A tool call begins; the DELTAs of kind `toolArguments` on this choice belong to it from here on.
    case toolCallStart(choice: UInt8, index: UInt16, id: String, name: String)
    /// Further arguments belong to the tool call with this index again.
    case toolCallResume(choice: UInt8, index: UInt16)
    /// One choice of several is complete.
    case choiceEnd(choice: UInt8, finish: FinishReason)
    /// Everything said so far on this choice is void: another attempt begins.
    case restart(choice: UInt8, attempt: UInt8)
    /// A citation, as the provider's JSON.
    case citation(choice: UInt8, json: [UInt8])
    /// Log probabilities, as the provider's JSON.
    case logProbabilities(choice: UInt8, json: [UInt8])
    /// Usage so far.
    case usage(inputTokens: UInt32, outputTokens: UInt32, cachedTokens: UInt32)
    /// A number of 0x80 or above that this version does not know.
    case other(kind: UInt8, choice: UInt8, body: [UInt8])

    /// Longest payload of an EVENT.
    public static let maximumPayload = 4096

    var kind: UInt8 {
        switch self {
        case .toolCallStart: 1
        case .toolCallResume: 2
        case .choiceEnd: 3
        case .restart: 4
        case .citation: 5
        case .logProbabilities: 6
        case .usage: 7
        case .other(let kind, _, _): kind
        }
    }

    var choice: UInt8 {
        switch self {
        case .toolCallStart(let choice, _, _, _), .toolCallResume(let choice, _), .choiceEnd(let choice, _),
            .restart(let choice, _), .citation(let choice, _), .logProbabilities(let choice, _),
            .other(_, let choice, _):
            choice
        case .usage: 0
        }
    }

    func encode(into buffer: inout ByteBuffer, stream: UInt32) {
        let mark = buffer.beginFrame(.event, stream: stream)
        buffer.append(kind)
        buffer.append(choice)
        switch self {
        case .toolCallStart(_, let index, let id, let name):
            buffer.append(integer: index)
            buffer.append(shortText: id)
            buffer.append(shortText: name)
        case .toolCallResume(_, let index): buffer.append(integer: index)
        case .choiceEnd(_, let finish): buffer.append(finish.rawValue)
        case .restart(_, let attempt): buffer.append(attempt)
        case .citation(_, let json), .logProbabilities(_, let json), .other(_, _, let json): buffer.append(json)
        case .usage(let input, let output, let cached):
            buffer.append(integer: input)
            buffer.append(integer: output)
            buffer.append(integer: cached)
        }
        buffer.endFrame(mark)
        precondition(
            buffer.count - mark <= FrameHeader.size + Self.maximumPayload, "an event's payload has at most 4,096 bytes")
    }

    init(_ reader: inout FieldReader) throws(WireFault) {
        guard reader.remaining <= Self.maximumPayload else { throw WireFault(.frameTooLong) }
        let kind: UInt8 = try reader.integer()
        let choice: UInt8 = try reader.integer()
        guard choice < 16 else { throw WireFault(.fieldValue) }
        switch kind {
        case 1:
            let index: UInt16 = try reader.integer()
            let id = try reader.text(Int(try reader.integer(UInt8.self)))
            let name = try reader.text(Int(try reader.integer(UInt8.self)))
            self = .toolCallStart(choice: choice, index: index, id: id, name: name)
        case 2: self = .toolCallResume(choice: choice, index: try reader.integer())
        case 3:
            guard let finish = FinishReason(rawValue: try reader.integer()) else {
                throw WireFault(.fieldValue)
            }
            self = .choiceEnd(choice: choice, finish: finish)
        case 4: self = .restart(choice: choice, attempt: try reader.integer())
        case 5: self = .citation(choice: choice, json: try reader.array(reader.remaining))
        case 6: self = .logProbabilities(choice: choice, json: try reader.array(reader.remaining))
        case 7:
            guard choice == 0 else { throw WireFault(.reservedNotZero) }
            self = .usage(
                inputTokens: try reader.integer(), outputTokens: try reader.integer(),
                cachedTokens: try reader.integer())
        case 0x80...: self = .other(kind: kind, choice: choice, body: try reader.array(reader.remaining))
        default: throw WireFault(.fieldValue)
        }
        try reader.expectEnd()
    }
}
