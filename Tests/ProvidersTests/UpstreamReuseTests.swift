// Which connection a call uses, when it may be sent again, and which ends are good ends.
import Core
import Foundation
import Net
import Policy
import Synchronization
import Testing

@testable import Providers

@Suite struct UpstreamReuseTests {
    private func harness(
        _ server: ScriptedServer, _ configure: (inout ProviderRecord) -> Void = { _ in }
    ) throws -> UpstreamHarness { try UpstreamHarness("http://127.0.0.1:\(server.port)/v1", configure) }

    private static let answer = #"{"choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}]}"#

    // MARK: - Sent again, or not

    /// What a server does with the second request on its first connection.
    enum End: String, CaseIterable { case inHead, interim, whole, part, reset }

    @Test(
        "h11: a kept connection whose server may have read a part of the request is not tried again",
        arguments: End.allCases)
    func workMayHaveBegun(end: End) async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.respond(200, Self.answer)
            switch end {
            case .inHead, .interim, .whole, .reset: peer.request()
            case .part: peer.waitForBytes()
            }
            switch end {
            case .inHead: peer.send("HTTP/1.1 2")
            case .interim: peer.send("HTTP/1.1 100 Continue\r\n\r\n")
            case .reset: peer.reset()
            // With bytes unread the kernel resets the connection.
            case .whole, .part: break
            }
        }
        let harness = try harness(server)
        #expect(await harness.call(isStream: false).failure == nil)
        let second = await harness.call(isStream: false)
        #expect(second.failure == .serverError && second.ends == 1)
        #expect(second.outcome.failure?.detail?.hasPrefix("closed before an answer") == true)
        #expect(second.outcome.wasSent, "it may be billed")
        #expect(server.connections == 1, "\(end)")
    }

    @Test(
        "h11: a connection that was closed before it was used again is followed by a fresh one, unseen",
        arguments: [8, 2])
    func staleConnection(limit: Int) async throws {
        let both = DispatchSemaphore(value: 0)
        let mayClose = DispatchSemaphore(value: 0)
        let server = try ScriptedServer { peer in
            peer.request()
            if peer.number < 2 {
                // Both are needed at once, so that both are idle afterwards.
                if peer.number == 1 { both.signal() } else { both.wait() }
                peer.respond(200, Self.answer)
                mayClose.wait()
            } else {
                peer.respond(200, Self.answer)
            }
        }
        let harness = try harness(server) { $0.maximumConnections = limit }
        async let other = harness.call(isStream: false)
        let first = await harness.call(isStream: false)
        #expect(await other.failure == nil && first.failure == nil)
        // The lane cannot see that both are closed before it sends on one of them.
        let third = await harness.call(isStream: false) {
            mayClose.signal()
            mayClose.signal()
            usleep(100_000)
        }
        #expect(third.failure == nil && third.text == "hello" && third.ends == 1)
        #expect(server.connections == 3, "not the next one that may be stale")
        #expect(third.connections.open <= limit)
    }

    @Test func `bytes that nobody asked for end a kept connection`() async throws {
        let isClosed = Mutex(false)
        let server = try ScriptedServer { peer in
            peer.request()
            peer.respond(200, Self.answer)
            // Apart from the answer, so that they come to an idle connection.
            usleep(50_000)
            if peer.number == 0 { peer.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n") }
            while peer.request() {}
            isClosed.withLock { $0 = true }
        }
        let harness = try harness(server)
        #expect(await harness.call(isStream: false).failure == nil)
        while !isClosed.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
        let second = await harness.call(isStream: false)
        #expect(second.failure == nil && second.text == "hello")
        #expect(server.connections == 2)
    }

    // MARK: - Ends

    @Test(arguments: [false, true])
    func `an answer whose finish reason came is whole, whatever happens before the end mark`(isReset: Bool) async throws
    {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.beginStream()
            peer.delta("all of it")
            peer.chunk("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n")
            usleep(50_000)
            if isReset { peer.reset() }
        }
        let ended = await (try harness(server)).call()
        #expect(ended.failure == nil && ended.ends == 1 && ended.text == "all of it")
        #expect(ended.outcome.end.finish == .length && ended.outcome.end.usage == nil)
    }

    @Test func `a body that stays open behind its end mark is not waited for long`() async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.beginStream()
            peer.delta("x")
            peer.chunk(
                "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
            peer.request()
        }
        let ended = await (try harness(server)).call()
        #expect(ended.failure == nil && ended.text == "x" && ended.time < .seconds(5))
        #expect(ended.connections.idle == 0, "a connection inside a body is not kept")
    }

    @Test func `an error body that never ends is judged by what came`() async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.send("HTTP/1.1 429 X\r\nContent-Length: 5000\r\nRetry-After: 3\r\n\r\n{\"error\":{\"code\":")
            usleep(50_000)
        }
        let ended = await (try harness(server)).call()
        #expect(ended.failure == .rateLimited && ended.outcome.failure?.retryAfter == .seconds(3) && ended.ends == 1)
    }

    @Test func `a redirect is not followed`() async throws {
        let server = try ScriptedServer { peer in
            while peer.request() {
                peer.respond(302, "", headers: "Location: http://user:pw@login.example:9/sign?in=secret\r\n")
            }
        }
        let ended = await (try harness(server)).call()
        #expect(ended.failure == .protocolError && ended.outcome.failure?.status == 302)
        #expect(ended.outcome.failure?.location == "login.example:9", "the operator learns where to, and no more")
    }

    @Test func `the start of a tool call is a first event`() async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.beginStream()
            func chunk(_ call: String, finish: String = "null") {
                peer.chunk(
                    #"data: {"choices":[{"index":0,"delta":{"tool_calls":[\#(call)]},"finish_reason":\#(finish)}]}"#
                        + "\n\n")
            }
            chunk(#"{"index":0,"id":"a","function":{"name":"f","arguments":""}}"#)
            usleep(1_800_000)
            chunk(#"{"index":0,"function":{"arguments":"{}"}}"#, finish: #""tool_calls""#)
        }
        let harness = try harness(server) {
            $0.firstEventTimeout = .milliseconds(1_500)
        }
        let ended = await harness.call()
        #expect(ended.failure == nil && ended.text == "{}" && ended.outcome.end.finish == .toolCalls)
    }

    @Test(arguments: [false, true])
    func `a provider that goes away while a call is paused costs nothing until it goes on`(isReset: Bool) async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.beginStream()
            peer.delta("begun")
            usleep(100_000)
            if isReset { peer.reset() }
        }
        let turns = Mutex<UInt64>(0)
        let harness = try harness(server)
        let ended = await harness.call(
            onStart: { call, lane in
                lane.schedule(after: .milliseconds(300)) {
                    let before = lane.turns
                    lane.schedule(after: .milliseconds(400)) {
                        turns.withLock { $0 = lane.turns - before }
                        call.resume()
                    }
                }
            }, onDelta: { $0.pause() })
        #expect(ended.failure == .streamInterrupted && ended.text == "begun" && ended.ends == 1)
        #expect(turns.withLock { $0 } < 100, "the lane does not spin")
    }

    // MARK: - Connecting

    @Test func `a server that never shakes hands is given up within the connect time`() async throws {
        let server = try ScriptedServer { peer in peer.request() }
        let harness = try UpstreamHarness("https://127.0.0.1:\(server.port)/v1") {
            $0.connectTimeout = .milliseconds(500)
        }
        let ended = await harness.call()
        #expect(ended.failure == .connect && !ended.outcome.wasSent && ended.ends == 1)
        #expect(ended.outcome.failure?.detail == "connecting took too long")
        #expect(ended.time > .milliseconds(450) && ended.time < .seconds(5))
    }

    @Test func `plain HTTP needs its permission also where it is spoken`() throws {
        let problem = #expect(throws: TargetProblem.self) {
            _ = try UpstreamHarness("http://127.0.0.1:1/v1") { $0.allowsPlainHTTP = false }
        }
        #expect(problem?.description == "provider test: http:// needs allow-plain-http = yes")
    }

    @Test(arguments: [
        ("https://api.openai.com/v1", "api.openai.com", 443, "/v1"), ("http://a:8080", "a", 8_080, ""),
        ("https://[::1]/v1//", "::1", 443, "/v1"), ("http://[fe80::1]:81/x/y", "fe80::1", 81, "/x/y"),
        ("https://a/openai?api-version=2026-01-01", "a", 443, "/openai"), ("https://a?v=1/2", "a", 443, ""),
    ])
    func `a base URL is taken apart`(text: String, host: String, port: UInt16, path: String) throws {
        let url = try #require(BaseURL(text))
        #expect(url.host == host && url.port == port && url.path == path)
        #expect(url.isEncrypted == text.hasPrefix("https"))
    }

    @Test(arguments: [
        "", "ftp://a", "https://", "https:///v1", "http://a:99999", "http://a:b", "http://::1/", "http://[]/",
        "http://u@a/",
        "http://a/#f", "http://a b/", "http://a/\r\nX: y", "http://ä/", "http://[::1",
    ])
    func `what is no base URL is refused`(text: String) { #expect(BaseURL(text) == nil) }
}
