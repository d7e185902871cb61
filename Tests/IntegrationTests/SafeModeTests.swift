// Every way in which Redis can be unwell: requests go on by each node's share of the limits, and nothing is lost.
import Core
import Foundation
import Testing
import Wire

@Suite struct SafeModeTests {
    /// How Redis is made unwell, and well again.
    enum Trouble: CaseIterable {
        case gone, frozen, readOnly, full, busy, loading

        func begin(_ cluster: TestCluster) async throws {
            switch self {
            case .gone: try await cluster.kill("redis")
            case .frozen: try cluster.child("redis").signal(SIGSTOP)
            case .readOnly: _ = try await cluster.redis(["replicaof", "127.0.0.1", "1"])
            case .full: _ = try await cluster.redis(["config", "set", "maxmemory", "1"])
            case .busy:
                _ = try await cluster.redis(["config", "set", "busy-reply-threshold", "50"])
                try await cluster.launch("redis-script")
                try await cluster.wait("BUSY") { try await cluster.redis(["ping"]).hasPrefix("BUSY") }
            case .loading:
                let filling = "for i = 1, 20000 do redis.call('set', 'pad:' .. i, i) end"
                _ = try await cluster.redis(["eval", filling, "0"])
                try await cluster.kill("redis")
                try await cluster.launch("redis-slowly")
                try await cluster.wait("LOADING") { try await cluster.redis(["ping"]).hasPrefix("LOADING") }
            }
        }

        func end(_ cluster: TestCluster) async throws {
            switch self {
            case .gone:
                try await cluster.launch("redis")
                try await cluster.wait("Redis") { try await cluster.redis(["ping"]).hasPrefix("PONG") }
            case .frozen: try cluster.child("redis").signal(SIGCONT)
            case .readOnly: _ = try await cluster.redis(["replicaof", "no", "one"])
            case .full: _ = try await cluster.redis(["config", "set", "maxmemory", "0"])
            case .busy: _ = try await cluster.redis(["script", "kill"])
            case .loading:
                try await cluster.wait("Redis", seconds: 60) { try await cluster.redis(["ping"]).hasPrefix("PONG") }
            }
        }
    }

    @Test(arguments: Trouble.allCases)
    func `h8: requests go on while Redis is unwell, and are booked when it is well again`(trouble: Trouble) async throws
    {
        try await withCluster(org: "limit = 400 concurrent") { cluster in
            let caller = try Caller(cluster, connections: 2, node: 1)
            try await caller.connected(2)
            #expect(await caller.ask("hi").end != nil)
            try await trouble.begin(cluster)
            var answered = 0
            for _ in 0..<6 {
                for outcome in await caller.ask(5, "hi") {
                    #expect(outcome.end != nil, "\(trouble): \(outcome.result)")
                    answered += outcome.end == nil ? 0 : 1
                }
            }
            // A Redis that answers some calls is tried again and again meanwhile.
            try await cluster.wait("the safe mode") {
                answered += await caller.ask("hi").end == nil ? 0 : 1
                return try await cluster.metric("sluice_safe_mode", node: 1) == 1
            }
            #expect(try await cluster.metric("sluice_safe_granted_total", node: 1) >= 25)
            try await trouble.end(cluster)
            try await cluster.wait("the end of it") {
                _ = await caller.ask("hi")
                return try await cluster.metric("sluice_safe_mode", node: 1) == 0
            }
            try await cluster.wait("what was used meanwhile") {
                guard try await cluster.metric("sluice_settlements_waiting", node: 1) == 0 else { return false }
                let length = try await cluster.redis(["xlen", "q:{acme}:l"])
                return (Int(length.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0) > answered
            }
            try await cluster.wait("holds") { try await cluster.held("q:{acme}").requests == 0 }
            let verified = try await cluster.tool(["ledger", "verify", "--json"])
            #expect(verified.status == 0, "\(verified.output)")
        }
    }

    @Test func `a Redis that comes back empty is told who runs and what was settled`() async throws {
        try await withCluster(org: "limit = 400 concurrent\nlimit = $100 / month") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            _ = try #require(await caller.ask("hi").end)
            try await cluster.wait("its settlement") { try await cluster.held("q:{acme}").requests == 0 }
            let before = try await cluster.spent("q:{acme}")
            let running = Task { await caller.ask("long\nsim: tokens=120 pace=50ms") }
            try await cluster.wait("the stream") { await cluster.simulator()["streams_open"]?.integer == 1 }
            try await cluster.kill("redis")
            for name in ["appendonlydir", "dump.rdb"] {
                try? FileManager.default.removeItem(atPath: cluster.path("state/\(name)"))
            }
            try await cluster.launch("redis")
            try await cluster.wait("Redis") { try await cluster.redis(["ping"]).hasPrefix("PONG") }
            try await cluster.wait("the running request's hold") { try await cluster.held("q:{acme}").requests == 1 }
            try await cluster.wait("what was settled before") { try await cluster.spent("q:{acme}") == before }
            let asserted = try await cluster.metric("sluice_holds_asserted_total", node: 1)
            #expect(asserted == 1)
            let end = try #require(await running.value.end)
            #expect(end.outputTokens == 120)
            try await cluster.wait("its settlement") { try await cluster.held("q:{acme}").requests == 0 }
            #expect(try await cluster.spent("q:{acme}") == before + Int(end.costMicroUSD))
        }
    }

