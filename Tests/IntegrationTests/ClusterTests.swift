// The whole cluster as its users see it: HAProxy, TLS, two nodes, Redis, coordinator, provider.
import Core
import Foundation
import Testing

@Suite(.serialized) struct ClusterTests {
    static let shared = Result { try TestCluster() }

    @Test func `a streamed answer arrives intact, and so does a whole one`() throws {
        let cluster = try ClusterTests.shared.get()
        let prompt = "one two three\nsim: tokens=40 pace=2ms"
        let streamed = try cluster.chat(prompt, ["--json"])
        let whole = try cluster.chat(prompt, ["--json", "--no-stream"])
        #expect(streamed.status == 0, "\(streamed.error)")
        #expect(streamed.json["output_tokens"]?.integer == 40)
        #expect(streamed.json["text"]?.text == whole.json["text"]?.text)
        #expect(streamed.json["usage_source"] == .string("provider"))
        #expect((streamed.json["cost_micro_usd"]?.integer ?? 0) > 0)
    }

    @Test func `a wrong key is refused, and so is a revoked one`() throws {
        let cluster = try ClusterTests.shared.get()
        let wrong = try cluster.chat("hi", key: "slk_nobody_0123456789abcdefghij")
        #expect(wrong.status == 77)
        let key = try cluster.createKey(team: "search")
        #expect(try cluster.chat("hi", key: key).status == 0)
        let id = String(key.split(separator: "_")[1])
        #expect(try cluster.tool(["keys", "revoke", id]).status == 0)
        try cluster.wait("the revocation on both nodes", seconds: 2) {
            (0..<2).allSatisfy { _ in (try? cluster.chat("hi", key: key))?.status == 77 }
        }
    }

