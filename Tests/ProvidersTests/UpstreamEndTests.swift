// When an answer ends, and in which form it may come: over real sockets, with what servers do behind, before and in place of it.
import Core
import Foundation
import Policy
import Testing

@testable import Providers

@Suite struct UpstreamEndTests {
    private func harness(
        _ server: ScriptedServer, _ configure: (inout ProviderRecord) -> Void = { _ in }
    ) throws -> UpstreamHarness { try UpstreamHarness("http://127.0.0.1:\(server.port)/v1", configure) }

    private static let answer =
        #"{"model":"m","choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}],"#
        + #""usage":{"prompt_tokens":5,"completion_tokens":1}}"#

    private static func finish(_ choice: Int = 0) -> String {
        "data: \(Decoded.chunk("{}", finish: "stop", choice: choice))\n\n"
    }
    private static func text(_ text: String, _ choice: Int = 0) -> String {
        "data: \(Decoded.chunk(#"{"content":"\#(text)"}"#, choice: choice))\n\n"
    }
    private static let usage =
        #"data: {"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100}}"# + "\n\n"

    /// A server that sends these pieces as one stream, with pauses between them, and keeps it open with comments.
    private func stream(_ pieces: [String], pause: UInt32, pings: Bool = true) throws -> ScriptedServer {
        try ScriptedServer { peer in
            guard peer.request() else { return }
            peer.beginStream()
            for piece in pieces {
                peer.chunk(piece)
                usleep(pause)
            }
            while pings, peer.chunk(": ping\n\n") { usleep(100_000) }
        }
    }

    // MARK: - The end of a stream

    @Test func `an answer with its end mark ends immediately, whatever the server sends behind it`() async throws {
        let server = try stream([Self.text("x"), Self.finish() + Self.usage + "data: [DONE]\n\n"], pause: 0)
        let ended = await (try harness(server)).call()
        #expect(ended.failure == nil && ended.text == "x" && ended.outcome.end.usage?.outputTokens == 100)
        #expect(ended.connections.open == 1, "the end of the body is waited for in the background")
    }

    @Test func `a2: comments behind the finish reason and usage do not hold the end up`() async throws {
        let server = try stream([Self.text("x"), Self.finish(), Self.usage], pause: 1_000)
        let ended = await (try harness(server)).call()
        #expect(ended.failure == nil && ended.outcome.end.usage?.inputTokens == 1_000)
        #expect(ended.time < .seconds(8) && ended.connections.idle == 0)
    }

    @Test func `usage that comes seconds after the finish reason counts`() async throws {
        let server = try stream([Self.text("x"), Self.finish(), Self.usage], pause: 1_500_000)
        let ended = await (try harness(server)).call()
        #expect(ended.failure == nil && ended.outcome.end.usage?.inputTokens == 1_000)
    }

    @Test func `a14: a pause behind an empty finish reason loses nothing`() async throws {
        let first = "data: \(Decoded.chunk(#"{"role":"assistant","content":""}"#, finish: ""))\n\n"
        let server = try stream(
            [first, Self.text("full "), Self.text("answer"), Self.finish(), Self.usage], pause: 1_200_000)
        let ended = await (try harness(server)).call()
        #expect(ended.failure == nil && ended.text == "full answer" && ended.outcome.end.finish == .stop)
        #expect(ended.outcome.end.usage?.inputTokens == 1_000)
    }

    @Test func `choices that come one after the other are all waited for`() async throws {
        let pieces = [
            Self.text("A0"), Self.finish(), Self.text("B1", 1), Self.finish(1) + Self.usage + "data: [DONE]\n\n",
        ]
        let server = try stream(pieces, pause: 1_600_000)
        var bounds = AnswerBounds()
        bounds.choices = 2
        let ended = await (try harness(server)).call(bounds: bounds)
        #expect(ended.failure == nil && ended.text == "A0B1" && ended.outcome.end.usage?.outputTokens == 100)
    }

    @Test func `a text behind a finish reason is part of the answer`() async throws {
        let server = try stream(
            [Self.text("one "), Self.finish(), Self.text("two"), Self.finish() + Self.usage], pause: 300_000)
        let ended = await (try harness(server)).call()
        #expect(ended.failure == nil && ended.text == "one two" && ended.outcome.end.usage?.outputTokens == 100)
    }

    @Test func `the connection of an answer that ended is kept when the end of its body comes`() async throws {
        let server = try ScriptedServer { peer in
            while peer.request() {
                peer.beginStream()
                peer.chunk(Self.text("x") + Self.finish() + Self.usage + "data: [DONE]\n\n")
                usleep(100_000)
                peer.chunk("")
            }
        }
        let harness = try harness(server)
        #expect(await harness.call().failure == nil)
        for _ in 0..<600 where await harness.connections().idle == 0 { try await Task.sleep(for: .milliseconds(5)) }
        #expect(await harness.call().failure == nil)
        #expect(server.connections == 1)
    }

    @Test func `a10: keep-alives prolong the idle time, but not for ever`() async throws {
        let server = try stream([Self.text("x")], pause: 0)
        let ended = await (try harness(server) { $0.idleTimeout = .milliseconds(500) }).call()
        #expect(ended.failure == .streamInterrupted && ended.outcome.failure?.isStalled == true)
        #expect(ended.time > .seconds(1) && ended.text == "x")
    }

    // MARK: - The form of an answer

    private func reply(_ response: String, isStream: Bool = true) async throws -> UpstreamHarness.Ended {
        let server = try ScriptedServer { peer in
            guard peer.request() else { return }
            peer.send(response)
            _ = peer.waitForClose()
        }
        return await (try harness(server) { $0.idleTimeout = .milliseconds(500) }).call(isStream: isStream)
    }

