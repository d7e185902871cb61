// Streams that grow beyond what was reserved for them.
import Core
import Foundation
import Testing
import Wire

@Suite struct ExtensionTests {
    @Test func `a stream goes on beyond its first reservation, and is settled exactly`() async throws {
        try await withCluster("[team acme/long]\nlimit = 100k tokens / day burst 100k\nlimit = $5 / month") { cluster in
            let caller = try Caller(cluster, key: try await cluster.createKey(team: "long"))
            let outcome = await caller.ask("tell me\nsim: tokens=1500 pace=0ms")
            let end = try #require(outcome.end, "\(outcome.result)")
            #expect(end.outputTokens == 1_500)
            // 256 tokens are reserved before anything was learned: 512, 1024 and 2048 are asked for on the way.
            let asked = try await cluster.extensions()
            #expect((2...4).contains(asked), "\(asked)")
            try await cluster.wait("the settlement", seconds: 2) {
                let held = try await cluster.held("q:{acme}:t:long")
                return held.requests == 0 && held.money == 0
            }
            #expect(try await cluster.spent("q:{acme}:t:long") == Int(end.costMicroUSD))
        }
    }

    @Test func `a stream ends with the limit's name where there is no room for more`() async throws {
        try await withCluster("[team acme/tight]\nlimit = 800 tokens / day burst 800\nlimit = $5 / month") { cluster in
            let caller = try Caller(cluster, key: try await cluster.createKey(team: "tight"))
            let outcome = await caller.ask("tell me\nsim: tokens=5000 pace=1ms")
            let refusal = try #require(outcome.refusal, "\(outcome.result)")
            #expect(refusal.code == .quotaTokens && refusal.retry == .unsafe)
            #expect(refusal.flags.isSuperset(of: [.upstreamStarted, .billed, .partialOutput]))
            #expect(refusal.limit?.scope == "team" && refusal.retryAfterMilliseconds > 0)
            // 256, then 512 fit in 800; 1024 do not. It ends at about nine tenths of 512.
            #expect((400...620).contains(refusal.outputTokens), "\(refusal.outputTokens)")
            #expect(!outcome.text.isEmpty)
            try await cluster.wait("the settlement", seconds: 2) {
                try await cluster.held("q:{acme}:t:tight").requests == 0
            }
            #expect(try await cluster.spent("q:{acme}:t:tight") == Int(refusal.costMicroUSD))
            try await cluster.wait("the provider's connection to close", seconds: 2) {
                await cluster.simulator()["streams_open"]?.integer == 0
            }
        }
    }

    @Test func `a budget that is used up ends a stream, too`() async throws {
        // A token costs half a millionth of a dollar: 800 tokens of output are the whole budget.
        try await withCluster("[team acme/poor]\nlimit = $0.0004 / month") { cluster in
            let caller = try Caller(cluster, key: try await cluster.createKey(team: "poor"))
            let outcome = await caller.ask("tell me\nsim: tokens=5000 pace=1ms")
            let refusal = try #require(outcome.refusal, "\(outcome.result)")
            #expect(refusal.code == .budgetExhausted && refusal.retry == .unsafe)
            #expect(refusal.flags.contains(.partialOutput))
            #expect(refusal.costMicroUSD < 400)
        }
    }
}

extension TestCluster {
    /// Reservations that were extended, on both nodes.
    func extensions() async throws -> Int {
        Int(try await metric("sluice_extensions_total", node: 1) + metric("sluice_extensions_total", node: 2))
    }
}
