// Probes over real sockets: what they ask, and what each kind of answer says of a provider.
import Core
import Foundation
import Policy
import Testing

@testable import Providers

@Suite struct ProbeCallTests {
    private static let list = #"{"object":"list","data":[]}"#
    private static let answer = #"{"choices":[{"index":0,"message":{"content":"H"},"finish_reason":"length"}]}"#

    /// What a probe makes of a server that follows a script.
    private func outcome(
        of call: ProbeSetting.Call = .models, _ script: @escaping @Sendable (ScriptedServer.Peer) -> Void
    ) async throws -> ProbeCall.Outcome {
        let server = try ScriptedServer(script)
        return await (try UpstreamHarness("http://127.0.0.1:\(server.port)/v1")).probe(call)
    }

    private func outcome(
        of call: ProbeSetting.Call = .models, status: Int, _ body: String = "{}", type: String = "application/json"
    ) async throws -> ProbeCall.Outcome {
        try await outcome(of: call) { peer in
            peer.request()
            peer.respond(status, body, type: type)
        }
    }

    @Test func `each probe connects anew, and leaves no connection behind`() async throws {
        let server = try ScriptedServer { peer in
            peer.request()
            peer.respond(200, Self.list)
            _ = peer.waitForClose()
        }
        let harness = try UpstreamHarness("http://127.0.0.1:\(server.port)/v1")
        for _ in 0..<3 { #expect(await harness.probe().result == .up) }
        #expect(server.connections == 3)
    }

    @Test func `a list that is longer than what is looked at is a list all the same`() async throws {
        let long = #"{"data":["# + String(repeating: "1,", count: 200_000) + "1]}"
        #expect(try await outcome(status: 200, long).result == .up)
    }

    @Test func `what says nothing of the provider is told as unknown`() async throws {
        for status in [400, 403, 404, 405] {
            let result = try await outcome(status: status).result
            #expect(result.word == "unknown" && result.why.contains("no list of models"), "\(status): \(result)")
        }
        #expect(try await outcome(status: 429).result == .up, "it has too much to do at present")
    }

    @Test func `what fails says why, and never what the provider said`() async throws {
        let secret = #"{"error":{"message":"wrong key sk-1234","type":"x","code":"y"}}"#
        let cases = [(401, "authentication"), (402, "quota_exhausted"), (500, "server_error"), (503, "overloaded")]
        for (status, word) in cases {
            let result = try await outcome(status: status, secret).result
            #expect(result == .failing("\(word), status \(status)"))
        }
        let quota = #"{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota"}}"#
        #expect(try await outcome(status: 429, quota).result == .failing("quota_exhausted, status 429"))
        let page = try await outcome(status: 200, "<html>It works!</html>", type: "text/html").result
        #expect(page == .failing("the answer is not application/json"))
        let silent = try await outcome { peer in peer.request() }.result
        #expect(silent.why.hasPrefix("closed before an answer"), "\(silent)")
        let babble = try await outcome { peer in
            peer.request()
            peer.send("This is no HTTP at all.\r\n\r\n")
        }.result
        #expect(babble.word == "failing", "\(babble)")
        let gone = await (try UpstreamHarness("http://127.0.0.1:1/v1")).probe().result
        #expect(gone.why.hasPrefix("connect: "), "\(gone)")
    }

    @Test func `a chat asks for one token, and must be answered by one`() async throws {
        let chat = ProbeSetting.Call.chat(model: #"a "model""#)
        #expect(try await outcome(of: chat, status: 200, Self.answer).result == .up)
        #expect(try await outcome(of: chat, status: 200, Self.list).result == .failing("the answer has no choices"))
        #expect(try await outcome(of: chat, status: 200, "{").result == .failing("the answer is no JSON"))
        let missing = try await outcome(of: chat, status: 404)
        #expect(missing.result == .failing("not_found, status 404") && missing.isOfModel)
        let broken = try await outcome(of: chat, status: 500)
        #expect(broken.result == .failing("server_error, status 500") && !broken.isOfModel)
        #expect(try await outcome(of: chat, status: 400).result == .failing("invalid_request, status 400"))
    }
}