    @Test func `data that somebody deleted are noticed and put back`() async throws {
        try await withCluster(org: "limit = 400 concurrent\nlimit = $100 / month") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            _ = try #require(await caller.ask("hi").end)
            try await cluster.wait("its settlement") { try await cluster.held("q:{acme}").requests == 0 }
            let before = try await cluster.spent("q:{acme}")
            let running = Task { await caller.ask("long\nsim: tokens=160 pace=50ms") }
            try await cluster.wait("the stream") { await cluster.simulator()["streams_open"]?.integer == 1 }
            // Both nodes have seen the marker: what is gone before they did nobody can miss.
            try await cluster.wait("the marker") { try await cluster.redis(["keys", "meta:{marker-0}"]).count > 2 }
            try await Task.sleep(for: .milliseconds(1_500))
            _ = try await cluster.redis(["flushall"])
            try await cluster.wait("the running request's hold") { try await cluster.held("q:{acme}").requests == 1 }
            try await cluster.wait("what was settled before") { try await cluster.spent("q:{acme}") >= before }
            try await cluster.waitForLine(with: "redis_changed", of: "node-1")
            #expect(await running.value.end != nil)
            try await cluster.wait("its settlement") { try await cluster.held("q:{acme}").requests == 0 }
        }
    }

    @Test func `what was used while Redis was away survives the node, too`() async throws {
        try await withCluster(org: "limit = 400 concurrent") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            #expect(await caller.ask("hi").end != nil)
            try await cluster.kill("redis")
            let ends = await caller.ask(8, "hi").compactMap(\.end)
            #expect(ends.count == 8)
            try await cluster.kill("node-1")
            try await cluster.launch("redis")
            try await cluster.launch("node-1")
            try await cluster.waitReady(1)
            try await cluster.wait("their records") {
                let length = try await cluster.redis(["xlen", "q:{acme}:l"])
                return (Int(length.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0) >= 8
            }
        }
    }

    @Test func `a spool that was damaged is told with its bytes, and what is whole of it is settled`() async throws {
        try await withCluster(org: "limit = 400 concurrent") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            #expect(await caller.ask("hi").end != nil)
            try await cluster.kill("redis")
            #expect(await caller.ask(8, "hi").compactMap(\.end).count == 8)
            try await cluster.kill("node-1")
            let file = URL(fileURLWithPath: cluster.path("state/node-1.lane-0.spool"))
            var bytes = try Data(contentsOf: file)
            // Within the content of the first entry, behind the file's head and its own.
            bytes[64 + 24 + 3] ^= 0x55
            try bytes.write(to: file)
            try await cluster.launch("redis")
            try await cluster.launch("node-1")
            try await cluster.waitReady(1)
            try await cluster.waitForLine(with: "spool_damaged", of: "node-1")
            #expect(await cluster.http(cluster.at("nodeAdmin") + 1, "/readyz").body.contains("spools were damaged"))
            #expect(try await cluster.metric("sluice_spool_damaged_bytes_total", node: 1) > 24)
            #expect(try Data(contentsOf: URL(fileURLWithPath: file.path + ".damaged")) == bytes)
            try await cluster.wait("the records that are whole") {
                let length = try await cluster.redis(["xlen", "q:{acme}:l"])
                return (Int(length.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0) >= 7
            }
        }
    }

    @Test func `an org may want none of it`() async throws {
        try await withCluster(org: "without-redis = refuse") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            #expect(await caller.ask("hi").end != nil)
            try await cluster.kill("redis")
            let refusal = try #require(await caller.ask("hi").refusal)
            #expect(refusal.code == .stateUnavailable)
        }
    }
}
