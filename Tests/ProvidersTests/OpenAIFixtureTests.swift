// Every recorded form of an OpenAI-style answer gives its canonical result, in every split of its bytes.
import Core
import Foundation
import HTTP
import Testing
import Wire

@testable import Providers

/// One fixture: the bytes a provider sends, and what they mean.
struct Fixture: CustomTestStringConvertible {
    let id: String
    let isHTTP: Bool
    let isStream: Bool
    let bytes: [UInt8]
    let pieces: [Int]
    let expect: JSONValue
    var testDescription: String { id }

    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")

    /// All fixtures that speak the chat completions API.
    static let all: [Fixture] = {
        guard let manifest = try? Data(contentsOf: folder.appending(path: "manifest.json")),
            let value = try? JSONValue.parse([UInt8](manifest))
        else { return [] }
        return (value["fixtures"]?.elements ?? []).compactMap { entry in
            let provider = entry["provider"]?.text ?? ""
            let isOurs = ["openai-chat", "azure-openai-chat"].contains(provider) || provider.hasPrefix("openai-compat")
            guard isOurs, let file = entry["file"]?.text, entry["operation"]?.text?.hasPrefix("chat") == true,
                let bytes = try? Data(contentsOf: folder.appending(path: file)), let expect = entry["expect"]
            else { return nil }
            return Fixture(
                id: entry["id"]?.text ?? file, isHTTP: entry["kind"]?.text == "http",
                isStream: entry["operation"]?.text == "chat_stream", bytes: [UInt8](bytes),
                pieces: (entry["delivery"]?.elements ?? []).compactMap { $0.integer.map(Int.init) }, expect: expect)
        }
    }()
}

/// What an answer came to.
final class Collected: AnswerSink {
    var text: [UInt8: [UInt8]] = [:]
    var reasoning: [UInt8] = []
    var refusal: [UInt8] = []
    var tools: [(id: String, name: String, arguments: [UInt8])] = []
    var open = 0
    var finishes: [UInt8: FinishReason] = [:]

    func answerDelta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        let bytes = bytes.array(0..<bytes.byteCount)
        switch kind {
        case .text: text[choice, default: []] += bytes
        case .reasoning: reasoning += bytes
        case .refusal: refusal += bytes
        case .toolArguments: tools[open].arguments += bytes
        case .audio, .vectors: break
        }
    }

    func answerEvent(_ event: StreamEvent) {
        switch event {
        case .toolCallStart(_, let index, let id, let name):
            open = Int(index)
            tools.append((id, name, []))
        case .toolCallResume(_, let index): open = Int(index)
        case .choiceEnd(let choice, let finish): finishes[choice] = finish
        default: break
        }
    }
}

/// An answer in a form that is easy to compare.
struct Answer: Equatable {
    var status = 200
    var text: String?
    var reasoning: String
    var refusal: String
    var tools: [String]
    var end: AnswerEnd
    var failure: ProviderFailure?
}

@Suite struct OpenAIFixtureTests {
    func answer(_ fixture: Fixture, _ pieces: [ArraySlice<UInt8>]) -> Answer {
        var http = HTTPClientConnection()
        var decoder = AnswerDecoder(.openAI(OpenAIAnswerReader()), isStream: fixture.isStream)
        let sink = Collected()
        let now = Instant(nanoseconds: 0)
        var status = 200
        var body: [UInt8] = []
        var retryAfter: Duration?
        var input = ByteBuffer()
        if fixture.isHTTP { http.send(head: { $0.append("POST / HTTP/1.1\r\n") }, body: { _ in }) }
        for piece in pieces {
            guard fixture.isHTTP else {
                decoder.decode(Array(piece).span.bytes, to: sink)
                continue
            }
            input.append(Array(piece))
            while let event = http.receive(&input, at: now) {
                switch event {
                case .head(let head):
                    status = head.status
                    let bytes = input.bytes(of: head.slice)
                    retryAfter = RetryAfter.parse(
                        milliseconds: head.value(of: "retry-after-ms", in: bytes),
                        seconds: head.value(of: "retry-after", in: bytes),
                        wallClockMicroseconds: RetryAfterTests.nineOClock)
                case .body(let slice):
                    if status == 200 {
                        decoder.decode(input.bytes(of: slice), to: sink)
                    } else {
                        body += input.array(of: slice)
                    }
                case .end, .failed: break
                }
            }
        }
        var failure: ProviderFailure?
        if status == 200 {
            decoder.finish(to: sink)
            failure = decoder.failure
        } else {
            failure = OpenAIErrorReader.classify(status: status, body: body)
            failure?.retryAfter = retryAfter
        }
        return Answer(
            status: status, text: sink.text[0].map { String(decoding: $0, as: UTF8.self) },
            reasoning: String(decoding: sink.reasoning, as: UTF8.self),
            refusal: String(decoding: sink.refusal, as: UTF8.self),
            tools: sink.tools.map { "\($0.id)|\($0.name)|\(String(decoding: $0.arguments, as: UTF8.self))" },
            end: decoder.end, failure: failure)
    }