    private func head(_ status: Int, _ body: String, _ headers: String = "Content-Type: application/json\r\n") -> String
    {
        "HTTP/1.1 \(status) X\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    @Test func `JSON in place of a stream is an error, or the answer`() async throws {
        let error = try await reply(head(200, #"{"error":{"message":"Rate limit","code":429}}"#))
        #expect(error.failure == .rateLimited && error.outcome.failure?.wireCode == .upstreamThrottled)
        let answer = try await reply(head(200, Self.answer))
        #expect(answer.failure == nil && answer.text == "hello" && answer.outcome.end.usage?.inputTokens == 5)
    }

    @Test(arguments: [true, false]) func `an answer without a Content-Type is read for what it is`(isStream: Bool)
        async throws
    {
        let whole = try await reply(head(200, "\n \n" + Self.answer, ""), isStream: isStream)
        #expect(whole.failure == nil && whole.text == "hello")
        let events = try await reply(head(200, Self.text("x") + Self.finish(), ""))
        #expect(events.failure == nil && events.text == "x")
    }

    @Test func `an error status with a body of events is read`() async throws {
        let body = #"data: {"error":{"code":"context_length_exceeded"}}"# + "\n\n"
        let ended = try await reply(head(400, body, "Content-Type: text/event-stream\r\n"))
        #expect(ended.failure == .contextLengthExceeded)
    }

    @Test func `b6: any success with an answer is one, without a body it is none`() async throws {
        for status in [201, 202] {
            let whole = try await reply(head(status, Self.answer), isStream: false)
            #expect(whole.failure == nil && whole.outcome.end.usage?.inputTokens == 5)
            let events = head(status, Self.text("x") + Self.finish(), "Content-Type: text/event-stream\r\n")
            #expect(try await reply(events).text == "x")
        }
        for isStream in [true, false] {
            #expect(try await reply("HTTP/1.1 204 X\r\n\r\n", isStream: isStream).failure == .protocolError)
        }
    }

    @Test func `b8: a redirect is named by its host alone, and not followed`() async throws {
        let server = try ScriptedServer { _ in }
        for (location, place) in [
            ("https://u:p@other.test:\(server.port)/v1?key=secret", "other.test:\(server.port)"),
            ("//u@other.test/v1", "other.test"), ("/v2?key=secret", nil), ("a//b:c", nil),
        ] {
            let ended = try await reply(head(307, "", "Location: \(location)\r\n"))
            #expect(ended.failure == .protocolError && ended.outcome.failure?.location == place)
        }
        #expect(server.connections == 0)
    }

    @Test(arguments: [true, false]) func `a16: a content coding that nobody asked for is an error`(isStream: Bool)
        async throws
    {
        let type = isStream ? "text/event-stream" : "application/json"
        let ended = try await reply(
            head(200, "\u{1f}", "Content-Type: \(type)\r\nContent-Encoding: gzip\r\n"), isStream: isStream)
        #expect(ended.failure == .protocolError && ended.outcome.failure?.detail?.contains("content coding") == true)
    }

    @Test(arguments: [true, false]) func `b1: a body shorter than its length is told, soon, and not by silence`(
        closes: Bool
    ) async throws {
        let length = Self.answer.utf8.count
        let server = try ScriptedServer { peer in
            guard peer.request() else { return }
            peer.send(
                "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: \(length + 1)\r\n\r\n\(Self.answer)"
            )
            if !closes { _ = peer.request() }
        }
        let ended = await (try harness(server) { $0.idleTimeout = .milliseconds(300) }).call(isStream: false)
        #expect(ended.failure == (closes ? .serverError : .timeout))
        #expect(ended.outcome.failure?.detail?.hasPrefix("short body, \(length) of \(length + 1) bytes") == true)
        #expect(ended.connections.idle == 0 && ended.time < .seconds(5))
    }

    @Test func `b9: blank lines before a whole answer are waited through`() async throws {
        let server = try ScriptedServer { peer in
            guard peer.request() else { return }
            peer.send("HTTP/1.1 200 X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<8 {
                peer.chunk("\n         \n")
                usleep(100_000)
            }
            for start in stride(from: 0, to: Self.answer.utf8.count, by: 16) {
                peer.chunk(String(Self.answer.dropFirst(start).prefix(16)))
                usleep(1_000)
            }
            peer.chunk("")
        }
        let ended = await (try harness(server) { $0.idleTimeout = .milliseconds(400) }).call(isStream: false)
        #expect(ended.failure == nil && ended.text == "hello" && ended.outcome.end.usage?.inputTokens == 5)
    }

    @Test func `blanks inside a whole answer are part of it, however it is cut`() async throws {
        let text = #"{"choices":[{"message":{"content":"a  b"},"finish_reason":"stop"}]}"#
        let server = try ScriptedServer { peer in
            guard peer.request() else { return }
            peer.withoutDelay()
            peer.send("HTTP/1.1 200 X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            for character in text { peer.chunk(String(character)) }
            peer.chunk("")
        }
        #expect(await (try harness(server)).call(isStream: false).text == "a  b")
    }

    // MARK: - The next request

    @Test func `an answer before the whole request was sent leaves nothing for the next one`() async throws {
        let server = try ScriptedServer { peer in
            if peer.number == 0 {
                peer.respond(400, #"{"error":{"code":"context_length_exceeded"}}"#)
                usleep(1_000_000)
            } else {
                while peer.request() { peer.respond(200, Self.answer) }
            }
        }
        let harness = try harness(server)
        let first = await harness.call(isStream: false, body: [UInt8](repeating: 0x20, count: 32 << 20))
        #expect(first.failure == .contextLengthExceeded && first.connections.idle == 0)
        let second = await harness.call(isStream: false)
        #expect(second.failure == nil && second.text == "hello" && server.connections == 2)
    }
}
