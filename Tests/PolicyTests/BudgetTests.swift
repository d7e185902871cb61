// Budgets: soft ones never refuse, thresholds are told once a window, calendar windows begin anew in UTC.
import Core
import Policy
import Testing

@Suite struct BudgetTests {
    private let tenant = Tenant(org: "acme", team: "search", key: "k1")
    /// 2026-11-30 23:59:59 UTC.
    private static let lastOfNovember: Int64 = 1_796_083_199_000_000

    private func set(_ texts: String...) throws -> LimitSet {
        try LimitSet(version: 1, limits: texts.map { try Limit.parse($0, scope: .team) })
    }

    private func reserve(_ model: inout QuotaModel, _ limits: LimitSet, _ id: UInt64, _ money: Int64, at now: Int64)
        -> ReserveReply
    {
        let use = QuotaUse(inputTokens: 1, outputTokens: 1, microUSD: money)
        let call = ReserveCall(
            id: Identifier128(high: 1, low: id), tenant: tenant, estimate: use, holdMilliseconds: 1_000, limits: limits)
        let reply = model.reserve(call, at: now)
        if case .granted = reply { _ = model.settle(SettleCall(of: call, use: use), at: now) }
        return reply
    }

    @Test func `a soft budget lets everything pass and says that nothing is left`() throws {
        var model = QuotaModel()
        let limits = try set("$1 / day soft")
        for (id, left) in [(1, 400_000), (2, 0), (3, 0)] as [(UInt64, Int64)] {
            guard case .granted(let grant) = reserve(&model, limits, id, 600_000, at: Self.lastOfNovember) else {
                Issue.record("request \(id) was refused")
                return
            }
            #expect(grant.remaining == [left])
        }
    }

    @Test("c6: a hard budget stops, and its day and month begin anew at midnight in UTC") func midnight() throws {
        var model = QuotaModel()
        let limits = try set("$1 / day", "$2 / month")
        #expect(reserve(&model, limits, 1, 1_000_000, at: Self.lastOfNovember).isGranted)
        guard case .denied(let denial) = reserve(&model, limits, 2, 1_000_000, at: Self.lastOfNovember) else {
            Issue.record("not denied")
            return
        }
        #expect(denial.limit.text == "$1.00 / day" && denial.retry == .after(microseconds: 1_000_000))
        let december = Self.lastOfNovember + 1_000_000
        #expect(!reserve(&model, limits, 3, 1_000_000, at: december - 1).isGranted)
        // Both windows are new in December: two dollars again, one a day.
        #expect(reserve(&model, limits, 4, 1_000_000, at: december).isGranted)
        #expect(!reserve(&model, limits, 5, 1, at: december + 86_399_999_999).isGranted)
        #expect(reserve(&model, limits, 6, 1_000_000, at: december + 86_400_000_000).isGranted)
        #expect(!reserve(&model, limits, 7, 1, at: december + 2 * 86_400_000_000).isGranted, "the month is used up")
        #expect(reserve(&model, limits, 8, 1, at: december + 31 * 86_400_000_000).isGranted, "January")
    }

    @Test func `each threshold is told once a window, the first request of the next window starts anew`() throws {
        var watch = BudgetWatch()
        let limits = try set("$100 / month warn 50% 80% 100%")
        func look(_ left: Int64, _ now: Int64 = Self.lastOfNovember) -> (BudgetStanding, [UInt8]) {
            let grant = QuotaGrant(atMicroseconds: now, remaining: [left])
            let found = watch.look(at: grant, of: limits, for: tenant)
            return (found.standing, found.warnings.map(\.percent))
        }
        #expect(look(50_000_001) == (.within, []))
        #expect(look(50_000_000) == (.near, [50]))
        #expect(look(49_000_000) == (.near, []))
        #expect(look(60_000_000) == (.within, []), "a settlement gave some back")
        #expect(look(10_000_000) == (.near, [80]))
        #expect(look(50_000_000) == (.near, []), "50 % was told before")
        #expect(look(0) == (.over, [100]))
        #expect(look(0) == (.over, []))
        #expect(look(0, Self.lastOfNovember + 1_000_000) == (.over, [100]), "December")
        // Another team's budget is another one.
        let other = watch.look(
            at: limits.limits[0], remaining: 0, for: Tenant(org: "acme", team: "ads", key: "k1"),
            at: Self.lastOfNovember)
        #expect(other.warning?.used == 100_000_000)
        // Keys of one team share its budget: it is told once.
        let sibling = watch.look(
            at: limits.limits[0], remaining: 0, for: Tenant(org: "acme", team: "search", key: "k2"),
            at: Self.lastOfNovember + 1_000_000)
        #expect(sibling.warning == nil)
    }

    @Test func `without thresholds a budget only knows its end`() throws {
        var watch = BudgetWatch()
        let limit = try Limit.parse("$1 / day warn off", scope: .org)
        #expect(watch.look(at: limit, remaining: 1, for: tenant, at: 1).standing == .within)
        let end = watch.look(at: limit, remaining: 0, for: tenant, at: 1)
        #expect(end.standing == .over && end.warning == nil)
    }
}

extension ReserveReply {
    var isGranted: Bool { if case .granted = self { true } else { false } }
}
