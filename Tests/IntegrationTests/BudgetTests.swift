// Money on real processes: prices that change under running requests, budgets that warn and budgets that stop.
import Core
import Foundation
import Synchronization
import Testing
import Wire

@Suite struct BudgetTests {
    @Test func `a request is billed with the prices it was admitted with, whatever is applied meanwhile`() async throws
    {
        try await withCluster("limit = $5 / month") { cluster in
            let caller = try Caller(cluster, node: 1)
            let slow = Task { await caller.ask("tell me\nsim: tokens=100 pace=20ms") }
            try await cluster.wait("the stream") { await cluster.simulator()["streams_open"]?.integer == 1 }
            let before = try await cluster.metric("sluice_snapshot_sequence", node: 1)
            let text = try cluster.read("cluster.conf")
            try cluster.write("cluster.conf", text.replacingOccurrences(of: "$0.50 /", with: "$50 /"))
            #expect(try await cluster.tool(["apply"]).status == 0)
            try await cluster.wait("the new prices") {
                try await cluster.metric("sluice_snapshot_sequence", node: 1) > before
            }
            let during = try #require(await slow.value.end)
            #expect(during.outputTokens == 100 && during.costMicroUSD < 60, "\(during)")
            let after = try #require(await caller.ask("tell me\nsim: tokens=100 pace=0ms").end)
            #expect((5_000...5_060).contains(after.costMicroUSD), "\(after)")
            try await cluster.wait("the settlements", seconds: 2) {
                try await cluster.held("q:{acme}:t:search").requests == 0
            }
            // The two first answers of the cluster are booked, too: a few tokens at the old price.
            let both = Int(during.costMicroUSD + after.costMicroUSD)
            #expect((both...both + 100).contains(try await cluster.spent("q:{acme}:t:search")))
        }
    }

    @Test func `a soft budget warns client, log and metrics, and goes on; a hard one stops`() async throws {
        try await withCluster(
            "[team acme/soft]\nlimit = $0.0002 / month soft warn 50% 100%\n[team acme/hard]\nlimit = $0.0002 / month"
        ) { cluster in
            let told = Told()
            let soft = try Caller(
                cluster, key: try await cluster.createKey(team: "soft"), node: 1, onHint: { told.add($0.budget) })
            // A token of output costs half a millionth of a dollar; the reservation of 256 of them is 64 % of the budget.
            for _ in 0..<3 { #expect(await soft.ask("tell me\nsim: tokens=200 pace=0ms").end != nil) }
            try await cluster.wait("hints", seconds: 2) { told.all.last == .over }
            #expect(told.all == [.near, .over])
            let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
            for percent in [50, 100] {
                let line = "sluice_budget_warnings_total{org=\"acme\",scope=\"team\",percent=\"\(percent)\"} 1"
                #expect(page.contains(line), "\(percent)")
            }
            try await cluster.wait("log lines", seconds: 2) {
                cluster.log("node-1").contains("team acme/soft: 100 % of $0.0002 / month soft warn 50% 100% is used")
            }
            let hard = try Caller(cluster, key: try await cluster.createKey(team: "hard"), node: 2)
            var codes: [ErrorCode?] = []
            for _ in 0..<3 { codes.append(await hard.ask("tell me\nsim: tokens=200 pace=0ms").refusal?.code) }
            #expect(codes == [nil, .budgetExhausted, .budgetExhausted])
            try await cluster.wait("log lines", seconds: 2) {
                cluster.log("node-2").contains("team acme/hard: 100 % of $0.0002 / month is used")
            }
        }
    }

    private final class Told: Sendable {
        private let hints = Mutex<[Hint.Budget]>([])
        var all: [Hint.Budget] { hints.withLock { $0 } }
        func add(_ hint: Hint.Budget) { hints.withLock { $0.append(hint) } }
    }
}
