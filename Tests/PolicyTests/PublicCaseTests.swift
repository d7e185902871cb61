// Failures of other gateways that threads in public tell of, as far as decisions alone are concerned; each with the right value.
import Core
import Policy
import Testing

@Suite struct PublicCaseTests {
    private let tenant = Tenant(org: "acme", team: "search", key: "k1")

    private func call(
        _ id: UInt64, tokens: Int64, money: Int64 = 0, _ limits: LimitSet
    ) -> ReserveCall {
        ReserveCall(
            id: Identifier128(high: 1, low: id), tenant: tenant,
            estimate: QuotaUse(inputTokens: 0, outputTokens: tokens, microUSD: money), holdMilliseconds: 600_000,
            limits: limits)
    }

    @Test("c1: requests of one instant are reserved one after another, and never beyond the limit")
    func oneInstant() throws {
        let limits = try LimitSet(version: 1, limits: [Limit.parse("100 tokens / minute", scope: .key)])
        var model = QuotaModel()
        var admitted: Int64 = 0
        for (id, tokens) in [58, 80, 175, 175, 175].enumerated() {
            if model.reserve(call(UInt64(id), tokens: Int64(tokens), limits), at: 1_800_000_000_000_000).isGranted {
                admitted += Int64(tokens)
            }
        }
        #expect(admitted == 58)
    }

    @Test("c6: what was reserved a second before midnight is settled in the window of its reservation")
    func lateSettlement() throws {
        let limits = try LimitSet(version: 1, limits: [Limit.parse("1000 tokens / day fixed-window", scope: .team)])
        // 2026-11-30 23:59:59 UTC.
        let late: Int64 = 1_796_083_199_000_000
        var model = QuotaModel()
        let first = call(1, tokens: 900, limits)
        #expect(model.reserve(first, at: late).isGranted)
        let use = QuotaUse(inputTokens: 0, outputTokens: 800, microUSD: 0)
        _ = model.settle(SettleCall(of: first, use: use), at: late + 2_000_000)
        guard case .granted(let grant) = model.reserve(call(2, tokens: 1, limits), at: late + 3_000_000) else {
            Issue.record("the new day has its own tokens")
            return
        }
        #expect(grant.remaining == [999])
    }

    @Test("c8: cached tokens are a part of the prompt, and no token has two prices")
    func cachedTokens() {
        let openAI = ModelPrice(.init(input: 1_250_000, output: 10_000_000, cachedInput: 625_000))
        let cost = openAI.cost(of: TokenCounts(input: 262_960, cached: 257_955, output: 1_744))
        #expect(cost.amount == 184_918, "0.1849 USD, not 0.7642")
        // Disjoint counts of another API, added up: 3 fresh and 12,304 written ones.
        let anthropic = ModelPrice(.init(input: 3_000_000, output: 15_000_000, cacheWrite: 3_750_000))
        let written = anthropic.cost(of: TokenCounts(input: 12_307, cacheWrite: 12_304, output: 550))
        #expect(written.amount == 54_399, "0.0544 USD, not 0.0913")
        let absurd = openAI.cost(of: TokenCounts(input: 10, cached: 50, output: 0))
        #expect(absurd.amount == openAI.cost(of: TokenCounts(input: 10, cached: 10, output: 0)).amount)
    }

    @Test("d8: a weight of zero means never, all zero is a mistake, and no weight is not zero")
    func zeroWeight() {
        func read(_ targets: String) -> (RouteRecord?, [String]) {
            let (cluster, problems) = ClusterSnapshot.read("[route r]\n\(targets)\n", file: "test")
            return (cluster.routes["r"], problems.map(\.description))
        }
        let (route, problems) = read("target = a/m weight 0\ntarget = b/m weight 1")
        #expect(problems.isEmpty)
        var chance = Chance(seed: 8)
        var resting = TargetHealth()
        let now = Instant(nanoseconds: 0)
        resting.throttled(retryAfter: .seconds(60), at: now)
        for health in [TargetHealth(), resting] {
            for _ in 0..<1_000 {
                let place = route?.pick(
                    &chance, at: now, health: { $0 == 1 ? health : TargetHealth() }, isAllowed: { _ in true })
                #expect(place == 1)
            }
        }
        #expect(
            route?.pick(&chance, at: now, health: { _ in TargetHealth() }, isAllowed: { $0 == 0 }) == nil,
            "not as the last resort either")
        #expect(read("target = a/m weight 0\ntarget = b/m weight 0").1.count == 1)
        #expect(read("target = a/m").0?.targets[0].weight == 100)
    }
}
