// Nodes that die, leave, restart, change certificates: what their clients and the others' clients notice.
import Core
import Foundation
import Testing
import Wire

@Suite struct NodeTests {
    @Test("c4: a killed node fails only its own streams, new work goes on, and its holds expire") func killedNode()
        async throws
    {
        try await withCluster(org: "limit = 64 concurrent") { cluster in
            let caller = try Caller(cluster, connections: 6)
            try await caller.connected(6)
            // A hold lasts for the request's time and a minute more.
            let running = Task { await caller.ask(18, "long\nsim: tokens=100 pace=20ms", timeout: .seconds(3)) }
            try await cluster.wait("18 streams at the provider") {
                await cluster.simulator()["streams_open"]?.integer == 18
            }
            let doomed = Int(try await cluster.metric("sluice_requests_under_way", node: 1))
            #expect(doomed > 0 && doomed < 18, "both nodes serve")
            try await cluster.kill("node-1")
            let killed = ContinuousClock.now
            // Twenty new clients at once: each makes a connection through the balancer.
            let fresh = try (0..<20).map { _ in try Caller(cluster) }
            let outcomes = await withTaskGroup(of: Caller.Outcome.self) { group in
                for caller in fresh { group.addTask { await caller.ask("hi", timeout: .seconds(5)) } }
                return await group.reduce(into: []) { $0.append($1) }
            }
            for outcome in outcomes {
                #expect(outcome.end != nil, "\(outcome.result)")
            }

            let ends = await running.value
            #expect(ends.filter(\.isLost).count == doomed, "may have run: the client must not repeat them by itself")
            #expect(ends.filter { $0.end?.outputTokens == 100 }.count == 18 - doomed, "the others finish")
            try await cluster.wait("the settlements of the living", seconds: 5) {
                try await cluster.held("q:{acme}").requests == doomed
            }
            try await cluster.launch("node-1")
            try await cluster.waitReady(1)
            // 3 s and 60 s, rounded up to steps of 5 s; holds are cleared by the next request on the same path.
            try await cluster.wait("the end of the holds", seconds: 75) {
                try await Task.sleep(for: .seconds(1))
                _ = await fresh[0].ask("hi")
                return try await cluster.held("q:{acme}").requests <= 1
            }
            try await cluster.wait("no hold at all", seconds: 5) { try await cluster.held("q:{acme}").requests == 0 }
            #expect(try await cluster.redis(["hget", "q:{acme}", "lost"]).hasPrefix("\(doomed)\n"))
            #expect(ContinuousClock.now - killed > .seconds(55), "holds must not end before the request could have")
        }
    }

    @Test func `h9: a node whose drain is cut short says so on every stream before it ends`() async throws {
        try await withCluster { cluster in
            let caller = try Caller(cluster, node: 2)
            try await caller.connected()
            async let asked = withTaskGroup(of: Caller.Outcome.self) { group in
                for _ in 0..<20 { group.addTask { await caller.ask("long\nsim: tokens=4000 pace=20ms") } }
                return await group.reduce(into: [Caller.Outcome]()) { $0.append($1) }
            }
            try await cluster.wait("the streams") { await cluster.simulator()["streams_open"]?.integer == 20 }
            let leaving = try cluster.child("node-2")
            leaving.signal(SIGTERM)
            try await cluster.waitForLine(with: "draining", of: "node-2")
            leaving.signal(SIGTERM)
            let outcomes = await asked
            let told = outcomes.count { $0.refusal?.code == .draining && $0.refusal?.retry == .unsafe }
            #expect(told == 20, "\(outcomes.map(\.result))")
            #expect(await leaving.exit() == 0)
        }
    }

    @Test func `a node that drains loses no request under load and exits 0`() async throws {
        try await withCluster { cluster in
            let load = try await cluster.beginTool([
                "bench", "--requests", "3000", "--concurrency", "16", "--connections", "8", "--warmup", "0", "--json",
            ])
            try await cluster.wait("the load") { try await cluster.metric("sluice_requests_under_way", node: 2) > 0 }
            let leaving = try cluster.child("node-2")
            leaving.signal(SIGTERM)
            let answer = try await load.answer()
            #expect(answer.status == 0, "\(answer.output)\(answer.error)")
            #expect(answer.json["errors"]?.integer == 0)
            #expect(await leaving.exit() == 0)
            try await cluster.launch("node-2")
            try await cluster.waitReady(2)
        }
    }

    @Test func `h9: a stream outlives the drain of its node, which refuses newcomers and settles first`()
        async throws
    {
        try await withCluster(org: "limit = 64 concurrent") { cluster in
            let caller = try Caller(cluster, node: 2)
            try await caller.connected()
            // Longer than the notice, shorter than the limit of a drain.
            let running = Task { await caller.ask("long\nsim: tokens=140 pace=50ms") }
            try await cluster.wait("the stream") { await cluster.simulator()["streams_open"]?.integer == 1 }
            let leaving = try cluster.child("node-2")
            leaving.signal(SIGTERM)
            try await cluster.wait("readiness off") {
                await cluster.http(cluster.at("nodeAdmin") + 2, "/readyz").status == 503
            }
            let knock = ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/\(cluster.at("node") + 2)"]
            #expect(try await cluster.run(knock).status == 0, "readiness first: the balancer has to notice")
            try await cluster.wait("the listener to close") { try await cluster.run(knock).status != 0 }
            #expect(leaving.isRunning, "the stream goes on")
            #expect(await running.value.end?.outputTokens == 140)
            #expect(await leaving.exit() == 0)
            #expect(try await cluster.held("q:{acme}").requests == 0, "settled before the end")
        }
    }

    @Test func `a new certificate is used by new connections while an old stream goes on`() async throws {
        try await withCluster { cluster in
            func serial() async throws -> String {
                let node = cluster.at("node") + 1
                return try await cluster.run([
                    "/bin/sh", "-c",
                    "openssl s_client -connect 127.0.0.1:\(node) -alpn sluice/1 </dev/null 2>/dev/null"
                        + " | openssl x509 -noout -serial",
                ]).output
            }
            let before = try await serial()
            #expect(before.hasPrefix("serial="))
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            let running = Task { await caller.ask("long\nsim: tokens=300 pace=20ms") }
            try await cluster.wait("the stream") { await cluster.simulator()["streams_open"]?.integer == 1 }
            try FileManager.default.removeItem(atPath: cluster.path("state/pki/node.pem"))
            _ = try await cluster.run([
                TestCluster.root.appending(path: "Scripts/lib/certificates").path, cluster.path("state"),
            ])
            #expect(try await serial() == before, "files alone change nothing")
            try cluster.child("node-1").signal(SIGHUP)
            try await cluster.wait("the new certificate", seconds: 1) {
                let now = try await serial()
                return now.hasPrefix("serial=") && now != before
            }
            #expect(await cluster.simulator()["streams_open"]?.integer == 1, "the stream still runs")
            #expect(await running.value.end?.outputTokens == 300)
            #expect(try await cluster.chat("hi", node: 1).status == 0, "and the new one is as good as the old")

            // A certificate that cannot be read changes nothing.
            let after = try await serial()
            try cluster.write("state/pki/node.pem", "no certificate\n")
            try cluster.child("node-1").signal(SIGHUP)
            try await cluster.wait("the complaint", seconds: 2) {
                cluster.log("node-1").contains("certificates_kept")
            }
            #expect(try await serial() == after)
        }
    }
}
