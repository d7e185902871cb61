// Calls over real sockets: phases have limits, ends are told once, connections are kept, pressure goes back to the provider.
import Core
import Foundation
import Policy
import Synchronization
import Testing

@testable import Providers

@Suite struct UpstreamCallTests {
    private func harness(
        _ server: ScriptedServer, _ configure: (inout ProviderRecord) -> Void = { _ in }
    ) throws -> UpstreamHarness { try UpstreamHarness("http://127.0.0.1:\(server.port)/v1", configure) }

    private static let answer =
        #"{"model":"m","choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}],"#
        + #""usage":{"prompt_tokens":5,"completion_tokens":1}}"#

    @Test func `a connection is kept and used again`() async throws {
        let server = try ScriptedServer { peer in while peer.request() { peer.respond(200, Self.answer) } }
        let harness = try harness(server)
        for number in 0..<5 {
            let ended = await harness.call(isStream: false)
            #expect(ended.failure == nil && ended.text == "hello" && ended.ends == 1)
            #expect(ended.outcome.end.usage?.inputTokens == 5)
            #expect(ended.connections.made == 1 && ended.connections.reused == Int64(number))
        }
        #expect(server.connections == 1)
    }

    @Test func `calls beyond the pool's limit wait for a connection`() async throws {
        let server = try ScriptedServer { peer in
            while peer.request() {
                usleep(20_000)
                peer.respond(200, Self.answer)
            }
        }
        let harness = try harness(server) { $0.maximumConnections = 2 }
        let ends = await withTaskGroup(of: UpstreamHarness.Ended.self) { group in
            for _ in 0..<12 { group.addTask { await harness.call(isStream: false) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(ends.allSatisfy { $0.failure == nil && $0.text == "hello" })
        #expect(server.connections == 2)
    }

    @Test func `a stream arrives whole`() async throws {
        let server = try ScriptedServer { peer in
            while peer.request() {
                peer.beginStream()
                for number in 0..<100 { peer.delta("\(number) ") }
                peer.endStream()
            }
        }
        let harness = try harness(server)
        for _ in 0..<2 {
            let ended = await harness.call()
            #expect(ended.failure == nil && ended.text == (0..<100).map { "\($0) " }.joined())
            #expect(ended.outcome.end.finish == .stop && ended.outcome.end.usage?.outputTokens == 2)
            // The answer ends with its mark; the end of its body may come later.
            for _ in 0..<600 where await harness.connections().idle == 0 {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        #expect(server.connections == 1)
    }

    @Test func `a provider that nobody answers for fails to connect`() async throws {
        let port = try ScriptedServer { _ in }.port
        let harness = try UpstreamHarness("http://127.0.0.1:\(port)/v1")
        let ended = await harness.call()
        #expect(ended.failure == .connect && !ended.outcome.wasSent && ended.ends == 1)
    }

    @Test func `a name that does not exist fails to connect within the connect time`() async throws {
        let ended = try await UpstreamHarness("http://no-such-host.invalid/v1") {
            $0.connectTimeout = .seconds(1)
        }.call()
        #expect(ended.failure == .connect && ended.ends == 1)
    }

    @Test func `silence before the first event is a time-out, and a comment breaks no silence`() async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            if peer.number > 0 { peer.beginStream() }
            while peer.number == 0 ? !peer.waitForClose() : peer.chunk(": still here\n\n") { usleep(50_000) }
        }
        let harness = try harness(server) { $0.firstEventTimeout = .milliseconds(400) }
        for _ in 0..<2 {
            let ended = await harness.call()
            #expect(ended.failure == .timeout && ended.ends == 1)
            #expect(ended.time > .milliseconds(380) && ended.time < .seconds(5), "\(ended.time)")
        }
    }

    @Test func `silence within an answer interrupts it`() async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.beginStream()
            peer.delta("begun")
            while peer.chunk(": still here\n\n") { usleep(50_000) }
        }
        let ended = await (try harness(server) { $0.idleTimeout = .milliseconds(400) }).call()
        #expect(ended.failure == .streamInterrupted && ended.outcome.failure?.cause == .timeout)
        #expect(ended.outcome.failure?.wireCode == .upstreamStalled)
        #expect(ended.outcome.hasContent && ended.text == "begun" && ended.ends == 1)
        #expect(ended.time < .seconds(5))
    }

    @Test func `the shorter time of the call's owner counts`() async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.beginStream()
            if peer.number == 1 { peer.delta("begun") }
            while peer.chunk(": still here\n\n") { usleep(50_000) }
        }
        let harness = try harness(server)
        let first = await harness.call(times: UpstreamTimes(firstEvent: .milliseconds(300)))
        #expect(first.failure == .timeout && first.time < .seconds(5))
        let second = await harness.call(times: UpstreamTimes(idle: .milliseconds(300)))
        #expect(second.failure == .streamInterrupted && second.text == "begun" && second.time < .seconds(5))
    }

    @Test func `a server whose queue of connections is full, as one that drops them, fails within the connect time`()
        async throws
    {
        let crowd = try Crowd()
        let ended = try await UpstreamHarness("http://127.0.0.1:\(crowd.port)/v1") {
            $0.connectTimeout = .milliseconds(400)
        }.call()
        #expect(ended.failure == .connect && !ended.outcome.wasSent && ended.ends == 1)
        #expect(ended.time > .milliseconds(350) && ended.time < .seconds(10), "\(ended.time)")
    }

    @Test func `an event that is cut at every byte, each in a packet of its own, arrives whole`() async throws {
        let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"größer 🌊\"}}]}\n\n"
        let server = try ScriptedServer { peer in
            peer.request()
            peer.withoutDelay()
            peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            for byte in event.utf8 {
                peer.send([byte])
                usleep(500)
            }
            peer.send(
                "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
        }
        let ended = await (try harness(server)).call()
        #expect(ended.failure == nil && ended.text == "größer 🌊")
    }

    @Test func `a cancelled call closes the provider's connection at once`() async throws {
        let closed = Mutex(false)
        let server = try ScriptedServer { peer in
            peer.request()
            peer.beginStream()
            peer.delta("begun")
            let isClosed = peer.waitForClose()
            closed.withLock { $0 = isClosed }
        }
        let ended = await (try harness(server)).call(onDelta: { $0.cancel() })
        #expect(ended.failure == .cancelled && ended.ends == 1 && ended.time < .seconds(8))
        for _ in 0..<1_000 where !closed.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
        #expect(closed.withLock { $0 })
    }

    @Test func `a call that is cancelled before it has a connection ends once`() async throws {
        let server = try ScriptedServer { peer in while peer.request() { usleep(200_000) } }
        let harness = try harness(server) { $0.maximumConnections = 1 }
        async let first = harness.call(
            isStream: false,
            onStart: { call, lane in
                lane.schedule(after: .milliseconds(100)) { call.cancel() }
            })
        let second = await harness.call(isStream: false, onStart: { call, _ in call.cancel() })
        #expect(second.failure == .cancelled && second.ends == 1 && !second.outcome.wasSent)
        #expect(await first.failure == .cancelled)
    }

    @Test func `a paused call leaves the socket unread, and loses nothing`() async throws {
        let sent = Mutex(0)
        let piece = String(repeating: "x", count: 8_000)
        let server = try ScriptedServer { peer in
            peer.request()
            peer.beginStream()
            for _ in 0..<2_000 {
                peer.delta(piece)
                sent.withLock { $0 += 1 }
            }
            peer.endStream()
        }
        let harness = try harness(server)
        let whenPaused = Mutex((sent: 0, received: 0))
        let ended = await harness.call(onStart: { call, lane in
            lane.schedule(after: .milliseconds(30)) {
                call.pause()
                // Long enough for the server to fill every buffer between us.
                lane.schedule(after: .milliseconds(700)) {
                    whenPaused.withLock { $0 = (sent.withLock { $0 }, call.received) }
                    call.resume()
                }
            }
        })
        #expect(ended.failure == nil && ended.text.utf8.count == 2_000 * 8_000)
        let paused = whenPaused.withLock { $0 }
        #expect(paused.sent < 2_000, "the server was stopped after \(paused.sent) of 2000 pieces")
        #expect(paused.received < 2_000 * 8_000)
    }

    enum Cut: CaseIterable { case beforeHead, inHead, afterHead, inEvent, afterContent }

    @Test(arguments: Cut.allCases, [false, true])
    func `an answer that is cut says how far it came`(cut: Cut, isReset: Bool) async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            switch cut {
            case .beforeHead: break
            case .inHead: peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/eve")
            case .afterHead: peer.beginStream()
            case .inEvent:
                peer.beginStream()
                peer.send("20\r\ndata: {\"choices\":[{\"in")
            case .afterContent:
                peer.beginStream()
                peer.delta("begun")
            }
            usleep(50_000)
            if isReset { peer.reset() }
        }
        let ended = await (try harness(server)).call()
        #expect(ended.ends == 1 && ended.outcome.wasSent)
        switch cut {
        // Before anything was seen, another target may still answer instead.
        case .beforeHead, .inHead, .afterHead, .inEvent: #expect(ended.failure == .serverError)
        case .afterContent:
            #expect(ended.failure == .streamInterrupted && ended.outcome.failure?.wireCode == .upstreamTruncated)
        }
        #expect(ended.outcome.hasContent == (cut == .afterContent))
    }

    @Test func `a fresh connection that dies is not tried again`() async throws {
        let server = try ScriptedServer { peer in peer.request() }
        let ended = await (try harness(server)).call(isStream: false)
        #expect(ended.failure == .serverError && server.connections == 1)
    }

    @Test func `refusals keep their class, their time to come again and the provider's name for the request`()
        async throws
    {
        let server = try ScriptedServer { peer in
            var number = 0
            while peer.request() {
                switch number {
                case 0:
                    peer.respond(
                        429, #"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#,
                        headers: "Retry-After: 7\r\nx-request-id: req_1\r\n")
                case 1: peer.respond(503, "<html>busy</html>", type: "text/html", headers: "retry-after-ms: 1500\r\n")
                case 2: peer.respond(500, "{}", headers: "x-should-retry: false\r\napim-request-id: az_1\r\n")
                default: peer.respond(400, #"{"error":{"code":"context_length_exceeded"}}"#)
                }
                number += 1
            }
        }
        let harness = try harness(server)
        let limited = await harness.call()
        #expect(limited.failure == .rateLimited && limited.outcome.failure?.retryAfter == .seconds(7))
        #expect(limited.outcome.requestID == "req_1" && limited.outcome.failure?.wireRetry == .safeHere)
        let busy = await harness.call()
        #expect(busy.failure == .overloaded && busy.outcome.failure?.retryAfter == .milliseconds(1_500))
        let final = await harness.call()
        #expect(final.failure == .serverError && final.outcome.failure?.wireRetry == .never)
        #expect(final.outcome.requestID == "az_1")
        #expect(await harness.call().failure == .contextLengthExceeded)
        #expect(server.connections == 1, "a refusal leaves the connection usable")
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 20\r\n\r\ndata: {not json at }\n",
        "SMTP ready\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 40\r\n\r\ndata: {\"choices\":[{\"index\":0,\"delta\":7}]}",
    ]) func `an answer that is not what was asked for is refused`(response: String) async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.send(response)
            _ = peer.waitForClose()
        }
        let ended = await (try harness(server)).call()
        #expect([.protocolError, .streamInterrupted].contains(ended.failure), "\(String(describing: ended.failure))")
        #expect(ended.ends == 1 && !ended.outcome.hasContent)
    }

    @Test func `endless heads and lines are cut off, whatever they cost the server`() async throws {
        let sent = Mutex(0)
        let server = try ScriptedServer { peer in
            peer.request()
            if peer.number == 0 {
                peer.send("HTTP/1.1 200 OK\r\n")
                var number = 0
                while peer.send("X-Header-\(number): \(String(repeating: "x", count: 1_000))\r\n") { number += 1 }
            } else {
                peer.beginStream()
                peer.chunk("data: ")
                while peer.chunk(String(repeating: "x", count: 65_536)) { sent.withLock { $0 += 65_536 } }
            }
        }
        let harness = try harness(server)
        let head = await harness.call()
        #expect(head.failure == .protocolError && head.ends == 1)
        let line = await harness.call()
        #expect(line.failure == .protocolError && line.ends == 1)
        #expect(sent.withLock { $0 } < 32 << 20)
    }
}
