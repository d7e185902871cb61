// Hot tenants on real nodes: few scripts, limits kept, every answer in the books, also after kill -9.
import Core
import Foundation
import TestSupport
import Testing
import Wire

@Suite struct LeaseTests {
    @Test func `a hot key costs few scripts, and every account agrees`() async throws {
        try await withCluster(org: "limit = 4000 concurrent\nlimit = $1000 / month") { cluster in
            func scripts() async throws -> Int {
                let calls = try await cluster.redis(["info", "commandstats"]).split(separator: "\n").first {
                    $0.hasPrefix("cmdstat_evalsha:")
                }
                return calls.flatMap { Int($0.split(whereSeparator: { "=,".contains($0) })[1]) } ?? 0
            }
            let warm = try await cluster.beginTool(
                ["bench", "--requests", "600", "--concurrency", "16", "--warmup", "0", "--json"], node: 1
            ).answer()
            #expect(warm.json["errors"]?.integer == 0, "\(warm.output)")
            let before = try await scripts()
            let run = try await cluster.beginTool(
                ["bench", "--requests", "3000", "--concurrency", "32", "--warmup", "0", "--json"], node: 1
            ).answer()
            #expect(run.json["errors"]?.integer == 0, "\(run.output)")
            let after = try await scripts()
            #expect(after - before < 900, "\(after - before) scripts for 3,000 requests")
            #expect(try await cluster.metric("sluice_leased_requests_total", node: 1) > 2_000)
            // Blocks end, and what they held comes back.
            try await cluster.wait("the last part") {
                try await cluster.metric("sluice_lease_blocks_open", node: 1) == 0
            }
            try await cluster.wait("holds") { try await cluster.held("q:{acme}") == (0, 0) }
            let verified = try await cluster.tool(["ledger", "verify", "--json"])
            #expect(verified.status == 0, "\(verified.output)")
            let records = try await cluster.redis(["xlen", "q:{acme}:l"])
            let answered = (1...2).reduce(0) { $0 + cluster.answered(node: $1) }
            #expect(records.trimmingCharacters(in: .whitespacesAndNewlines) == "\(answered)" && answered >= 3_600)
        }
    }

    @Test func `an id that comes to two nodes at once runs once, also on blocks`() async throws {
        try await withCluster(org: "limit = 4000 concurrent") { cluster in
            var loads: [TestCluster.Running] = []
            for node in [1, 2] {
                loads.append(
                    try await cluster.beginTool(
                        ["bench", "--requests", "1000000", "--concurrency", "8", "--warmup", "0", "--json"], node: node)
                )
            }
            for node in [1, 2] {
                try await cluster.wait("a hot key") {
                    try await cluster.metric("sluice_leased_requests_total", node: node) > 500
                }
            }
            let callers = try [1, 2].map { try Caller(cluster, node: $0) }
            for caller in callers { try await caller.connected() }
            var chance = Chance(seed: 5)
            for round in 0..<20 {
                let id = chance.identifier()
                let outcomes = await withTaskGroup(of: Caller.Outcome.self) { group in
                    for place in 0..<6 {
                        group.addTask {
                            await callers[place % 2].ask("hi\nsim: tokens=2 tag=\(id.hex)") { $0.idempotencyKey = id }
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(outcomes.count { $0.end != nil } == 1, "round \(round): \(outcomes.map(\.result))")
                #expect(outcomes.count { $0.refusal?.code == .duplicate } == 5)
                try await cluster.waitForLine(with: "served \(id.hex) ", of: "sim")
                #expect(cluster.log("sim").components(separatedBy: "served \(id.hex) ").count == 2)
            }
            for load in loads { await load.child.end() }
        }
    }

    @Test func `a burst of a key that was quiet asks Redis for few of its requests`() async throws {
        try await withCluster(org: "limit = 4000 concurrent") { cluster in
            let caller = try Caller(cluster, connections: 4, node: 1)
            try await caller.connected(4)
            let outcomes = await caller.ask(400, "burst\nsim: tokens=4")
            #expect(outcomes.allSatisfy { $0.end != nil })
            #expect(try await cluster.metric("sluice_leased_requests_total", node: 1) > 300)
            try await cluster.wait("holds") { try await cluster.held("q:{acme}") == (0, 0) }
        }
    }

    @Test func `what was answered is in the books of a node that was killed, once it is back`() async throws {
        try await withCluster(org: "limit = 4000 concurrent") { cluster in
            // Redis stops for a moment, so that what the blocks' requests used is nowhere but in the spool when the node dies.
            let warm = try await cluster.beginTool(
                ["bench", "--requests", "600", "--concurrency", "16", "--warmup", "0", "--json"], node: 1
            ).answer()
            #expect(warm.json["errors"]?.integer == 0, "\(warm.output)")
            let run = try await cluster.beginTool(
                ["bench", "--requests", "100000", "--concurrency", "16", "--warmup", "0", "--json"], node: 1)
            try await cluster.wait("a hot key") {
                try await cluster.metric("sluice_leased_requests_total", node: 1) > 500
            }
            try cluster.child("redis").signal(SIGSTOP)
            let before = cluster.answered(node: 1)
            try await cluster.wait("answers that Redis does not hear of") { cluster.answered(node: 1) != before }
            try await cluster.kill("node-1")
            try cluster.child("redis").signal(SIGCONT)
            await run.child.end()
            let answered = cluster.answered(node: 1)
            try await cluster.launch("node-1")
            try await cluster.waitReady(1)
            try await cluster.wait("recovery") { cluster.log("node-1").contains("settlements_recovered") }
            try await cluster.wait("the blocks' end") {
                try await cluster.metric("sluice_lease_blocks_open", node: 1) == 0
            }
            try await cluster.wait("what was answered") {
                let length = try await cluster.redis(["xlen", "q:{acme}:l"])
                return (Int(length.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0) >= answered
            }
            let verified = try await cluster.tool(["ledger", "verify", "--json"])
            #expect(verified.status == 0, "\(verified.output)")
        }
    }
}

extension TestCluster {
    /// How many requests a node says that it has answered.
    fileprivate func answered(node: Int) -> Int {
        log("node-\(node)").split(separator: "\n").filter {
            $0.contains("\"event\":\"request\"") && $0.contains("\"outcome\":\"OK\"")
        }.count
    }
}
