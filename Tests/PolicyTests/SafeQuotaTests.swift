// Without shared state each lane keeps a share: never more than its part, nothing of hard budgets, a minute of soft ones.
import Core
import Testing

@testable import Policy

@Suite struct SafeQuotaTests {
    private let tenant = Tenant(org: "acme", team: "search", key: "k")
    private let start: Int64 = 1_795_000_000_000_000

    private func limits(_ limits: Limit...) throws -> LimitSet { try LimitSet(version: 1, limits: limits) }

    private func call(
        _ number: Int, _ limits: LimitSet, _ use: QuotaUse = QuotaUse(inputTokens: 10, outputTokens: 10, microUSD: 5)
    ) -> ReserveCall {
        ReserveCall(
            id: Identifier128(high: 1, low: UInt64(number)), tenant: tenant, estimate: use, holdMilliseconds: 10_000,
            limits: limits)
    }

    private func isGranted(_ verdict: SafeQuota.Verdict) -> Bool { if case .granted = verdict { true } else { false } }

    @Test(arguments: LimitAlgorithm.allCases, [Int64(1), 4, 10])
    func `all lanes together let in less than the limit in every period`(algorithm: LimitAlgorithm, lanes: Int64) throws
    {
        let limit = try Limit(scope: .team, unit: .requests, amount: 6_000, algorithm: algorithm)
        let set = try limits(limit)
        var alone = (0..<lanes).map { _ in SafeQuota() }
        var passed: [Int64] = []
        var number = 0
        // Two minutes at ten times the limit.
        for step in 0..<(2 * 60 * 50) {
            let now = start + Int64(step) * 20_000
            for lane in alone.indices {
                for _ in 0..<max(1, 20 / Int(lanes)) {
                    number += 1
                    let call = call(number, set)
                    guard isGranted(alone[lane].reserve(call, lanes: lanes, lastMinute: 0, at: now)) else { continue }
                    alone[lane].settle(SettleCall(of: call, use: call.estimate), at: now)
                    passed.append(now)
                }
            }
        }
        var first = 0
        for (last, at) in passed.enumerated() {
            while passed[first] <= at - 60_000_000 { first += 1 }
            #expect(last - first + 1 <= 6_000)
            if last - first + 1 > 6_000 { break }
        }
        #expect(passed.count > 2 * 6_000 * 3 / 4, "\(passed.count) of a share of \(2 * 4_800)")
    }

    @Test func `concurrency is shared, and comes back with each end`() throws {
        let set = try limits(.concurrency(100, scope: .org))
        var quota = SafeQuota()
        let calls = (0..<50).map { call($0, set) }
        let granted = calls.filter { isGranted(quota.reserve($0, lanes: 4, lastMinute: 0, at: start)) }
        #expect(granted.count == 20)
        guard case .denied(let denial) = quota.reserve(call(99, set), lanes: 4, lastMinute: 0, at: start) else {
            Issue.record("a place too many")
            return
        }
        #expect(denial.limit.amount == 100 && denial.retry == .whenReleased)
        quota.settle(SettleCall(of: granted[0], use: .none), at: start)
        #expect(isGranted(quota.reserve(call(100, set), lanes: 4, lastMinute: 0, at: start)))
    }

    @Test func `a hard budget is closed, a soft one goes on for a minute at the pace of the minute before`() throws {
        let hard = try limits(
            Limit(scope: .org, unit: .microUSD, amount: 1_000_000, period: .day, algorithm: .fixedWindow))
        let soft = try limits(
            Limit(scope: .org, unit: .microUSD, amount: 1_000_000, period: .day, algorithm: .fixedWindow, isSoft: true))
        var quota = SafeQuota()
        guard case .closed = quota.reserve(call(1, hard), lanes: 1, lastMinute: 1_000, at: start) else {
            Issue.record("a hard budget was spent blindly")
            return
        }
        var granted = 0
        for second in 0..<120 {
            for place in 0..<10 {
                let call = call(1_000 * second + place + 5, soft)
                if isGranted(quota.reserve(call, lanes: 1, lastMinute: 1_000, at: start + Int64(second) * 1_000_000)) {
                    granted += 1
                }
            }
        }
        #expect(granted == 200, "1,000 µ$ at 5 each")
        quota.end()
        #expect(isGranted(quota.reserve(call(7, soft), lanes: 1, lastMinute: 5, at: start + 500_000_000)))
        #expect(!isGranted(quota.reserve(call(8, soft), lanes: 1, lastMinute: 500, at: start + 561_000_000)))
    }

    @Test func `a limit too small to be shared is closed`() throws {
        let set = try limits(Limit(scope: .key, unit: .requests, amount: 4))
        var quota = SafeQuota()
        #expect(isGranted(quota.reserve(call(1, set), lanes: 3, lastMinute: 0, at: start)))
        quota.end()
        guard case .closed = quota.reserve(call(2, set), lanes: 4, lastMinute: 0, at: start) else {
            Issue.record("four lanes cannot share 3.2 requests")
            return
        }
    }

    @Test func `what was spent is known for a minute`() throws {
        let set = try limits(Limit(scope: .key, unit: .requests, amount: 4))
        var memory = SpendMemory()
        let minute: Int64 = 60_000_000
        memory.note(70, on: set.layout, at: 10 * minute + 1)
        memory.note(30, on: set.layout, at: 11 * minute - 1)
        let values = [11 * minute - 1, 11 * minute + 5, 12 * minute].map { memory.lastMinute(on: set.layout, at: $0) }
        #expect(values == [100, 100, 0])
    }
}
