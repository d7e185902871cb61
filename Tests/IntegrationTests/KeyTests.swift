// Keys and their rights, through real processes: what each refusal names, and how fast a right that was taken away is gone.
import Core
import Foundation
import TestSupport
import Testing
import Wire

@Suite struct KeyTests {
    /// A key with these options of `sluice keys create`; its text.
    private func make(_ cluster: TestCluster, _ options: [String]) async throws -> (id: String, text: String) {
        let made = try await cluster.tool(
            ["keys", "create", "--org", "acme", "--team", "search", "--json"] + options)
        #expect(made.status == 0, "\(made.error)")
        return (try #require(made.json["id"]?.text), made.json["key"]?.text ?? "")
    }

    private func edit(_ cluster: TestCluster, _ id: String, _ options: [String]) async throws {
        let answer = try await cluster.tool(["keys", "change", id] + options)
        #expect(answer.status == 0, "\(answer.error)")
    }

    /// What the node refuses, by field.
    private func refusal(_ outcome: Caller.Outcome) -> [String] {
        guard let refusal = outcome.refusal else { return ["not refused: \(outcome.result)"] }
        return [refusal.code.name, refusal.field]
    }

    @Test func `every right is enforced, and its refusal names it`() async throws {
        try await withCluster { cluster in
            let (id, text) = try await make(
                cluster,
                [
                    "--model", "chat-default", "--operation", "chat", "--feature", "summary", "--priority",
                    "background",
                    "--limit", "2 requests / hour burst 2", "--network", "127.0.0.0/8", "--label", "nightly",
                ])
            let caller = try Caller(cluster, key: text, node: 1)
            try await caller.connected()
            let good: @Sendable (inout RequestHead) -> Void = { ($0.feature, $0.priority) = ("summary", .background) }
            let before = try await cluster.quotaState()
            #expect(refusal(await caller.ask("x") { $0.priority = .background }) == ["FORBIDDEN", "feature"])
            #expect(
                refusal(await caller.ask("x") { ($0.feature, $0.priority) = ("other", .batch) })
                    == ["FORBIDDEN", "feature"])
            #expect(refusal(await caller.ask("x") { $0.feature = "summary" }) == ["FORBIDDEN", "priority"])
            #expect(
                refusal(
                    await caller.ask("x") {
                        good(&$0)
                        $0.model = "chat-nowhere"
                    }) == ["FORBIDDEN", "model"])
            #expect(
                refusal(
                    await caller.ask("x") {
                        good(&$0)
                        $0.operation = .embeddings
                    }) == ["FORBIDDEN", "operation"])
            try await cluster.waitForLine(with: #""gen_ai.operation.name":"embeddings""#, of: "node-1")
            try await cluster.waitForLine(with: #""outcome":"FORBIDDEN","error.type":"FORBIDDEN""#, of: "node-1")
            #expect(try await cluster.quotaState() == before, "a refusal charges nothing")
            for _ in 0..<2 { #expect(await caller.ask("x", good).end != nil) }
            let over = try #require(await caller.ask("x", good).refusal)
            #expect(over.code == .quotaRequests && over.limit?.scope == "key" && over.limit?.amount == 2)
            // A change reaches a connection that is open.
            try await edit(cluster, id, ["--network", "10.0.0.0/8"])
            try await cluster.wait("the end of the connection", seconds: 1) { await caller.readyConnections() == 0 }
            let elsewhere = try await cluster.chat("x", ["--feature", "summary"], key: text, node: 1)
            #expect(elsewhere.status == 77, "\(elsewhere.error)")
            try await cluster.wait("the log line", seconds: 2) {
                cluster.log("node-1").contains("may not be used from this address")
            }
        }
    }

    @Test func `a key learns of no model but its own, by table, number or error`() async throws {
        let routes = "[route chat-merger]\ntarget = sim/gpt-6-luna\n[route chat-other]\ntarget = sim/gpt-6-luna\n"
        try await withCluster(routes) { cluster in
            let (id, text) = try await make(cluster, ["--model", "chat-other", "--model", "chat-default"])
            func fresh() -> Identifier128 { Identifier128(high: 9, low: .random(in: 10...(.max))) }
            let narrow = try await RawConnection(cluster, key: text)
            let models = try #require(narrow.now.answer?.models)
            #expect(models.map(\.name) == ["chat-default", "chat-other"])
            #expect(models.map(\.id) == [1, 2])
            let wide = try await RawConnection(cluster)
            #expect(wide.now.answer?.models.map(\.name) == ["chat-default", "chat-merger", "chat-other"])

            // A number that was not told names nothing, whatever stands at its place in the configuration.
            await narrow.ask("x", id: Identifier128(high: 9, low: 3), number: 3)
            try await cluster.wait("the refusal") { narrow.now.errors.count == 1 }
            #expect(narrow.now.errors.last?.code == .unknownModel)
            #expect(narrow.now.errors.last?.text == "number 3 is not in this connection's model table")
            await narrow.ask("x", id: Identifier128(high: 9, low: 2), number: 2)
            try await cluster.wait("an answer by number") { narrow.now.end != nil }

            // Rights that change later: a number keeps its meaning and is judged anew; what is new is spelled.
            try await edit(cluster, id, ["--model", "chat-merger", "--model", "chat-default"])
            try await cluster.wait("the loss of a right") {
                let before = narrow.now.outcomes
                await narrow.ask("x", id: fresh(), number: 2)
                try await cluster.wait("an outcome") { narrow.now.outcomes > before }
                return narrow.now.errors.last?.code == .forbidden
            }
            #expect(narrow.now.errors.last?.field == "model")
            let before = narrow.now.ends
            await narrow.ask("x", id: fresh(), model: "chat-merger")
            try await cluster.wait("the new model, spelled") { narrow.now.ends == before + 1 }
        }
    }

    @Test func `c7: a revoked key ends its streams and connections on every node within a second`() async throws {
        try await withCluster(org: "limit = 64 concurrent") { cluster in
            let (id, text) = try await make(cluster, ["--model", "*"])
            let callers = try [1, 2].map { try Caller(cluster, key: text, node: $0) }
            for caller in callers { try await caller.connected() }
            let streams = callers.map { caller in
                Task { await caller.ask("long\nsim: tokens=2000 pace=20ms", timeout: .seconds(60)) }
            }
            try await cluster.wait("two streams") { await cluster.simulator()["streams_open"]?.integer == 2 }
            let before = await cluster.simulator()["output_tokens"]?.integer ?? 0
            try await cluster.wait("some text of both") {
                await cluster.simulator()["output_tokens"]?.integer ?? 0 >= before + 20
            }
            let asked = ContinuousClock.now
            let revoked = try await cluster.tool(["keys", "revoke", id])
            #expect(revoked.status == 0, "\(revoked.error)")
            for stream in streams {
                let outcome = await stream.value
                let refusal = try #require(outcome.refusal)
                #expect(refusal.code == .forbidden && refusal.field == "key" && refusal.retry == .never)
                #expect(refusal.text == "the API key was revoked")
                #expect(refusal.flags.isSuperset(of: [.upstreamStarted, .billed, .partialOutput]))
                #expect(refusal.outputTokens > 0 && refusal.outputTokens < 1_000 && refusal.costMicroUSD > 0)
                #expect(outcome.endedAt - asked < .seconds(20), "half of what was left of the stream")
            }
            try await cluster.wait("the ends at the provider", seconds: 1) {
                await cluster.simulator()["streams_open"]?.integer == 0
            }
            for (index, caller) in callers.enumerated() {
                try await cluster.wait("the end of the connection", seconds: 1) { await caller.readyConnections() == 0 }
                #expect(try await cluster.chat("x", key: text, node: index + 1).status == 77)
            }
            try await cluster.wait("the settlements") { try await cluster.held("q:{acme}").requests == 0 }
            #expect(try await cluster.tool(["keys", "change", id, "--label", "x"]).error.contains("revoked"))
        }
    }

    @Test func `c7: what is taken from a key ends the requests that need it, and no others`() async throws {
        try await withCluster { cluster in
            let (id, text) = try await make(cluster, ["--model", "*"])
            let caller = try Caller(cluster, key: text, node: 1)
            try await caller.connected()
            let prompt = "long\nsim: tokens=60 pace=50ms"
            let kept = Task { await caller.ask(prompt) { $0.feature = "kept" } }
            let gone = Task { await caller.ask(prompt) { $0.feature = "gone" } }
            try await cluster.wait("two streams") { await cluster.simulator()["streams_open"]?.integer == 2 }
            try await edit(cluster, id, ["--feature", "kept"])
            let refused = await gone.value
            #expect(refusal(refused) == ["FORBIDDEN", "feature"])
            #expect(refused.refusal?.text == "this API key may not name the feature 'gone'")
            #expect(await kept.value.end?.outputTokens == 60)
            #expect(await caller.readyConnections() == 1)
        }
    }

    @Test func `both secrets work while one replaces the other, then only the new one`() async throws {
        try await withCluster { cluster in
            let (id, old) = try await make(cluster, ["--model", "*"])
            let caller = try Caller(cluster, key: old, node: 1)
            try await caller.connected()
            let rotated = try await cluster.tool(["keys", "rotate", id, "--overlap", "3s", "--json"])
            let new = try #require(rotated.json["key"]?.text)
            #expect(new != old && new.hasPrefix("slk_\(id)_"))
            for text in [old, new] { #expect(try await cluster.chat("x", key: text, node: 1).status == 0) }
            let stream = Task { await caller.ask("long\nsim: tokens=2000 pace=20ms") }
            let ended = await stream.value
            #expect(ended.refusal?.text == "this secret of the API key was replaced")
            #expect(try await cluster.chat("x", key: old, node: 1).status == 77)
            #expect(try await cluster.chat("x", key: new, node: 1).status == 0)
            let shown = try await cluster.tool(["keys", "show", id])
            #expect(shown.output.contains("present; no longer, until"), "\(shown.output)")
            // Without an overlap the one before stops at once.
            let last = try await cluster.tool(["keys", "rotate", id, "--overlap", "0s", "--json"])
            try await cluster.wait("the end of the secret", seconds: 1) {
                try await cluster.chat("x", key: new, node: 1).status == 77
            }
            #expect(try await cluster.chat("x", key: last.json["key"]?.text, node: 1).status == 0)
        }
    }

    @Test func `a key that expires ends its stream at that second`() async throws {
        try await withCluster { cluster in
            let (_, text) = try await make(cluster, ["--model", "*", "--expires", "4s"])
            let caller = try Caller(cluster, key: text, node: 1)
            try await caller.connected()
            let outcome = await caller.ask("long\nsim: tokens=2000 pace=20ms")
            #expect(outcome.refusal?.text == "the API key has expired")
            #expect(outcome.time < .seconds(20), "half of the stream")
            #expect(try await cluster.chat("x", key: text, node: 1).status == 77)
            #expect(try await cluster.tool(["keys", "list"]).output.contains("expired"))
        }
    }

    @Test func `a client certificate opens the key of its identity, and no other certificate does`() async throws {
        try await withCluster { cluster in
            let file = try cluster.read("cluster.conf")
            try cluster.write(
                "cluster.conf",
                file.replacingOccurrences(
                    of: "key = state/pki/node.key", with: "key = state/pki/node.key\nclient-certificates = optional"))
            try await cluster.kill("node-1")
            try await cluster.launch("node-1")
            try await cluster.waitReady(1)
            for name in ["search", "other"] {
                let made = try await cluster.run([
                    "/bin/bash", "-c",
                    """
                    cd state/pki
                    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=\(name) \
                    -keyout \(name).key -out \(name).csr &&
                    echo 'subjectAltName=URI:spiffe://example.org/\(name)' >\(name).ext &&
                    openssl x509 -req -in \(name).csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                    -extfile \(name).ext -out \(name).pem
                    """,
                ])
                #expect(made.status == 0, "\(made.error)")
            }
            let (id, text) = try await make(
                cluster, ["--model", "*", "--identity", "spiffe://example.org/search"])
            #expect(text.isEmpty, "no secret unless it is asked for")
            let caller = try Caller(cluster, node: 1, certificate: "search")
            try await caller.connected()
            #expect(await caller.ask("x").end != nil)
            try await cluster.wait("the request's line, with the key that it is counted on", seconds: 2) {
                cluster.log("node-1").contains("\"key\":\"\(id)\"")
            }
            let other = try Caller(cluster, node: 1, certificate: "other")
            #expect(await other.ask("x", timeout: .seconds(2)).end == nil)
            #expect(await other.readyConnections() == 0)
            let twice = try await cluster.tool([
                "keys", "create", "--org", "acme", "--team", "search", "--model", "*", "--identity",
                "spiffe://example.org/search",
            ])
            #expect(twice.status == 1 && twice.error.contains("belongs to the key '\(id)'"), "\(twice.error)")
            let stream = Task { await caller.ask("long\nsim: tokens=2000 pace=20ms") }
            try await cluster.wait("the stream") { await cluster.simulator()["streams_open"]?.integer == 1 }
            #expect(try await cluster.tool(["keys", "revoke", id]).status == 0)
            #expect(await stream.value.refusal?.text == "the API key was revoked")
        }
    }

    @Test func `the tool makes, shows and refuses keys in words`() async throws {
        try await withCluster { cluster in
            let wrong = try await cluster.tool([
                "keys", "create", "--org", "acme", "--team", "nobody", "--model", "gpt-9", "--network", "10.0.0.1/8",
            ])
            #expect(wrong.status == 1 && wrong.error.contains("expected 10.0.0.0/8"), "\(wrong.error)")
            let missing = try await cluster.tool([
                "keys", "create", "--org", "acme", "--team", "nobody", "--model", "gpt-9",
            ])
            #expect(missing.error.contains("no team 'acme/nobody'") && missing.error.contains("no route 'gpt-9'"))
            for (words, expected) in [
                (["create"], "--org"), (["create", "--org", "a", "--team", "b"], "--model"), (["show"], "name one key"),
                (["revoke", "slk_abc_0123456789abcdef"], "by its id alone"), (["revoke", "../x"], "not a key's id"),
                (["rotate", "abc", "--overlap", "91d"], "0s to 90d"), (["change", "abc"], "nothing to change"),
                (["create", "--org", "a", "--team", "b", "--model", "*", "--expires", "2026-02-30"], "2026-12-31"),
                (["forget"], "create, change"),
            ] {
                let answer = try await cluster.tool(["keys"] + words)
                #expect(answer.status == 64 && answer.error.contains(expected), "\(words): \(answer.error)")
            }
            for words in [
                ["show", "nobody"], ["revoke", "nobody"], ["rotate", "nobody"], ["change", "nobody", "--label", "x"],
            ] {
                let answer = try await cluster.tool(["keys"] + words)
                #expect(answer.status == 1 && answer.error.contains("there is no key 'nobody'"), "\(answer.error)")
            }
            let (id, text) = try await make(
                cluster, ["--model", "chat-default", "--expires", "2031-05-06", "--limit", "8 concurrent"])
            let page = try await cluster.tool(["keys", "show", id]).output
            for line in ["2031-05-06 00:00:00Z", "8 concurrent", "acme/search", "chat-default", "interactive or lower"]
            {
                #expect(page.contains(line), "\(page)")
            }
            let json = try await cluster.tool(["keys", "list", "--json", "--team", "search"])
            #expect(json.json["keys"]?.elements?.contains { $0["id"]?.text == id } == true)
            let secret = String(text.split(separator: "_")[2])
            let everything = json.output + page + cluster.log("coordinator") + cluster.log("node-1")
            #expect(!everything.contains(secret) && !everything.contains("hash"))
        }
    }

    @Test func `explain foretells what the node does, names the reason, and charges nothing`() async throws {
        try await withCluster("limit = $1 / day") { cluster in
            let (id, text) = try await make(
                cluster, ["--model", "chat-default", "--feature", "summary", "--limit", "2 requests / hour burst 2"])
            func explain(_ options: [String], key: String? = nil) async throws -> TestCluster.Answer {
                let base = ["explain", "--key", key ?? id, "--model", "chat-default", "--json"]
                return try await cluster.tool(base + options)
            }
            let before = try await cluster.quotaState()
            let good = try await explain(
                ["--feature", "summary", "--input-tokens", "10", "--max-output", "100"], key: text)
            #expect(good.status == 0, "\(good.output) \(good.error)")
            #expect(good.json["allowed"]?.bool == true)
            #expect(good.json["steps"]?.elements?.first { $0["step"]?.text == "secret" }?["passes"]?.bool == true)
            let target = good.json["targets"]?.elements?.first
            #expect(target?["target"]?.text == "sim/gpt-6-luna" && target?["permille"]?.integer == 1_000)
            #expect(target?["most_micro_usd"]?.integer == 51)
            let limits = good.json["limits"]?.elements ?? []
            #expect(limits.count == 3 && limits.allSatisfy { $0["room"]?.text == "now" })
            #expect(limits.last?["scope"]?.text == "key" && limits.last?["used"]?.integer == 0)
            let tag = try await explain(["--feature", "other"])
            #expect(tag.status == 77 && tag.json["refused_by"]?.text == "feature")
            let told = tag.json["steps"]?.elements?.first { $0["step"]?.text == "feature" }?["text"]?.text
            let caller = try Caller(cluster, key: text, node: 1)
            #expect(await caller.ask("x") { $0.feature = "other" }.refusal?.text == told, "the node says the same")
            let from = try await explain(["--feature", "summary", "--from", "192.0.2.1"])
            #expect(from.status == 0, "any network is allowed")
            let wrong = try await explain(["--feature", "summary"], key: "slk_\(id)_0123456789abcdefghij")
            #expect(wrong.status == 77 && wrong.json["refused_by"]?.text == "secret")
            let large = try await explain(
                ["--feature", "summary", "--input-tokens", "2000000", "--max-output", "1000000"])
            #expect(large.status == 0, "a reservation is what answers usually use, not what they may use")
            #expect(try await cluster.quotaState() == before, "nothing was charged")
            for _ in 0..<2 { #expect(await caller.ask("x") { $0.feature = "summary" }.end != nil) }
            try await cluster.wait("the settlements") { try await cluster.held("q:{acme}:t:search").requests == 0 }
            let full = try await explain(["--feature", "summary"])
            #expect(full.status == 75 && full.json["refused_by"]?.text == "limits", "\(full.output)")
            let limit = full.json["limits"]?.elements?.first { $0["scope"]?.text == "key" }
            #expect(limit?["left"]?.integer == 0 && limit?["used"]?.integer == 2 && limit?["room"]?.text == "after")
            let wait = try #require(limit?["retry_after_ms"]?.integer)
            let refusal = try #require(await caller.ask("x") { $0.feature = "summary" }.refusal)
            #expect(refusal.code == .quotaRequests)
            #expect(
                abs(Int64(refusal.retryAfterMilliseconds) - wait) < 2_000, "\(refusal.retryAfterMilliseconds) \(wait)")
            let page = try await cluster.tool([
                "explain", "--key", id, "--model", "chat-default", "--feature", "summary",
            ])
            #expect(
                page.output.contains("would be REFUSED by: limits") && page.output.contains("ROOM"), "\(page.output)")
            try await cluster.kill("redis")
            let blind = try await explain(["--feature", "summary"])
            #expect(blind.output.contains("Redis does not answer"), "\(blind.output)")
        }
    }

    @Test func `what explain cannot understand it says`() async throws {
        try await withCluster { cluster in
            let (id, _) = try await make(cluster, ["--model", "chat-default"])
            let base = ["explain", "--key", id, "--model", "chat-default"]
            for (words, expected) in [
                (["--model", "m"], "--key"), (["--key", "k"], "--model"),
                (["--key", "slk_x", "--model", "m"], "slk_<id>"),
                (["--key", "k", "--model", "m", "--max-output", "-1"], "from 0"),
            ] {
                let answer = try await cluster.tool(["explain"] + words)
                #expect(answer.status == 64 && answer.error.contains(expected), "\(answer.error)")
            }
            let word = try await cluster.tool(base + ["--priority", "urgent"])
            #expect(word.status == 1 && word.error.contains("interactive, background, batch"), "\(word.error)")
            let address = try await cluster.tool(base + ["--from", "here"])
            #expect(address.error.contains("expected an IPv4 or IPv6 address"))
        }
    }
}
