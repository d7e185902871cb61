// What servers compatible with OpenAI do beyond, or short of, its documents.
import Core
import Foundation
import Testing
import Wire

@testable import Providers

/// Everything that an answer handed out, in order, one line each.
final class Transcript: AnswerSink {
    private(set) var lines: [String] = []
    private(set) var events: [StreamEvent] = []

    func answerDelta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        lines.append("\(choice) \(kind) \(bytes.string())")
    }

    func answerEvent(_ event: StreamEvent) {
        events.append(event)
        switch event {
        case .toolCallStart(let choice, let index, let id, let name):
            lines.append("\(choice) call \(index) \(id) \(name)")
        case .toolCallResume(let choice, let index): lines.append("\(choice) again \(index)")
        case .choiceEnd(let choice, let finish): lines.append("\(choice) end \(finish)")
        case .citation(let choice, let json):
            lines.append("\(choice) citation \(String(decoding: json, as: UTF8.self))")
        case .logProbabilities(let choice, let json):
            lines.append("\(choice) logprobs \(String(decoding: json, as: UTF8.self))")
        default: lines.append("\(event)")
        }
    }
}

/// What became of an answer.
struct Decoded {
    var lines: [String]
    var events: [StreamEvent] = []
    var end: AnswerEnd
    var failure: ProviderFailure?
    var handedOut: Int64
    var progress: Int64 = 0

    /// The answer that these chunks make, each the JSON of one event.
    static func stream(_ chunks: [String], done: Bool = true) -> Decoded {
        decode((chunks + (done ? ["[DONE]"] : [])).map { "data: \($0)\n\n" }, isStream: true)
    }

    /// Deltas of choice 0, a finish reason behind them.
    static func deltas(_ deltas: [String], finish: String = "stop") -> Decoded {
        stream(deltas.map { chunk($0) } + [chunk("{}", finish: finish)])
    }

    static func whole(_ json: String) -> Decoded { decode([json], isStream: false) }

    static func chunk(_ delta: String, finish: String? = nil, choice: Int = 0, more: String = "") -> String {
        let word = finish.map { "\"\($0)\"" } ?? "null"
        return
            #"{"id":"c","model":"m","choices":[{"index":\#(choice),"delta":\#(delta)\#(more),"finish_reason":\#(word)}]}"#
    }

    private static func decode(_ pieces: [String], isStream: Bool) -> Decoded {
        var decoder = AnswerDecoder(.openAI(OpenAIAnswerReader()), isStream: isStream)
        let sink = Transcript()
        for piece in pieces { decoder.decode(Array(piece.utf8).span.bytes, to: sink) }
        decoder.finish(to: sink)
        return Decoded(
            lines: sink.lines, events: sink.events, end: decoder.end, failure: decoder.failure,
            handedOut: decoder.answer.handedOut, progress: decoder.progress)
    }
}

@Suite struct OpenAIAnswerTests {
    @Test func `an error that repeats a large request keeps its class`() {
        let text = String(repeating: "a", count: 70_000)
        for json in [
            #"{"error":{"message":"\#(text)","code":"429"}}"#, #"{"object":"error","message":"\#(text)","code":429}"#,
        ] {
            #expect(Decoded.whole(json).failure?.kind == .rateLimited)
            #expect(Decoded.stream([json]).failure?.kind == .rateLimited)
        }
    }

    // MARK: - Thinking

