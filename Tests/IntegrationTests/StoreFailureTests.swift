// Redis and the coordinator go away and come back: what requests notice, and how soon all is well again.
import Core
import Foundation
import Testing
import Wire

@Suite struct StoreFailureTests {
    @Test func `without Redis budgets are closed at once and typed, and all goes on when it is back`() async throws {
        try await withCluster(org: "limit = $100 / month") { cluster in
            let caller = try Caller(cluster, connections: 4)
            try await caller.connected(4)
            let before = try [1, 2].map { try cluster.child("node-\($0)").pid }
            try await cluster.kill("redis")
            for outcome in await caller.ask(20, "hi") {
                let refusal = try #require(outcome.refusal, "\(outcome.result)")
                #expect(refusal.code == .stateUnavailable && refusal.retry == .safeElsewhere)
                #expect(refusal.flags.isEmpty && refusal.costMicroUSD == 0, "nothing was sent upstream")
                #expect(outcome.time < .seconds(10), "not at the deadline of 20 s")
            }
            #expect(
                await cluster.http(cluster.at("nodeAdmin") + 1, "/readyz").body.contains("Redis"), "a warning says why")
            try await cluster.launch("redis")
            try await cluster.wait("Redis", seconds: 10) { try await cluster.redis(["ping"]).hasPrefix("PONG") }
            for node in [1, 2] {
                let local = try Caller(cluster, node: node)
                try await cluster.wait("work on node \(node)", seconds: 5) { await local.ask("hi").end != nil }
            }
            let after = try [1, 2].map { try cluster.child("node-\($0)") }
            #expect(after.map(\.pid) == before && after.allSatisfy(\.isRunning), "no process was restarted")
        }
    }

    @Test func `a running stream outlives Redis and is settled when it is back`() async throws {
        try await withCluster(org: "limit = 64 concurrent\nlimit = $100 / month") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            let running = Task { await caller.ask("long\nsim: tokens=60 pace=20ms") }
            try await cluster.wait("the stream") { await cluster.simulator()["streams_open"]?.integer == 1 }
            try await cluster.kill("redis")
            let end = try #require(await running.value.end)
            #expect(end.outputTokens == 60)
            #expect(try await cluster.metric("sluice_settlements_waiting", node: 1) >= 0)
            try await cluster.launch("redis")
            try await cluster.wait("the settlement", seconds: 10) {
                guard try await cluster.redis(["ping"]).hasPrefix("PONG") else { return false }
                return try await cluster.held("q:{acme}").requests == 0
            }
            let asked = try await cluster.spent("q:{acme}")
            #expect(asked >= Int(end.costMicroUSD) && end.costMicroUSD > 0)
        }
    }

    @Test func `h3: scripts that Redis forgets again and again fail no request, and counters expire`() async throws {
        try await withCluster { cluster in
            let load = try await cluster.beginTool([
                "bench", "--requests", "2000", "--concurrency", "16", "--warmup", "0", "--json",
            ])
            var flushes = 0
            while load.child.isRunning {
                _ = try await cluster.redis(["script", "flush"])
                flushes += 1
            }
            let answer = try await load.answer()
            #expect(answer.status == 0, "\(answer.output)\(answer.error)")
            #expect(answer.json["errors"]?.integer == 0)
            #expect(flushes > 10)
            // A counter without an end would lock its tenant out for ever. Only keys, breakers and what coordinators keep stay.
            let endless = try await cluster.redis([
                "eval",
                """
                local found = {}
                for _, key in ipairs(redis.call('keys', '*')) do
                  local room = string.match(key, '^%a+')
                  local stays = room == 'meta' or room == 'coord' or room == 'brk'
                  if redis.call('ttl', key) == -1 and not stays then found[#found + 1] = key end
                end
                table.sort(found)
                return found
                """, "0",
            ])
            #expect(endless.trimmingCharacters(in: .whitespacesAndNewlines).isEmpty, "\(endless)")
        }
    }

    @Test func `without the coordinator no request fails, and a node starts from its disk`() async throws {
        try await withCluster { cluster in
            let load = try await cluster.beginTool([
                "bench", "--requests", "2000", "--concurrency", "16", "--warmup", "0", "--json",
            ])
            try await cluster.kill("coordinator")
            let answer = try await load.answer()
            #expect(answer.status == 0, "\(answer.output)\(answer.error)")
            #expect(answer.json["errors"]?.integer == 0)

            try await cluster.kill("node-2")
            try await cluster.launch("node-2")
            try await cluster.waitReady(2)
            #expect(await cluster.http(cluster.at("nodeAdmin") + 2, "/readyz").body.contains("no coordinator"))
            #expect(try await cluster.chat("hi", node: 2).status == 0)

            try await cluster.launch("coordinator")
            try await cluster.wait("the subscription", seconds: 10) {
                !(await cluster.http(cluster.at("nodeAdmin") + 2, "/readyz").body.contains("no coordinator"))
            }
            let key = try await cluster.createKey(team: "search")
            try await cluster.wait("a new key on the restarted node", seconds: 2) {
                try await cluster.chat("hi", key: key, node: 2).status == 0
            }
        }
    }
}
