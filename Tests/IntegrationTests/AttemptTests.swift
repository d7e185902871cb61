// What is sent to a provider, on real processes: reserved for all answers, with listed members only, and told when it is refused.
import Core
import Foundation
import Testing
import Wire

@Suite struct AttemptTests {
    private static func sections(_ base: Int) -> String {
        """
        [provider broken]
        kind = openai
        base-url = http://127.0.0.1:\(base)/v1
        allow-plain-http = yes
        passthrough = top_k
        [route two]
        target = broken/gpt-6-luna
        target = sim/gpt-6-luna group 2
        [route alone]
        target = broken/gpt-6-luna
        attempts = 1
        """
    }

    @Test func `log and metrics say why an attempt failed, also one that a later attempt repaired`() async throws {
        try await withSecondProvider(Self.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            try await set("error=401")
            let repaired = await caller.ask("hi") { $0.model = "two" }
            #expect(repaired.end?.attempts == 2, "\(repaired.result)")
            try await cluster.waitForLine(
                with: #""failed_attempts":[{"attempt":1,"target":"broken/gpt-6-luna","error.type":"authentication","#
                    + #""upstream_status":401"#, of: "node-1")
            try await set("error=400")
            let refused = await caller.ask("hi") { $0.model = "alone" }
            #expect(refused.refusal?.code == .upstreamRejected, "\(refused.result)")
            try await cluster.waitForLine(
                with: #""outcome":"UPSTREAM_REJECTED","error.type":"UPSTREAM_REJECTED","#
                    + #""upstream_class":"invalid_request","upstream_status":400"#,
                of: "node-1")
            let log = cluster.log("node-1")
            #expect(!log.contains(#""gen_ai.response.model":"""#), "what no answer named is not there")
            let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
            let failures = page.split(separator: "\n").filter { $0.hasPrefix("sluice_attempt_failures_total{") }
            #expect(failures.contains { $0.contains(#""authentication"} 1"#) }, "\(failures)")
            #expect(failures.contains { $0.contains(#""invalid_request"} 1"#) }, "\(failures)")
        }
    }

    @Test("c2: n answers are reserved n times before they are asked for, whenever their number is known")
    func severalAnswers() async throws {
        try await withCluster("limit = 500 output tokens / minute") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            // A body in one piece, and one that comes after its request was admitted.
            for prompt in ["hi", String(repeating: "long ", count: 8_000)] {
                let many = await caller.ask(prompt, { $0.maxOutputTokens = 100 }, settings: { $0.choices(8) })
                #expect(many.refusal?.code == .quotaTokens && many.refusal?.retry == .never, "\(many.result)")
                let once = await caller.ask(prompt, { $0.maxOutputTokens = 1 }, settings: { $0.choices(8) })
                // The simulator gives one answer only, and says so: it was asked.
                #expect(once.refusal?.code == .upstreamRejected, "\(once.result)")
            }
            let whole = await caller.ask("hi") { $0.maxOutputTokens = 100 }
            #expect(whole.end != nil, "nothing is left of what was refused: \(whole.result)")
        }
    }

    @Test func `members for a provider need the key's right and the provider's list, before anything is reserved`()
        async throws
    {
        try await withSecondProvider(Self.sections) { cluster, _ in
            let plain = try Caller(cluster, node: 1)
            try await plain.connected()
            let made = try await cluster.tool([
                "keys", "create", "--org", "acme", "--team", "search", "--model", "*", "--passthrough", "yes", "--json",
            ])
            let text = try #require(made.json["key"]?.text, "\(made.error)")
            #expect(made.json["record"]?["passthrough"]?.text == "yes", "\(made.output)")
            let granted = try Caller(cluster, key: text, node: 1)
            try await cluster.wait("the new key on the node") {
                await granted.ask("hi") { $0.model = "alone" }.end != nil
            }
            func ask(_ caller: Caller, _ prompt: String, _ object: String) async -> Caller.Outcome {
                await caller.ask(
                    prompt, { $0.model = "alone" },
                    settings: { $0.passthrough(provider: "broken", json: object) })
            }
            let before = try await cluster.quotaState()
            let forbidden = await ask(plain, "hi", #"{"top_k":1}"#)
            #expect(forbidden.refusal?.code == .forbidden && forbidden.refusal?.field == "passthrough")
            for object in [#"{"Model":"dear"}"#, #"{"top_k":1,"TOP_K":2}"#, #"{"service_tier":"priority"}"#] {
                let refused = await ask(granted, "hi", object)
                #expect(
                    refused.refusal?.code == .invalidRequest && refused.refusal?.field == "passthrough", "\(object)")
            }
            #expect(try await cluster.quotaState() == before, "nothing was reserved")
            let long = await ask(plain, String(repeating: "long ", count: 8_000), #"{"top_k":1}"#)
            #expect(long.refusal?.code == .forbidden, "a body that comes later: \(long.result)")
            #expect(await ask(granted, "hi", #"{"top_k":1}"#).end != nil)
        }
    }

    @Test func `two keys of a team may use one id; each of them once`() async throws {
        try await withCluster { cluster in
            let callers = [
                try Caller(cluster, node: 1),
                try Caller(cluster, key: try await cluster.createKey(team: "search"), node: 1),
            ]
            let id = Identifier128(high: 7, low: 7)
            for caller in callers {
                try await cluster.wait("the key on the node") { await caller.ask("hi").end != nil }
                #expect(await caller.ask("hi") { $0.idempotencyKey = id }.end != nil)
                #expect(await caller.ask("hi") { $0.idempotencyKey = id }.refusal?.code == .duplicate)
            }
        }
    }
}