    @Test func `the fixtures are there`() { #expect(Fixture.all.count >= 40) }

    @Test(arguments: Fixture.all) func `a provider's answer has its canonical meaning`(_ fixture: Fixture) throws {
        let answer = answer(fixture, [fixture.bytes[...]])
        let expect = fixture.expect
        if let text = expect["text"]?.text { #expect((answer.text ?? "") == text) }
        if expect["text"] == .null { #expect((answer.text ?? "").isEmpty) }
        if let reasoning = expect["reasoning"]?.text { #expect(answer.reasoning == reasoning) }
        if let refusal = expect["refusal"]?.text { #expect(answer.refusal == refusal) }
        try checkTools(expect, answer)
        if let usage = expect["usage"], usage != .null {
            let found = try #require(answer.end.usage)
            #expect(found.inputTokens == usage["input_tokens"]?.integer)
            #expect(found.outputTokens == usage["output_tokens"]?.integer)
            #expect(found.cacheReadTokens == usage["cache_read_tokens"]?.integer)
            #expect(found.cacheWriteTokens == usage["cache_write_tokens"]?.integer)
            if usage["reasoning_tokens"] != .null {
                #expect((found.reasoningTokens ?? 0) == usage["reasoning_tokens"]?.integer)
            }
        }
        if let error = expect["error"] {
            let failure = try #require(answer.failure)
            #expect(failure.kind.rawValue == error["class"]?.text)
            #expect(failure.kind.traits.isRetryable == error["retryable"]?.bool)
            #expect(failure.kind.traits.allowsFallback == error["fallback"]?.bool)
            if let milliseconds = error["retry_after_ms"]?.integer {
                #expect(failure.retryAfter == .milliseconds(milliseconds))
            }
            if error["retry_after_http_date"] != nil { #expect(failure.retryAfter == .seconds(30)) }
        } else {
            #expect(answer.failure == nil)
            let words: [FinishReason: [String]] = [
                .stop: ["stop"], .length: ["length"], .toolCalls: ["tool_calls"], .contentFilter: ["content_filter"],
                .refusal: ["refusal"], .other: ["incomplete", "error"],
            ]
            #expect(words[answer.end.finish]?.contains(expect["finish_reason"]?.text ?? "") == true)
        }
    }

    private func checkTools(_ expect: JSONValue, _ answer: Answer) throws {
        guard let tools = expect["tool_calls"]?.elements else { return }
        #expect(answer.tools.count == tools.count)
        for (found, wanted) in zip(answer.tools, tools) {
            let parts = found.split(separator: "|", maxSplits: 2, omittingEmptySubsequences: false)
            #expect(String(parts[0]) == wanted["id"]?.text ?? "")
            #expect(String(parts[1]) == wanted["name"]?.text)
            if let raw = wanted["arguments_raw"]?.text {
                #expect(String(parts[2]) == raw)
            } else if let arguments = wanted["arguments"] {
                let found = try JSONSerialization.jsonObject(with: Data(parts[2].utf8)) as? NSDictionary
                let wanted = try JSONSerialization.jsonObject(with: Data(arguments.json.utf8)) as? NSDictionary
                #expect(found == wanted)
            }
        }
    }

    @Test(arguments: Fixture.all) func `every split of the bytes gives the same answer`(_ fixture: Fixture) {
        let bytes = fixture.bytes
        let whole = answer(fixture, [bytes[...]])
        for cut in 0...bytes.count {
            let split = answer(fixture, [bytes[..<cut], bytes[cut...]])
            guard split == whole else {
                Issue.record("cut at \(cut)")
                return
            }
        }
        #expect(answer(fixture, bytes.indices.map { bytes[$0...$0] }) == whole)
        var (pieces, start) = ([ArraySlice<UInt8>](), 0)
        for size in fixture.pieces where start + size <= bytes.count {
            pieces.append(bytes[start..<(start + size)])
            start += size
        }
        #expect(answer(fixture, pieces + [bytes[start...]]) == whole)
    }

    @Test func `a choice that nobody asked for is dropped before it reaches the wire`() {
        for (index, expected) in [(15, 1), (16, 0), (63, 0), (4_000_000_000, 0), (-1, 0)] {
            var decoder = AnswerDecoder(.openAI(OpenAIAnswerReader()), isStream: true)
            let sink = Collected()
            let event = #"data: {"choices":[{"index":\#(index),"delta":{"content":"x"}}]}"# + "\n\n"
            decoder.decode(Array(event.utf8).span.bytes, to: sink)
            #expect(sink.text.count == expected, "choice \(index)")
        }
    }
}
