// Answers: OpenAI's format, the same words for the same prompt and seed.
import Core
import Foundation
import Testing

@testable import ProviderSim

@Suite struct ChatAnswerTests {
    @Test func theAnswerEchoesThePromptAndGoesOn() throws {
        let words = try whole(prompt: "Hello   dear\\nworld \\\"x\\\" \\\\n", tokens: 10)
        #expect(words.prefix(5) == ["Hello", "dear", "world", "\"x\"", "\\n"])
        #expect(words.count == 10)
    }

    @Test func theSamePromptAndSeedGiveTheSameWords() throws {
        #expect(try whole(prompt: "a", tokens: 40) == whole(prompt: "a", tokens: 40))
        #expect(try whole(prompt: "a", tokens: 40) != whole(prompt: "b", tokens: 40))
        #expect(try whole(prompt: "a", tokens: 40, seed: 2) != whole(prompt: "a", tokens: 40))
    }

    @Test func aPromptBeyondTheLimitIsCutAtAWord() throws {
        let prompt = String(repeating: "0123456789é ", count: 2000)
        let words = try whole(prompt: prompt, tokens: 1300)
        #expect(words.prefix(1200).allSatisfy { $0 == "0123456789é" })
    }

    @Test func eventsAndTheWholeSayTheSame() throws {
        let answer = begin(prompt: "one two", behaviour: Behaviour(), includesUsage: true)
        var stream = ByteBuffer()
        answer.writeRole(into: &stream)
        for place in 0..<8 { answer.write(words: place..<(place + 1), of: 8, into: &stream) }
        answer.writeFinish(isCut: false, into: &stream)
        answer.write(ChatUsage(inputTokens: 6, outputTokens: 8), into: &stream)
        let events = try events(stream.string(of: stream.slice))
        let deltas = events.compactMap { first($0)?["delta"] as? [String: Any] }
        #expect(deltas[0]["role"] as? String == "assistant")
        let text = deltas.compactMap { $0["content"] as? String }.joined()
        #expect(try text == whole(prompt: "one two", tokens: 8).joined(separator: " "))
        #expect(first(events[9])?["finish_reason"] as? String == "stop")
        #expect(events.dropLast().allSatisfy { $0["usage"] is NSNull })
        let usage = try #require(events[10]["usage"] as? [String: Any])
        #expect(usage["total_tokens"] as? Int == 14)
        #expect((events[10]["choices"] as? [Any])?.isEmpty == true)
        #expect(Set(events.map { $0["id"] as? String ?? "" }) == ["chatcmpl-000000000000002a"])
    }

    @Test func aToolCallStreamsItsArguments() throws {
        var behaviour = Behaviour()
        behaviour.tool = "get_weather"
        let answer = begin(prompt: "say \\\"hi\\\"", behaviour: behaviour, includesUsage: false)
        var stream = ByteBuffer()
        answer.writeRole(into: &stream)
        for place in 0..<4 { answer.write(words: place..<(place + 1), of: 4, into: &stream) }
        answer.writeFinish(isCut: false, into: &stream)
        let events = try events(stream.string(of: stream.slice))
        let calls = events.compactMap {
            ((first($0)?["delta"] as? [String: Any])?["tool_calls"] as? [[String: Any]])?.first
        }
        #expect((calls[0]["function"] as? [String: Any])?["name"] as? String == "get_weather")
        let arguments = calls.compactMap { ($0["function"] as? [String: Any])?["arguments"] as? String }.joined()
        let object = try JSONSerialization.jsonObject(with: Data(arguments.utf8)) as? [String: String]
        #expect(object?["text"]?.hasPrefix("say \"hi\" ") == true)
        #expect(first(events[5])?["finish_reason"] as? String == "tool_calls")
    }

    @Test func aWholeToolCallIsOneObject() throws {
        var behaviour = Behaviour()
        behaviour.tool = "f"
        let answer = begin(prompt: "a", behaviour: behaviour, includesUsage: false)
        var buffer = ByteBuffer()
        answer.writeWhole(id: 42, tokens: 2, isCut: false, usage: nil, into: &buffer)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(buffer.array())) as? [String: Any])
        let message = first(object)?["message"] as? [String: Any]
        #expect(message?["content"] is NSNull)
        #expect((message?["tool_calls"] as? [[String: Any]])?.first?["id"] as? String == "call_sim0")
        #expect(object["usage"] == nil)
    }

    @Test func aRefusalIsInOpenAIsFormat() throws {
        var buffer = ByteBuffer()
        APIError.invalid("a \"b\"\n\u{1F}", parameter: "model").write(into: &buffer)
        let object = try JSONSerialization.jsonObject(with: Data(buffer.array())) as? [String: [String: Any]]
        #expect(object?["error"]?["message"] as? String == "a \"b\"\n\u{1F}")
        #expect(object?["error"]?["param"] as? String == "model")
        #expect(object?["error"]?["code"] is NSNull)
    }

    private func begin(prompt: String, behaviour: Behaviour, includesUsage: Bool) -> ChatAnswer {
        var answer = ChatAnswer()
        let model = ByteBuffer(Array("m".utf8))
        let prompt = ByteBuffer(Array(prompt.utf8))
        answer.begin(
            id: 42, createdSeconds: 1, model: model.bytes, prompt: prompt.bytes, behaviour: behaviour,
            includesUsage: includesUsage)
        return answer
    }

    private func whole(prompt: String, tokens: Int, seed: UInt64 = 1) throws -> [String] {
        var behaviour = Behaviour()
        behaviour.seed = seed
        let answer = begin(prompt: prompt, behaviour: behaviour, includesUsage: false)
        var buffer = ByteBuffer()
        answer.writeWhole(
            id: 42, tokens: tokens, isCut: false, usage: ChatUsage(inputTokens: 1, outputTokens: tokens), into: &buffer)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(buffer.array())) as? [String: Any])
        let message = try #require(first(object)?["message"] as? [String: Any])
        return try #require(message["content"] as? String).split(separator: " ").map(String.init)
    }

    private func first(_ object: [String: Any]) -> [String: Any]? { (object["choices"] as? [[String: Any]])?.first }

    private func events(_ text: String) throws -> [[String: Any]] {
        try text.components(separatedBy: "\n\n").filter { !$0.isEmpty }.map { event in
            #expect(event.hasPrefix("data: "))
            return try #require(try JSONSerialization.jsonObject(with: Data(event.dropFirst(6).utf8)) as? [String: Any])
        }
    }
}
