// Makes events of what came over the wire: characters made whole, arguments given to their tool call.
import Core
import Wire

/// What of one stream waits for its other half. The reader's own, no matter on which thread.
struct EventAssembler {
    /// A delta's bytes, or an event, as they came.
    enum Piece {
        case accepted(Accepted)
        case delta(choice: UInt8, kind: DeltaKind, bytes: [UInt8])
        case event(StreamEvent)
    }

    /// Beginnings of characters that are not complete, at most three bytes each, by choice and kind.
    private var beginnings: [UInt8: [UInt8]] = [:]
    /// The tool call whose arguments come, by choice.
    private var toolCalls: [UInt8: Int] = [:]

    /// The event that a piece makes; nil when it only began or is unknown to this version.
    mutating func event(_ piece: consuming Piece) -> ChatEvent? {
        switch piece {
        case .accepted(let accepted): return .accepted(accepted)
        case .delta(let choice, .audio, let bytes): return .audio(bytes, choice: Int(choice))
        case .delta(let choice, let kind, let bytes):
            guard let text = whole(choice << 4 | kind.rawValue, bytes) else { return nil }
            return event(text, kind, choice)
        case .event(let event): return self.event(event)
        }
    }

    private func event(_ text: String, _ kind: DeltaKind, _ choice: UInt8) -> ChatEvent? {
        switch kind {
        case .text: .text(text, choice: Int(choice))
        case .reasoning: .reasoning(text, choice: Int(choice))
        case .refusal: .refusal(text, choice: Int(choice))
        case .toolArguments: .toolCallArguments(text, index: toolCalls[choice] ?? 0, choice: Int(choice))
        case .audio, .vectors: nil
        }
    }

    private mutating func event(_ event: StreamEvent) -> ChatEvent? {
        switch event {
        case .toolCallStart(let choice, let index, let id, let name):
            toolCalls[choice] = Int(index)
            return .toolCallStart(id: id, name: name, index: Int(index), choice: Int(choice))
        case .toolCallResume(let choice, let index):
            toolCalls[choice] = Int(index)
            return nil
        case .restart(let choice, let attempt):
            for kind in DeltaKind.allCases { beginnings[choice << 4 | kind.rawValue] = nil }
            toolCalls[choice] = nil
            return .restart(attempt: Int(attempt), choice: Int(choice))
        case .choiceEnd(let choice, let finish): return .choiceEnd(finish, choice: Int(choice))
        case .citation(let choice, let json): return .citation(json, choice: Int(choice))
        case .logProbabilities(let choice, let json): return .logProbabilities(json, choice: Int(choice))
        case .usage(let input, let output, let cached):
            return .usage(inputTokens: Int(input), outputTokens: Int(output), cachedTokens: Int(cached))
        case .other: return nil
        }
    }

    /// The characters that are complete now; a frame may end inside one.
    private mutating func whole(_ key: UInt8, _ bytes: [UInt8]) -> String? {
        var all = bytes
        if let beginning = beginnings.removeValue(forKey: key) { all = beginning + bytes }
        let rest = EventAssembler.incompleteTail(all)
        if rest > 0 { beginnings[key] = Array(all.suffix(rest)) }
        return rest == all.count ? nil : String(decoding: all.dropLast(rest), as: UTF8.self)
    }

    /// How many bytes at the end begin a character that needs more; at most three.
    static func incompleteTail(_ bytes: [UInt8]) -> Int {
        for length in 1...3 where length <= bytes.count {
            let byte = bytes[bytes.count - length]
            if byte & 0xC0 == 0x80 { continue }
            let needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return needed > length ? length : 0
        }
        return 0
    }
}
