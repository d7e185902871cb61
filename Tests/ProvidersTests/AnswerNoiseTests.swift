// Answers with broken bytes: never a crash, one judgement, the same in every split.
import Core
import Testing
import Wire

@testable import Providers

@Suite struct AnswerNoiseTests {
    /// A fixture's body with bytes changed, left out, doubled or moved.
    private func spoiled(_ bytes: [UInt8], _ chance: inout Chance) -> [UInt8] {
        var bytes = bytes
        for _ in 0...chance.below(4) where !bytes.isEmpty {
            let place = Int(chance.below(UInt64(bytes.count)))
            switch chance.below(5) {
            case 0: bytes[place] = UInt8(chance.below(256))
            case 1: bytes.remove(at: place)
            case 2: bytes.removeLast(bytes.count - place)
            case 3: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 40)], at: place)
            // The bytes that mean something are the ones that hurt.
            default: bytes[place] = Array("\"\\{}[]:,0\n".utf8)[Int(chance.below(10))]
            }
        }
        return bytes
    }

    /// The answer in these pieces.
    private func read(_ pieces: [ArraySlice<UInt8>], isStream: Bool) -> Decoded {
        var decoder = AnswerDecoder(.openAI(OpenAIAnswerReader()), isStream: isStream)
        let sink = Transcript()
        for piece in pieces { decoder.decode(Array(piece).span.bytes, to: sink) }
        decoder.finish(to: sink)
        return Decoded(
            lines: sink.lines, events: sink.events, end: decoder.end, failure: decoder.failure,
            handedOut: decoder.answer.handedOut)
    }

    @Test(arguments: Fixture.all.filter { !$0.isHTTP })
    func `a spoiled answer means the same in every split`(_ fixture: Fixture) {
        var chance = Chance(seed: UInt64(fixture.bytes.count))
        for round in 0..<60 {
            let bytes = spoiled(fixture.bytes, &chance)
            let whole = read([bytes[...]], isStream: fixture.isStream)
            let cut = Int(chance.below(UInt64(bytes.count + 1)))
            for pieces in [[bytes[..<cut], bytes[cut...]], bytes.indices.map { bytes[$0...$0] }] {
                let split = read(pieces, isStream: fixture.isStream)
                #expect(split.lines == whole.lines, "round \(round)")
                #expect(split.failure == whole.failure && split.end == whole.end, "round \(round)")
            }
            #expect(whole.failure == nil || whole.handedOut == 0 || whole.failure?.kind == .streamInterrupted)
            for event in whole.events {
                if case .toolCallStart(_, let index, let id, let name) = event {
                    #expect(
                        index < 128 && !id.isEmpty && !name.isEmpty && id.utf8.count <= 200 && name.utf8.count <= 200)
                }
            }
        }
    }
}
