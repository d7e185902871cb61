// Reading chunks by what they have in common gives what reading each of them whole gives.
import Core
import Testing
import Wire

@testable import Providers

@Suite struct ChunkPatternTests {
    /// Chunks that differ in one place or another, so that patterns are learned, fit, nearly fit, and are forgotten.
    static let chunks: [String] = {
        let texts = [
            "a", "", "bc", #"\n"#, #"\"}"#, #"\u00e9"#, "é", #"\ud83d\ude00"#, #"x","b":"y"#, #"]}]}"#, #"\\"#,
            "longer than eight",
        ]
        var chunks = texts.map { Decoded.chunk(#"{"content":"\#($0)"}"#) }
        chunks += texts.map { Decoded.chunk(#"{"reasoning":"\#($0)"}"#) }
        chunks += texts.map { Decoded.chunk(#"{"content":"\#($0)"}"#, choice: 1) }
        chunks += texts.map { Decoded.chunk(#"{"content":"\#($0)","refusal":null}"#) }
        chunks += texts.map { Decoded.chunk(#"{"reasoning":"\#($0)","reasoning_content":"a"}"#) }
        chunks += texts.map { Decoded.chunk(#"{"tool_calls":[{"index":0,"function":{"arguments":"\#($0)"}}]}"#) }
        chunks += texts.map { Decoded.chunk(#"{"tool_calls":[{"index":1,"function":{"arguments":"\#($0)"}}]}"#) }
        chunks.append(Decoded.chunk(#"{"tool_calls":[{"index":0,"id":"i","function":{"name":"f","arguments":""}}]}"#))
        chunks.append(Decoded.chunk(#"{"tool_calls":[{"index":1,"id":"j","function":{"name":"g","arguments":"x"}}]}"#))
        chunks.append(#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#)
        chunks.append(#"{"choices":[{"delta":{"content":"late"},"index":0}]}"#)
        chunks.append(#"{"choices":[{"delta":{"content":"later"},"index":0}]}"#)
        chunks.append(Decoded.chunk(#"{"content":"end"}"#, finish: "stop"))
        return chunks
    }()

    /// The same chunks with white space that differs each time, so that no pattern ever fits.
    func spaced(_ chunks: [String]) -> [String] {
        chunks.enumerated().map {
            String(repeating: " ", count: $0.offset % 7) + "{" + String(repeating: " ", count: 1 + $0.offset % 5)
                + $0.element.dropFirst()
        }
    }

    @Test(arguments: 0..<200) func `any order of chunks means the same with and without patterns`(seed: UInt64) {
        var chance = Chance(seed: seed)
        var picked = [Self.chunks[Int(chance.next() % 12)]]
        for _ in 0..<60 {
            // Runs of one kind are what patterns are for.
            let run = Int(chance.next() % UInt64(Self.chunks.count))
            for step in 0..<(1 + Int(chance.next() % 4)) {
                picked.append(Self.chunks[min(run + step, Self.chunks.count - 1)])
            }
        }
        let (with, without) = (Decoded.stream(picked), Decoded.stream(spaced(picked)))
        #expect(with.lines == without.lines, "seed \(seed)")
        #expect(with.end == without.end)
        #expect(with.failure == without.failure)
    }

    @Test func `a chunk that fits a pattern but breaks a rule inside its text is still refused`() {
        for bad in ["\u{1}", #"\x"#, #"\u12"#, "\""] {
            let answer = Decoded.stream([Decoded.chunk(#"{"content":"a"}"#), Decoded.chunk(#"{"content":"\#(bad)"}"#)])
            #expect(answer.failure?.cause == .protocolError, "\(bad)")
        }
    }

    @Test func `frames beyond the bound are not kept`() {
        let long = String(repeating: "f", count: 4_000)
        let chunks = ["a", "b"].map {
            #"{"fingerprint":"\#(long)","choices":[{"index":0,"delta":{"content":"\#($0)"}}]}"#
        }
        #expect(Decoded.stream(chunks).lines == ["0 text a", "0 text b"])
        var pattern = ChunkPattern()
        var lesson = ChunkLesson()
        let bytes = Array(chunks[0].utf8)
        lesson.noteText((bytes.count - 6)..<(bytes.count - 5), 0, .text)
        pattern.learn(lesson, from: bytes.span.bytes)
        #expect(pattern.text(in: bytes.span.bytes) == nil)
    }
}
