// Forms of answers that recorded fixtures do not show: doubled fields, old fields, pieces that belong to nothing.
import Core
import Foundation
import Testing
import Wire

@testable import Providers

@Suite struct AnswerFormTests {
    struct Outcome {
        let sink: Collected
        let failure: ProviderFailure?
        let end: AnswerEnd
        let progress: Int64
    }

    /// A stream of these deltas, each in a chunk of its own, with an end.
    private func stream(_ deltas: [String], finish: String = "stop") -> Outcome {
        let chunks =
            deltas.map { #"{"choices":[{"index":0,"delta":\#($0)}]}"# }
            + [#"{"choices":[{"index":0,"delta":{},"finish_reason":"\#(finish)"}]}"#, "[DONE]"]
        return decode(chunks.map { "data: \($0)\n\n" }.joined(), isStream: true)
    }

    private func decode(_ body: String, isStream: Bool) -> Outcome {
        var decoder = OpenAIAnswerDecoder(isStream: isStream)
        let sink = Collected()
        decoder.decode(Array(body.utf8).span.bytes, to: sink)
        decoder.finish(to: sink)
        return Outcome(sink: sink, failure: decoder.failure, end: decoder.end, progress: decoder.progress)
    }

    @Test func `thinking under two names is passed once`() {
        let outcome = stream([
            #"{"reasoning":"think","reasoning_content":"think"}"#,
            #"{"reasoning_content":" more","reasoning":" more"}"#,
            #"{"reasoning":null,"reasoning_content":" end"}"#,
        ])
        #expect(String(decoding: outcome.sink.reasoning, as: UTF8.self) == "think more end")
    }

    @Test func `the form before tools becomes a tool call`() {
        let outcome = stream(
            [
                #"{"function_call":{"name":"weather","arguments":""}}"#,
                #"{"function_call":{"arguments":"{\"city\":"}}"#,
                #"{"function_call":{"arguments":"\"Ulm\"}"}}"#, #"{"function_call":null}"#,
            ], finish: "function_call")
        #expect(outcome.failure == nil)
        #expect(outcome.sink.tools.count == 1)
        #expect(outcome.sink.tools.first?.name == "weather")
        #expect(String(decoding: outcome.sink.tools.first?.arguments ?? [], as: UTF8.self) == #"{"city":"Ulm"}"#)
        #expect(outcome.end.finish == .toolCalls)
    }

    @Test func `arguments that belong to no call break the answer instead of opening a false one`() {
        let outcome = stream([#"{"tool_calls":[{"function":{"arguments":"{}"}}]}"#])
        #expect(outcome.failure?.kind == .protocolError)
        #expect(outcome.sink.tools.isEmpty)
        let continued = stream([
            #"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}"#,
            #"{"tool_calls":[{"function":{"arguments":"}"}}]}"#,
        ])
        #expect(continued.failure == nil)
        #expect(continued.sink.tools.map { String(decoding: $0.arguments, as: UTF8.self) } == ["{}"])
    }

    @Test func `one tool call too many is an error, not a silent loss`() {
        func calls(_ count: Int) -> Outcome {
            stream(
                (0..<count).map {
                    #"{"tool_calls":[{"index":\#($0),"id":"c","function":{"name":"f","arguments":"{}"}}]}"#
                })
        }
        #expect(calls(128).failure == nil)
        #expect(calls(128).sink.tools.count == 128)
        #expect(calls(129).failure?.kind == .streamInterrupted)
        #expect(calls(129).failure?.cause == .protocolError)
    }

    @Test func `a tool call's start is progress, although it has no text`() {
        let outcome = stream([#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}"#])
        #expect(outcome.progress == 1)
        #expect(stream([#"{"role":"assistant","content":""}"#]).progress == 0)
    }

    @Test func `a whole answer without a reason to stop is whole, a cut one is not`() {
        let whole = decode(#"{"choices":[{"index":0,"message":{"content":"hi"}}]}"#, isStream: false)
        #expect(whole.failure == nil)
        #expect(whole.end.finish == .other)
        #expect(decode(#"{"choices":[{"index":0,"message":{"content":"hi"}"#, isStream: false).failure != nil)
        #expect(decode(#"{"choices":[]}"#, isStream: false).failure?.kind == .protocolError)
        let cut = decode(#"data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}"# + "\n\n", isStream: true)
        #expect(cut.failure?.kind == .streamInterrupted)
    }

    @Test func `citations and log probabilities are passed on as they came`() throws {
        let citation = #"{"type":"url_citation","url_citation":{"url":"https://a.example","start_index":0}}"#
        let body = """
            {"choices":[{"index":0,"message":{"content":"x","annotations":[\(citation), \(citation)]},
            "logprobs":{"content":[{"token":"x","logprob":-0.5}]},"finish_reason":"stop"}]}
            """
        let outcome = decode(body, isStream: false)
        #expect(outcome.failure == nil)
        #expect(outcome.sink.citations == [citation, citation])
        #expect(outcome.sink.logProbabilities == [#"{"content":[{"token":"x","logprob":-0.5}]}"#])
    }

    @Test func `log probabilities longer than an event go one token at a time`() throws {
        let entries = (0..<200).map { #"{"token":"t\#($0)","logprob":-0.123456789}"# }
        let list = entries.joined(separator: " , ")
        let outcome = decode(
            #"{"choices":[{"index":0,"message":{"content":"x"},"logprobs":{"content":[\#(list)],"refusal":null}}]}"#,
            isStream: false)
        #expect(outcome.failure == nil)
        #expect(outcome.sink.logProbabilities == entries.map { #"{"content":[\#($0)]}"# })
    }

    @Test(arguments: [
        "Mon, 23 Nov 2026 09:00:30 GMT", "Monday, 23-Nov-26 09:00:30 GMT", "Mon Nov 23 09:00:30 2026",
    ]) func `a date is read in all three forms`(text: String) {
        #expect(RetryAfter.httpDate(text) == 1_795_424_430)
    }

    @Test(arguments: [
        "", "Mon", "Mon, 23 Foo 2026 09:00:30 GMT", "Mon, 32 Nov 2026 09:00:30 GMT", "Mon, 23 Nov 2026 25:00:30 GMT",
        "Mon, 23 Nov 2026 09:00:30 CET", "Mon Nov 23 09:00 2026", "Mon, 23 Nov 99999 09:00:30 GMT",
    ]) func `what is no date is not taken for one`(text: String) {
        #expect(RetryAfter.httpDate(text) == nil)
    }

    @Test func `dates agree with the calendar`() throws {
        let form = DateFormatter()
        form.locale = Locale(identifier: "en_US_POSIX")
        form.timeZone = TimeZone(identifier: "GMT")
        form.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        for day in stride(from: 0, to: 200_000, by: 37) {
            let seconds = Int64(day) * 86_400 + Int64(day % 86_400)
            let text = form.string(from: Date(timeIntervalSince1970: TimeInterval(seconds)))
            #expect(RetryAfter.httpDate(text) == seconds, "\(text)")
        }
    }
}