    @Test func `over the limit a request is refused with the time to retry, and charged nothing`() throws {
        let cluster = try ClusterTests.shared.get()
        let key = try cluster.createKey(team: "narrow")
        for _ in 0..<2 { #expect(try cluster.chat("hi", key: key).status == 0) }
        let before = try cluster.redis(["hgetall", "q:{acme}:t:narrow"])
        let refused = try cluster.chat("hi", key: key)
        #expect(refused.status == 75)
        #expect(refused.error.contains("QUOTA_RPM"), "\(refused.error)")
        #expect(refused.error.contains("try again in"))
        #expect(try cluster.redis(["hgetall", "q:{acme}:t:narrow"]) == before)
    }

    @Test func `a model that nobody offers is named in the refusal`() throws {
        let cluster = try ClusterTests.shared.get()
        let answer = try cluster.chat("hi", ["--model", "gpt-nowhere"])
        #expect(answer.status == 1)
        #expect(answer.error.contains("UNKNOWN_MODEL") && answer.error.contains("gpt-nowhere"))
    }

    @Test func `a deadline ends the request and closes the provider's connection within a second`() throws {
        let cluster = try ClusterTests.shared.get()
        let began = Date()
        let answer = try cluster.chat("slow\nsim: tokens=1000 pace=50ms", ["--deadline", "1"])
        #expect(answer.error.contains("DEADLINE"), "\(answer.error)")
        #expect(Date().timeIntervalSince(began) < 3)
        try cluster.wait("the end of the provider's stream", seconds: 1) {
            cluster.simulator["streams_open"]?.integer == 0
        }
    }

    @Test func `a client that goes away stops the provider within a second`() throws {
        let cluster = try ClusterTests.shared.get()
        let process = try cluster.startTool(["chat", "long\nsim: tokens=2000 pace=20ms"])
        Thread.sleep(forTimeInterval: 0.5)
        process.interrupt()
        process.waitUntilExit()
        #expect(process.terminationStatus != 0)
        try cluster.wait("one stream less upstream", seconds: 1) {
            cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body.contains("sluice_requests_under_way 0")
                && cluster.http(cluster.at("nodeAdmin") + 2, "/metrics").body.contains("sluice_requests_under_way 0")
        }
    }

    @Test(arguments: [
        ("error=500", "UPSTREAM_5XX"), ("error=429 retry-after=3s", "UPSTREAM_THROTTLED"),
        ("error=cut-after=3 tokens=20", "UPSTREAM_TRUNCATED"), ("error=malformed-after=3 tokens=20", "UPSTREAM_"),
    ]) func `a provider's fault has its own code`(_ fault: String, _ code: String) throws {
        let cluster = try ClusterTests.shared.get()
        let answer = try cluster.chat("hello\nsim: \(fault)")
        #expect(answer.status != 0)
        #expect(answer.error.contains(code), "\(answer.error)")
    }

    @Test func `scripts that Redis forgot fail no request`() throws {
        let cluster = try ClusterTests.shared.get()
        for _ in 0..<3 {
            _ = try cluster.redis(["script", "flush"])
            #expect(try cluster.chat("hi").status == 0)
        }
    }

    @Test func `without the coordinator requests go on, and a node starts from its disk`() throws {
        let cluster = try ClusterTests.shared.get()
        cluster.signal("coordinator", SIGKILL)
        for _ in 0..<4 { #expect(try cluster.chat("hi").status == 0) }
        cluster.signal("node-2", SIGKILL)
        try cluster.startNode(2)
        try cluster.waitReady(2)
        for _ in 0..<4 { #expect(try cluster.chat("hi").status == 0) }
        try cluster.startCoordinator()
        try cluster.wait("the coordinator") { cluster.http(cluster.at("admin"), "/readyz").status == 200 }
    }

    @Test func `a killed node costs no new request`() throws {
        let cluster = try ClusterTests.shared.get()
        cluster.signal("node-1", SIGKILL)
        Thread.sleep(forTimeInterval: 1)
        for _ in 0..<6 { #expect(try cluster.chat("hi").status == 0) }
        try cluster.startNode(1)
        try cluster.waitReady(1)
    }

    @Test func `a node that drains loses no request under load and exits 0`() throws {
        let cluster = try ClusterTests.shared.get()
        let load = try cluster.startTool([
            "bench", "--requests", "6000", "--concurrency", "16", "--connections", "8", "--warmup", "0", "--json",
        ])
        Thread.sleep(forTimeInterval: 0.5)
        #expect(cluster.signal("node-2", SIGTERM) == 0)
        load.waitUntilExit()
        #expect(load.terminationStatus == 0)
        try cluster.startNode(2)
        try cluster.waitReady(2)
    }

    @Test func `health, metrics and configuration are served, and no secret is ever shown`() throws {
        let cluster = try ClusterTests.shared.get()
        _ = try cluster.chat("prompt-canary-99d1")
        let port = cluster.at("nodeAdmin") + 1
        #expect(cluster.http(port, "/livez").status == 200)
        #expect(cluster.http(port, "/readyz").body.contains("\"ready\":true"))
        let metrics = cluster.http(port, "/metrics").body
        for name in [
            "sluice_requests_total", "gen_ai_server_time_to_first_token_seconds_bucket", "sluice_redis_ready 1",
        ] {
            #expect(metrics.contains(name))
        }
        let configuration = cluster.http(port, "/config").body
        #expect(configuration.contains("[route chat-default]"))
        Thread.sleep(forTimeInterval: 0.2)
        let shown =
            configuration + metrics + cluster.log("node-1") + cluster.log("node-2") + cluster.log("coordinator")
        let secret = String(cluster.key.split(separator: "_")[2])
        for canary in ["prompt-canary-99d1", "provider-canary-51be20", "admin-canary-7f3a9c", secret] {
            #expect(!shown.contains(canary))
        }
    }

    @Test func `a configuration with mistakes is refused whole and the old one stays`() throws {
        let cluster = try ClusterTests.shared.get()
        let file = cluster.path("cluster.conf")
        let good = try String(contentsOfFile: file, encoding: .utf8)
        try (good + "\n[route broken]\ntarget = nobody/x\ncolour = red\n").write(
            toFile: file, atomically: true, encoding: .utf8)
        let checked = try cluster.tool(["check", "cluster.conf"])
        #expect(checked.status == 64)
        #expect(checked.error.contains("nobody") && checked.error.contains("colour"))
        try (good + "\n[route chat-second]\ntarget = sim/gpt-6-luna\n").write(
            toFile: file, atomically: true, encoding: .utf8)
        #expect(try cluster.tool(["apply"]).status == 0)
        #expect(try cluster.chat("hi", ["--model", "chat-second"]).status == 0)
        try good.write(toFile: file, atomically: true, encoding: .utf8)
        #expect(try cluster.tool(["apply"]).status == 0)
    }
}
