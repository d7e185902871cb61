// Each answer means what it should, at once, byte by byte, and cut at every place.
import Testing
import Wire

@testable import Providers

@Suite struct AnswerCaseTests {
    @Test(arguments: AnswerCase.all) func `an answer means the same in every split`(_ answer: AnswerCase) {
        let wrong = answer.firstWrong()
        #expect(wrong == nil, "\(answer.id): \(wrong ?? "")")
    }

    @Test func `a13: one line of 4 MiB passes, one beyond 16 MiB is one clear error`() {
        let long = String(repeating: "x", count: 4 << 20)
        let passes = AnswerCase.stream(
            "a13",
            [
                Decoded.chunk(
                    #"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"\#(long)"}}]}"#),
                Decoded.chunk("{}", finish: "tool_calls"),
            ]
        ).gives("0 call 0 a f", "0 toolArguments \(long)", finish: .toolCalls)
        let bytes = passes.body[...]
        for size in [bytes.count, 65_536] {
            let pieces = stride(from: 0, to: bytes.count, by: size).map {
                bytes[$0..<min(bytes.count, $0 + size)]
            }
            #expect(passes.differs(from: passes.read(pieces)) == nil, "in pieces of \(size)")
        }
        let tooLong = AnswerCase.stream(
            "a13", [Decoded.chunk(#"{"content":"\#(String(repeating: "x", count: 16 << 20))"}"#)])
        #expect(tooLong.read([tooLong.body[...]]).failure == .protocolError)
    }

    @Test func `c8: cached tokens are a part of the prompt, never more than it`() {
        func used(_ details: String) -> Usage? {
            Decoded.whole(
                #"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":262960,"completion_tokens":1744,\#(details)}}"#
            ).end.usage
        }
        let cached = used(#""prompt_tokens_details":{"cached_tokens":257955}"#)
        #expect(cached?.inputTokens == 262_960 && cached?.cacheReadTokens == 257_955 && cached?.outputTokens == 1_744)
        let beyond = used(
            #""prompt_tokens_details":{"cached_tokens":300000,"cache_write_tokens":5},"completion_tokens_details":{"reasoning_tokens":9999}"#
        )
        #expect(beyond?.cacheReadTokens == 262_960 && beyond?.cacheWriteTokens == 0 && beyond?.reasoningTokens == 1_744)
    }

    @Test(arguments: [
        (#"{"prompt_tokens":10,"completion_tokens":3}"#, false), (#"{}"#, false),
        (#"{"prompt_tokens":10,"completion_tokens":0}"#, true), (#"{"prompt_tokens":-1,"completion_tokens":3}"#, true),
        (#"{"prompt_tokens":2000,"completion_tokens":3}"#, true),
        (#"{"prompt_tokens":10,"completion_tokens":65}"#, true),
        (#"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":50}}"#, true),
    ])
    func `figures that cannot be are noted`(usage: String, isImplausible: Bool) {
        var decoder = AnswerDecoder(.openAI(OpenAIAnswerReader()), isStream: false)
        decoder.answer.end.bounds.inputTokens = 1_000
        decoder.answer.end.bounds.outputTokens = 64
        let json = #"{"choices":[{"message":{"content":"hello"}}],"usage":\#(usage)}"#
        decoder.decodeWhole(Array(json.utf8).span.bytes, to: Transcript())
        #expect(decoder.end.isImplausible == isImplausible)
    }

    @Test func `c2: bounds grow with what was sent and asked for`() {
        let small = AnswerBounds(requestBytes: 100, attachments: 0, outputLimit: 100, choices: 8)
        #expect(small.inputTokens == 1_224 && small.outputTokens == 800 && small.choices == 8)
        let image = AnswerBounds(requestBytes: 100, attachments: 1, outputLimit: 0, choices: 0)
        #expect(image.inputTokens == 101_224 && image.outputTokens == Usage.most && image.choices == 1)
        let huge = AnswerBounds(requestBytes: 32 << 20, attachments: 9, outputLimit: .max, choices: 128)
        #expect(huge.inputTokens == Usage.most && huge.outputTokens == Usage.most)
    }
}
