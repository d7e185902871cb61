// Whole answers that are too large for one turn of a lane: what they mean, and how much of them a turn does.
import Core
import Foundation
import Net
import Synchronization
import Testing
import Wire

@testable import Providers

@Suite struct LargeAnswerTests {
    /// Reads it as a server sends it, a piece of 64 KiB at a time; `turns` counts the calls of `finish`.
    private func read(_ json: String, turns: inout Int) -> Reading {
        let answer = AnswerCase.whole("", json)
        var decoder = AnswerDecoder(.openAI(OpenAIAnswerReader()), isStream: false, bounds: answer.bounds)
        let sink = JoinedTranscript()
        let bytes = Array(json.utf8)
        for start in stride(from: 0, to: bytes.count, by: 65_536) {
            decoder.decode(Array(bytes[start..<min(bytes.count, start + 65_536)]).span.bytes, to: sink)
        }
        turns = 1
        while !decoder.finish(to: sink) { turns += 1 }
        let used = decoder.end.used(estimatedInput: 7)
        return Reading(
            lines: sink.lines, finish: decoder.end.finish, input: used.usage.inputTokens,
            output: used.usage.outputTokens, isReported: used.isReported, failure: decoder.failure?.kind)
    }

    @Test(arguments: AnswerCase.all.filter { !$0.isStream })
    func `every whole answer means the same in parts of any size`(answer: AnswerCase) {
        for turnBytes in [1, 7, 16, 64, 300] {
            let wrong = answer.differs(from: answer.read([answer.body[...]], turnBytes: turnBytes))
            #expect(wrong == nil, "\(turnBytes) bytes a turn: \(wrong ?? "")")
        }
    }