    @Test func `thinking that comes under both names is handed out once`() {
        let both = Decoded.deltas([
            #"{"reasoning":"a","reasoning_content":"a"}"#, #"{"reasoning":"b","reasoning_content":"b"}"#,
            #"{"reasoning_content":"c","reasoning":"c"}"#,
        ])
        #expect(both.lines == ["0 reasoning a", "0 reasoning b", "0 reasoning c"])
        let empty = Decoded.deltas([#"{"reasoning":"","reasoning_content":"a"}"#, #"{"reasoning_content":"b"}"#])
        #expect(empty.lines == ["0 reasoning a", "0 reasoning b"])
        let whole = Decoded.whole(
            #"{"choices":[{"message":{"reasoning_content":"x","reasoning":"x","content":"y"},"finish_reason":"stop"}]}"#
        )
        #expect(whole.lines == ["0 reasoning x", "0 text y"])
    }

    // MARK: - Calls of tools

    @Test func `more calls than the limit are a typed failure, not a silent loss`() {
        func calls(_ count: Int) -> Decoded {
            let list = (0..<count).map { #"{"id":"c\#($0)","function":{"name":"f","arguments":"{}"}}"# }
            return .whole(
                #"{"choices":[{"message":{"tool_calls":[\#(list.joined(separator: ","))]},"finish_reason":"tool_calls"}]}"#
            )
        }
        let most = calls(OpenAIAnswerReader.toolCallLimit)
        #expect(most.failure == nil)
        #expect(most.events.count == OpenAIAnswerReader.toolCallLimit)
        let tooMany = calls(OpenAIAnswerReader.toolCallLimit + 1)
        // A whole answer is handed out whole or not at all.
        #expect(tooMany.failure?.kind == .modelOutputError)
        #expect(tooMany.events.isEmpty && tooMany.lines.isEmpty)
        #expect(tooMany.failure?.code == "too_many_tool_calls")
    }

    @Test func `the call form that tool_calls replaced is a call too`() {
        let stream = Decoded.deltas(
            [
                #"{"function_call":{"name":"f","arguments":""}}"#, #"{"function_call":{"arguments":"{\"a\""}}"#,
                #"{"function_call":{"arguments":":1}"}}"#,
            ], finish: "function_call")
        #expect(stream.lines == ["0 call 0 call_0 f", #"0 toolArguments {"a""#, "0 toolArguments :1}"])
        #expect(stream.end.finish == .toolCalls)
        let none = Decoded.deltas([#"{"function_call":null,"content":"x"}"#])
        #expect(none.lines == ["0 text x"])
    }

    @Test func `arguments that belong to no call open none`() {
        let lost = Decoded.deltas([#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#])
        #expect(lost.lines.isEmpty)
        #expect(lost.failure?.kind == .modelOutputError)
        #expect(lost.failure?.code == "arguments_without_call")
        let empty = Decoded.deltas([#"{"tool_calls":[{"index":0,"function":{"arguments":""}}],"content":"x"}"#])
        #expect(empty.lines == ["0 text x"])
        #expect(empty.failure == nil)
    }

    @Test func `fragments without a number go on with the last call of their choice`() {
        let answer = Decoded.deltas([
            #"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}"#,
            #"{"tool_calls":[{"function":{"arguments":"}"}}]}"#,
            #"{"tool_calls":[{"id":"b","function":{"name":"f","arguments":"[]"}}]}"#,
            #"{"tool_calls":[{"id":"b","function":{"name":"f","arguments":"!"}}]}"#,
        ])
        #expect(
            answer.lines == [
                "0 call 0 a f", "0 toolArguments {", "0 toolArguments }", "0 call 1 b f", "0 toolArguments []",
                "0 toolArguments !",
            ])
    }

    @Test func `calls that share a number are told apart by their ids`() {
        let answer = Decoded.deltas([
            #"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]}"#,
            #"{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"2"}}]}"#,
            #"{"tool_calls":[{"index":0,"function":{"arguments":"3"}}]}"#,
        ])
        #expect(
            answer.lines == [
                "0 call 0 a f", "0 toolArguments 1", "0 call 1 b g", "0 toolArguments 2", "0 toolArguments 3",
            ])
    }

    @Test func `an id may come before its name, and arguments may be JSON itself`() {
        let answer = Decoded.deltas([
            #"{"tool_calls":[{"index":2,"id":"x","type":"function"}]}"#,
            #"{"tool_calls":[{"index":2,"function":{"name":"f"}}]}"#,
            #"{"tool_calls":[{"index":2,"function":{"arguments":{"a":[1]}}}]}"#,
        ])
        #expect(answer.lines == ["0 call 0 x f", #"0 toolArguments {"a":[1]}"#])
    }

    @Test func `interleaved calls are resumed, also between choices`() {
        let answer = Decoded.stream([
            Decoded.chunk(#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]}"#),
            Decoded.chunk(#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"2"}}]}"#, choice: 1),
            Decoded.chunk(#"{"tool_calls":[{"index":0,"function":{"arguments":"3"}}]}"#),
            Decoded.chunk(#"{"tool_calls":[{"index":0,"function":{"arguments":"4"}}]}"#),
            Decoded.chunk(#"{"tool_calls":[{"index":0,"function":{"arguments":"5"}}]}"#, choice: 1),
            Decoded.chunk("{}", finish: "tool_calls"), Decoded.chunk("{}", finish: "stop", choice: 1),
        ])
        #expect(
            answer.lines == [
                "0 call 0 a f", "0 toolArguments 1", "1 call 1 b g", "1 toolArguments 2", "0 again 0",
                "0 toolArguments 3", "0 toolArguments 4", "1 again 1", "1 toolArguments 5", "1 end stop",
            ])
    }

    @Test func `the start of a call alone is progress`() {
        let answer = Decoded.stream(
            [Decoded.chunk(#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}"#)],
            done: false)
        #expect(answer.progress == 1 && answer.handedOut == 0, "its name may go on: nobody saw it yet")
        #expect(answer.failure?.kind == .protocolError)
    }

    // MARK: - Citations and log probabilities

    @Test func `citations pass through, each as it came`() {
        let first = #"{"type":"url_citation","url_citation":{"url":"https://example.org/\"x\"","title":"é"}}"#
        let huge = #"{"type":"url_citation","title":"\#(String(repeating: "x", count: 4_096))"}"#
        let answer = Decoded.whole(
            #"{"choices":[{"message":{"content":"t","annotations":[\#(first), \#(huge) , {"a":1}]},"finish_reason":"stop"}]}"#
        )
        #expect(answer.lines == ["0 text t", "0 citation \(first)", #"0 citation {"a":1}"#])
        #expect(Decoded.deltas([#"{"annotations":[]}"#, #"{"annotations":null}"#]).lines.isEmpty)
    }

    @Test func `log probabilities pass through behind their text`() {
        let json = #"{"content":[{"token":"t","logprob":-0.25,"bytes":[116],"top_logprobs":[]}],"refusal":null}"#
        let answer = Decoded.stream([
            Decoded.chunk(#"{"content":"t"}"#, more: #","logprobs":\#(json)"#),
            Decoded.chunk(#"{"content":"u"}"#, more: #","logprobs":null"#), Decoded.chunk("{}", finish: "stop"),
        ])
        #expect(answer.lines == ["0 text t", "0 logprobs \(json)", "0 text u"])
    }

    @Test func `log probabilities of a whole answer come in pieces that fit, none lost`() throws {
        let positions = (0..<400).map { #"{"token":"t\#($0)","logprob":-\#($0).5}"# }
        let logprobs = #"{"content":[\#(positions.joined(separator: ", "))],"refusal":null}"#
        let answer = Decoded.whole(
            #"{"choices":[{"logprobs":\#(logprobs),"message":{"content":"t"},"finish_reason":"stop"}]}"#)
        var found: [String] = []
        for case .logProbabilities(_, let json) in answer.events {
            #expect(json.count + 2 <= StreamEvent.maximumPayload)
            let object = try JSONSerialization.jsonObject(with: Data(json)) as? [String: [[String: Any]]]
            found += try #require(object?["content"]).compactMap { $0["token"] as? String }
        }
        #expect(found == (0..<400).map { "t\($0)" })
        #expect(answer.events.count < 10)
    }

    // MARK: - The end

    @Test func `a whole answer needs no finish reason, a stream does`() {
        let text = Decoded.whole(
            #"{"choices":[{"index":0,"message":{"content":"x"}},{"index":1,"message":{"content":"y"}}]}"#)
        #expect(text.failure == nil)
        #expect(text.end.finish == .stop)
        #expect(text.end.finishWord.isEmpty)
        #expect(text.lines == ["0 text x", "1 text y", "1 end stop"])
        let call = Decoded.whole(
            #"{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":null}]}"#
        )
        #expect(call.end.finish == .toolCalls)
        let cut = Decoded.whole(#"{"choices":[{"index":0,"message":{"content":"x"}}"#)
        #expect(cut.failure?.kind == .protocolError && cut.lines.isEmpty, "half an answer is none")
        #expect(Decoded.whole(#"{"choices":[]}"#).failure?.kind == .protocolError)
        #expect(Decoded.stream([Decoded.chunk(#"{"content":"x"}"#)]).failure?.kind == .streamInterrupted)
        #expect(Decoded.stream([Decoded.chunk("{}")]).failure?.kind == .protocolError)
    }

    @Test func `what the provider says of an error counts more than the finish reason beside it`() {
        let error =
            #"{"error":{"code":429,"message":"slow down"},"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#
        #expect(Decoded.stream([error]).failure?.kind == .rateLimited)
        let behind =
            #"{"choices":[{"index":0,"delta":{},"finish_reason":"error"}],"error":{"code":429,"message":"slow down"}}"#
        #expect(Decoded.stream([behind]).failure?.kind == .rateLimited)
        #expect(Decoded.deltas(["{}"], finish: "error").failure?.kind == .serverError)
    }

    @Test func `values of another type than expected are skipped whole`() {
        let answer = Decoded.stream([
            #"{"choices":{"index":0},"usage":[1,{"prompt_tokens":9}],"error":null,"model":{"a":[]}}"#,
            #"{"choices":[null,[{"index":0}],7,{"index":0,"delta":[{"content":"no"}]}]}"#,
            Decoded.chunk(#"{"content":{"text":"no"},"tool_calls":{"0":{}},"refusal":[[],null]}"#),
            Decoded.chunk(#"{"content":"yes","tool_calls":[null,[],{"function":[]}]}"#),
            Decoded.chunk("{}", finish: "stop"),
        ])
        #expect(answer.lines == ["0 text yes"])
        #expect(answer.failure == nil)
        #expect(answer.end.usage == nil)
    }

    @Test(arguments: [
        (#"{"prompt_tokens":9,"completion_tokens":20000000}"#, true),
        (#"{"prompt_tokens":9,"completion_tokens":null}"#, false),
        (#"{"prompt_tokens":9,"completion_tokens":20000001}"#, false),
        (#"{"prompt_tokens":1000000000000,"completion_tokens":1}"#, false),
        (#"{"prompt_tokens":9,"completion_tokens":1e40}"#, false),
        (#"{"prompt_tokens":-1,"completion_tokens":1}"#, false),
        (#"{"prompt_tokens":9,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":-4}}"#, true),
    ])
    func `a usage that cannot be is none, wherever the answer ends`(usage: String, isBelieved: Bool) {
        let deltas = [Decoded.chunk(#"{"content":"x"}"#), #"{"choices":[],"usage":\#(usage)}"#]
        #expect((Decoded.stream(deltas).end.usage != nil) == isBelieved, "of a stream that breaks off behind it")
        let whole = Decoded.whole(#"{"choices":[{"message":{"content":"x"}}],"usage":\#(usage)}"#)
        #expect((whole.end.usage != nil) == isBelieved && whole.failure == nil)
    }
}
