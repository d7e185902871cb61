// What users see of a healthy cluster: answers, refusals with names, keys, configuration, pages for operators.
import Core
import Foundation
import Testing

@Suite struct AnswerTests {
    @Test func `a streamed answer arrives intact, and so does a whole one`() async throws {
        try await withCluster { cluster in
            let prompt = "one two three\nsim: tokens=40 pace=2ms"
            let streamed = try await cluster.chat(prompt, ["--json"])
            let whole = try await cluster.chat(prompt, ["--json", "--no-stream"])
            #expect(streamed.status == 0, "\(streamed.error)")
            #expect(streamed.json["output_tokens"]?.integer == 40)
            #expect(streamed.json["text"]?.text?.isEmpty == false)
            #expect(streamed.json["text"]?.text == whole.json["text"]?.text)
            #expect(streamed.json["usage_source"] == .string("provider"))
            #expect((streamed.json["cost_micro_usd"]?.integer ?? 0) > 0)
        }
    }

    @Test func `a wrong key is refused, and so is a revoked one on both nodes`() async throws {
        try await withCluster { cluster in
            #expect(try await cluster.chat("hi", key: "slk_nobody_0123456789abcdefghij").status == 77)
            let key = try await cluster.createKey(team: "search")
            for node in [1, 2] {
                try await cluster.wait("the key on node \(node)", seconds: 2) {
                    try await cluster.chat("hi", key: key, node: node).status == 0
                }
            }
            let id = String(key.split(separator: "_")[1])
            #expect(try await cluster.tool(["keys", "revoke", id]).status == 0)
            for node in [1, 2] {
                try await cluster.wait("the revocation on node \(node)", seconds: 2) {
                    try await cluster.chat("hi", key: key, node: node).status == 77
                }
            }
        }
    }

    @Test func `a model that nobody offers is named in the refusal`() async throws {
        try await withCluster { cluster in
            let answer = try await cluster.chat("hi", ["--model", "gpt-nowhere"])
            #expect(answer.status == 1)
            #expect(answer.error.contains("UNKNOWN_MODEL") && answer.error.contains("gpt-nowhere"))
        }
    }

    @Test func `a provider's fault has its own code`() async throws {
        try await withCluster { cluster in
            for (fault, code) in [
                ("error=500", "UPSTREAM_5XX"), ("error=429 retry-after=3s", "UPSTREAM_THROTTLED"),
                ("error=cut-after=3 tokens=20", "UPSTREAM_TRUNCATED"),
                ("error=malformed-after=3 tokens=20", "UPSTREAM_TRUNCATED"), ("error=not-http", "UPSTREAM_MALFORMED"),
            ] {
                let answer = try await cluster.chat("hello\nsim: \(fault)")
                #expect(answer.status != 0)
                #expect(answer.error.contains(code), "\(fault): \(answer.error)")
            }
        }
    }

    @Test func `health, metrics and configuration are served, and no secret is ever shown`() async throws {
        try await withCluster { cluster in
            for node in [1, 2] { _ = try await cluster.chat("prompt-canary-99d1", node: node) }
            let port = cluster.at("nodeAdmin") + 1
            #expect(await cluster.http(port, "/livez").status == 200)
            #expect(await cluster.http(port, "/readyz").body.contains("\"ready\":true"))
            let metrics = await cluster.http(port, "/metrics").body
            for name in [
                "sluice_requests_total", "gen_ai_server_time_to_first_token_seconds_bucket", "sluice_redis_ready 1",
            ] {
                #expect(metrics.contains(name))
            }
            let stranger = await cluster.http(port, "/config")
            #expect(stranger.status == 401 && !stranger.body.contains("route"))
            // A page of another site whose name points here does not read it through an operator's browser.
            #expect(await cluster.http(port, "/metrics", header: "Host: rebound.example").status == 421)
            let configuration = await cluster.configuration(node: 1)
            #expect(configuration.contains("[route chat-default]"))
            // Log lines are written at most 20 ms later.
            try await cluster.wait("both requests in the logs") {
                [1, 2].allSatisfy { cluster.log("node-\($0)").contains("\"request\"") }
            }
            let logs = ["node-1", "node-2", "coordinator"].map(cluster.log).joined()
            let secret = String(cluster.key.split(separator: "_")[2])
            for canary in [
                "prompt-canary-99d1", "provider-canary-51be20", "admin-canary-7f3a9c", "node-canary-31c0aa52", secret,
            ] {
                #expect(!(configuration + metrics + logs).contains(canary))
            }
        }
    }

    @Test func `h10: two thousand refused requests with invented models and features add no series`() async throws {
        try await withCluster { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            func series() async -> Int {
                let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
                return page.split(separator: "\n").count { !$0.hasPrefix("#") }
            }
            func ask(_ numbers: Range<Int>) async -> Int {
                await withTaskGroup(of: Bool.self) { group in
                    for number in numbers {
                        group.addTask {
                            let outcome = await caller.ask("hi") {
                                $0.model = "invented-\(number)"
                                $0.feature = "feature-\(number)"
                            }
                            return outcome.refusal?.code == .unknownModel
                        }
                    }
                    return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                }
            }
            #expect(await ask(0..<40) == 40)
            let before = await series()
            let memory = try await cluster.metric("process_resident_memory_bytes", node: 1)
            for batch in 1..<50 { #expect(await ask(batch * 40..<(batch + 1) * 40) == 40) }
            #expect(await series() == before)
            let after = try await cluster.metric("process_resident_memory_bytes", node: 1)
            #expect(after - memory < 16 * 1_048_576, "grew by \(Int(after - memory)) bytes")
        }
    }

    @Test func `a configuration with mistakes is refused whole and the old one stays`() async throws {
        try await withCluster { cluster in
            let good = try cluster.read("cluster.conf")
            try cluster.write("cluster.conf", good + "\n[route broken]\ntarget = nobody/x\ncolour = red\n")
            let checked = try await cluster.tool(["check", "cluster.conf"])
            #expect(checked.status == 64)
            #expect(checked.error.contains("nobody") && checked.error.contains("colour"))
            #expect(try await cluster.tool(["apply"]).status != 0)
            #expect(try await cluster.chat("hi").status == 0)
            try cluster.write("cluster.conf", good + "\n[route chat-second]\ntarget = sim/gpt-6-luna\n")
            #expect(try await cluster.tool(["apply"]).status == 0)
            for node in [1, 2] {
                try await cluster.wait("the new route on node \(node)", seconds: 2) {
                    try await cluster.chat("hi", ["--model", "chat-second"], node: node).status == 0
                }
            }
        }
    }

    @Test func `many long answers over one connection come whole and in time`() async throws {
        try await withCluster { cluster in
            let prompt = "long\nsim: tokens=20000 chunk=50"
            let caller = try Caller(cluster, node: 1)
            let wanted = await caller.ask(prompt, timeout: .seconds(60)).text
            #expect(wanted.utf8.count > 100_000)
            // More than the socket takes at once waits in the node, and no new piece wakes it: the last ones must go by themselves.
            let outcomes = await caller.ask(40, prompt, timeout: .seconds(60))
            let whole = outcomes.count { $0.text == wanted && $0.end != nil }
            #expect(whole == 40, "\(outcomes.map(\.text.utf8.count))")
        }
    }
}