    @Test(arguments: ["plain ASCII, many words ", "ä€👍 ", #"\n\u00e4\ud83d\ude00\\ "#])
    func `a text of a MiB is handed out whole`(unit: String) throws {
        let text = String(repeating: unit, count: (1 << 20) / unit.utf8.count)
        let arguments = #"{\"a\":\""# + String(repeating: "b", count: 9_000) + #"\"}"#
        let json =
            #"{"choices":[{"message":{"content":"\#(text)","tool_calls":[{"id":"c","function":{"name":"f","arguments":"\#(arguments)"}}]},"#
            + #""finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":9}}"#
        var turns = 0
        let reading = read(json, turns: &turns)
        let plain = try #require(try JSONSerialization.jsonObject(with: Data("[\"\(text)\"]".utf8)) as? [String])
        #expect(reading.failure == nil && reading.lines.count == 3, "\(reading.lines.count)")
        #expect(reading.lines.first == "0 text \(plain[0])")
        #expect(reading.lines[1] == "0 call 0 c f")
        #expect(reading.finish == .toolCalls && reading.isReported && reading.output == 9)
        // Checked, read, handed out: a quarter of a MiB a turn.
        #expect(turns >= 2 * json.utf8.count / AnswerDecoder.turnBytes && turns < 20, "\(turns)")
    }

    @Test func `many log probabilities, many choices and a message before its index`() throws {
        let position = #"{"token":"a","logprob":-0.5,"top_logprobs":[{"token":"b","logprob":-1}]}"#
        let list = Array(repeating: position, count: 3_000).joined(separator: ",")
        let text = String(repeating: "0123456789", count: 20_000)
        let json =
            #"{"choices":[{"message":{"content":"\#(text)"},"finish_reason":"length","index":1},"#
            + #"{"index":0,"message":{"content":"x"},"logprobs":{"content":[\#(list)],"refusal":null},"finish_reason":"stop"}]}"#
        var turns = 0
        let reading = read(json, turns: &turns)
        #expect(reading.failure == nil && turns > 2)
        #expect(reading.lines.first == "1 text \(text)" && reading.lines.contains("1 end length"))
        let events = reading.lines.filter { $0.hasPrefix("0 logprobs ") }
        let positions = try events.flatMap { line in
            try #require(
                (try JSONSerialization.jsonObject(with: Data(line.dropFirst(11).utf8)) as? NSDictionary)?["content"]
                    as? [NSDictionary])
        }
        #expect(positions.count == 3_000)
        #expect(events.allSatisfy { $0.utf8.count - 11 <= StreamEvent.maximumPayload - 2 })
    }

    @Test func `what is broken at its end is not begun`() {
        let text = String(repeating: "0123456789", count: 60_000)
        for (end, kind) in [
            ("", FailureClass.protocolError), ("}", .protocolError), (#","error":{"code":503}}"#, .overloaded),
        ] {
            var turns = 0
            let reading = read(#"{"choices":[{"index":0,"message":{"content":"\#(text)"}}]\#(end)"#, turns: &turns)
            let isSound = end == "}"
            #expect(reading.failure == (isSound ? nil : kind) && reading.lines.isEmpty == !isSound)
        }
    }

    @Test func `more small values than a turn can look at are refused`() {
        let parts = Array(repeating: #"{"type":"text","text":"abcdefghijklmnop"}"#, count: 40_000).joined(
            separator: ",")
        var turns = 0
        let reading = read(#"{"choices":[{"index":0,"message":{"content":[\#(parts)]}}]}"#, turns: &turns)
        #expect(reading.failure == .protocolError && reading.lines.isEmpty)
    }

    // MARK: - Turns of a lane

    /// What came in which turn, of two calls.
    private final class Seen: Sendable {
        let bytes = Mutex<[Int: [UInt64: Int]]>([:])
        func note(_ call: Int, _ turn: UInt64, _ count: Int) {
            bytes.withLock { $0[call, default: [:]][turn, default: 0] += count }
        }
    }

    private func answer(_ size: Int) -> String {
        let text = String(repeating: "0123456789abcdef", count: size / 16)
        return #"{"choices":[{"index":0,"message":{"content":"\#(text)"},"finish_reason":"stop"}]}"#
    }

    @Test func `two large answers share turns, and a small one takes none of its own`() async throws {
        let large = answer(1 << 20)
        let small = answer(1_024)
        let served = Mutex(0)
        let server = try ScriptedServer { peer in
            while peer.request() {
                let number = served.withLock { count in
                    count += 1
                    return count
                }
                peer.respond(200, number <= 2 ? large : small)
            }
        }
        let harness = try UpstreamHarness("http://127.0.0.1:\(server.port)/v1")
        let seen = Seen()
        @Sendable func call(_ number: Int) async -> UpstreamHarness.Ended {
            let before = Mutex(0)
            return await harness.call(
                isStream: false,
                onDelta: { running in
                    let turn = harness.lane.turns
                    let count = before.withLock { before in
                        defer { before = running.received }
                        return running.received - before
                    }
                    seen.note(number, turn, count)
                })
        }
        async let first = call(0)
        async let second = call(1)
        let ends = await [first, second]
        let third = await call(2)
        #expect(ends.allSatisfy { $0.failure == nil && $0.text.utf8.count == 1 << 20 && $0.ends == 1 })
        #expect(third.failure == nil && third.text.utf8.count == 1_024)
        let turns = seen.bytes.withLock { $0 }
        for call in [0, 1] {
            let counts = turns[call] ?? [:]
            #expect(counts.count >= 4, "a quarter of a MiB a turn: \(counts)")
            #expect(counts.values.allSatisfy { $0 <= AnswerDecoder.turnBytes })
        }
        let (mine, others) = (Set((turns[0] ?? [:]).keys), Set((turns[1] ?? [:]).keys))
        #expect(mine.isDisjoint(with: others), "one part of anybody's in a turn")
        #expect(turns[2]?.count == 1)
    }

    @Test func `a reader that stops holds the rest of a large answer back`() async throws {
        let large = answer(1 << 20)
        let server = try ScriptedServer { peer in while peer.request() { peer.respond(200, large) } }
        let harness = try UpstreamHarness("http://127.0.0.1:\(server.port)/v1")
        let pauses = Mutex((count: 0, held: 0))
        let ended = await harness.call(
            isStream: false,
            onDelta: { running in
                guard
                    pauses.withLock({
                        $0.count += 1; return $0.count == 1
                    })
                else { return }
                running.pause()
                // Many turns later nothing more came than the part that was under way.
                harness.lane.schedule(after: .milliseconds(30)) {
                    pauses.withLock { $0.held = running.received }
                    running.resume()
                }
            })
        #expect(ended.failure == nil && ended.text.utf8.count == 1 << 20)
        #expect(pauses.withLock { $0.held } <= AnswerDecoder.turnBytes)
    }

    @Test func `a cancel between two parts ends the call once`() async throws {
        let large = answer(1 << 20)
        let server = try ScriptedServer { peer in while peer.request() { peer.respond(200, large) } }
        let harness = try UpstreamHarness("http://127.0.0.1:\(server.port)/v1")
        let ended = await harness.call(isStream: false, onDelta: { $0.cancel() })
        #expect(ended.failure == .cancelled && ended.ends == 1 && ended.outcome.hasContent)
        #expect(ended.text.utf8.count <= AnswerDecoder.turnBytes)
    }

    @Test func `a cancel between two parts is billed as the provider said`() async throws {
        let usage = #","usage":{"prompt_tokens":9,"completion_tokens":200000}}"#
        let large = answer(1 << 20).dropLast() + usage
        let server = try ScriptedServer { peer in while peer.request() { peer.respond(200, String(large)) } }
        let harness = try UpstreamHarness("http://127.0.0.1:\(server.port)/v1")
        let ended = await harness.call(isStream: false, onDelta: { $0.cancel() })
        #expect(ended.failure == .cancelled)
        #expect(ended.outcome.end.reported.input == 9 && ended.outcome.end.reported.output == 200_000)
    }
}

@Suite struct Base64Tests {
    @Test func `every length and every byte`() {
        let all = (0...255).map { UInt8($0) } + (0...255).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        for length in 0...all.count {
            var output = ByteBuffer()
            Base64.append(Array(all[..<length]).span.bytes, to: &output)
            #expect(output.array() == Array(Data(all[..<length]).base64EncodedString().utf8), "\(length) bytes")
        }
    }
}
