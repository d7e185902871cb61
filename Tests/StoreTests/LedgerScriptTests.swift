// The ledger, written by the settlement's own step: once, whole, bounded, gone in time.

import Core
import Foundation
import Policy
import Testing

@testable import Store

@Suite(.serialized) struct LedgerScriptTests {
    private let server: RedisServer
    private let redis: BlockingRedis
    private let tenant = Tenant(org: "acme", team: "search", key: "k1", feature: "chat")
    private static let retention = LedgerRetention(
        records: .seconds(3_600), maximumRecords: 1_000, rollups: .seconds(7_200))

    init() throws {
        server = try RedisServer(["--stream-node-max-entries", "10"])
        redis = try BlockingRedis(
            path: server.socketPath, times: QuotaTimes(bucketMicroseconds: 20_000, recordMilliseconds: 60_000),
            retention: Self.retention)
    }

    private func entry(_ number: UInt8 = 1, model: String = "m", input: Int64 = 100, money: Int64 = 70) -> LedgerEntry {
        LedgerEntry(
            attempt: number, provider: "sim", model: model,
            tokens: TokenCounts(input: input, cached: 40, cacheWrite: 20, output: 30, reasoning: 10), microUSD: money,
            priceVersion: PriceVersion(.max), provenance: .counted, firstTokenMilliseconds: 12,
            durationMilliseconds: .max, outcome: "UPSTREAM_STALLED")
    }

    private func call(_ id: UInt64, tenant: Tenant? = nil) throws -> ReserveCall {
        let limits = try LimitSet(
            version: 1,
            limits: [
                Limit(scope: .org, unit: .microUSD, amount: 1 << 40, period: .calendarMonth, algorithm: .fixedWindow)
            ])
        return ReserveCall(
            id: Identifier128(high: .max, low: id), tenant: tenant ?? self.tenant,
            estimate: QuotaUse(inputTokens: 1, outputTokens: 1, microUSD: 1), holdMilliseconds: 60_000, limits: limits)
    }

    private func places(_ org: String = "acme") throws -> [UsagePlace: UsageSums] {
        try redis.rollups(of: org).values.reduce(into: [:]) { $0.merge($1) { $1 } }
    }

    @Test func `a settlement writes one record an attempt, and its sums, with everything in them`() throws {
        let call = try call(1)
        _ = try redis.reserve(call)
        let entries = [entry(1, money: 70), entry(2, model: "openai/gpt-oss", input: 1, money: 7)]
        guard case .settled(let settled) = try redis.settle(SettleCall(of: call, attempts: entries)) else {
            Issue.record("not settled")
            return
        }
        #expect(settled.use == QuotaUse(inputTokens: 101, outputTokens: 60, microUSD: 77))
        let records = try redis.ledger(of: "acme")
        #expect(records.map(\.entry) == entries)
        #expect(records.allSatisfy { $0.id == call.id && $0.tenant == tenant })
        #expect(records.allSatisfy { $0.atMicroseconds == settled.atMicroseconds })
        #expect(records[1].entry.tokens.cached == 1, "a part is never larger than its total")
        let sums = try places()
        #expect(sums.count == 2)
        let second = sums[UsagePlace(team: "search", feature: "chat", model: "openai/gpt-oss", provider: "sim")]
        #expect(second?.microUSD == 7 && second?.attempts == 1 && second?.tokens == entries[1].tokens)
    }

    @Test func `a replayed settlement, a release and what nobody bills write nothing`() throws {
        let first = try call(1)
        _ = try redis.reserve(first)
        _ = try redis.settle(SettleCall(of: first, attempts: [entry()]))
        for _ in 0..<3 {
            guard case .repeated = try redis.settle(SettleCall(of: first, attempts: [entry(money: 9)])) else {
                Issue.record("a replay")
                return
            }
        }
        for (id, end) in [(2, SettleCall.release), (3, { SettleCall(of: $0, attempts: []) })]
            as [(UInt64, (ReserveCall) -> SettleCall)]
        {
            let other = try call(id)
            _ = try redis.reserve(other)
            _ = try redis.settle(end(other))
        }
        #expect(try redis.ledger(of: "acme").count == 1)
        #expect(try places().values.map(\.microUSD) == [70])
    }

    @Test func `a settlement without a reservation is booked and recorded, once`() throws {
        let call = try call(1)
        guard case .unknown = try redis.settle(SettleCall(of: call, attempts: [entry()])) else {
            Issue.record("unknown")
            return
        }
        _ = try redis.settle(SettleCall(of: call, attempts: [entry()]))
        #expect(try redis.ledger(of: "acme").count == 1)
    }

    @Test func `names reach no other place, and come back as they were`() throws {
        let names = ["a/b", "{x}:l", "%2F", "ünï 😀\n", ""]
        for (id, name) in names.enumerated() {
            let whose = Tenant(org: "a:{b}/c", team: "t" + name, key: "k", feature: name)
            let call = try call(UInt64(id), tenant: whose)
            _ = try redis.reserve(call)
            _ = try redis.settle(SettleCall(of: call, attempts: [entry(model: "m" + name)]))
        }
        guard case .array(let keys) = try redis.command("KEYS", "*:l") else { return }
        let key = try #require(keys.first?.text)
        let records = try LedgerReplies.records(redis.command("XRANGE", key, "-", "+"), org: "a:{b}/c").records
        #expect(records.map(\.tenant.feature) == names)
        let hours = try redis.rollups(of: "a%3A%7Bb%7D%2Fc")
        #expect(Set(hours.values.flatMap(\.keys).map(\.feature)) == Set(names))
        #expect(Set(hours.values.flatMap(\.keys).map(\.model)) == Set(names.map { "m" + $0 }))
    }

    @Test func `features beyond the bound of an hour share one, and nothing is lost`() throws {
        let count = UsagePlace.placeLimit + UsagePlace.teamLimit + 50
        for id in 0..<count {
            let call = try call(
                UInt64(id), tenant: Tenant(org: "acme", team: "search", key: "k", feature: "f\(id)"))
            _ = try redis.settle(SettleCall(of: call, attempts: [entry(money: 1)]))
        }
        let sums = try places()
        #expect(sums.count == UsagePlace.placeLimit + UsagePlace.teamLimit + 1)
        #expect(sums[UsagePlace(team: "search", feature: "*", model: "m", provider: "sim")]?.attempts == 50)
        #expect(sums.values.reduce(0) { $0 + $1.microUSD } == Int64(count))
        #expect(sums[UsagePlace(team: "search", feature: "f0", model: "m", provider: "sim")]?.attempts == 1)

        // The features of another team keep their names, though one team has taken all the common rows.
        for id in 0..<UsagePlace.teamLimit + 2 {
            let tenant = Tenant(org: "acme", team: "other", key: "k2", feature: "g\(id)")
            let settled = SettleCall(of: try call(UInt64(count + id), tenant: tenant), attempts: [entry(money: 1)])
            _ = try redis.settle(settled)
        }
        let both = try places().filter { $0.key.team == "other" }
        #expect(both.count == UsagePlace.teamLimit + 1)
        #expect(both[UsagePlace(team: "other", feature: "g0", model: "m", provider: "sim")]?.attempts == 1)
        #expect(both[UsagePlace(team: "other", feature: "*", model: "m", provider: "sim")]?.attempts == 2)
    }

    @Test func `the ledger is bounded by number and by age, and every key of it ends`() throws {
        // Entries of another time, as if settled two hours ago.
        let old = String((Int64(Date().timeIntervalSince1970) - 7_200) * 1000)
        for number in 0..<40 { _ = try redis.command("XADD", "q:{acme}:l", "\(old)-\(number + 1)", "d", "x") }
        for id in 0..<1_500 {
            _ = try redis.settle(SettleCall(of: try call(UInt64(id)), attempts: [entry()]))
        }
        // Cut to a node of ten entries; age and number take turns.
        #expect((1_000...1_030).contains(try redis.ledger(of: "acme").count))
        #expect(try places().values.map(\.attempts) == [1_500], "sums keep what records forget")
        guard case .array(let keys) = try redis.command("KEYS", "*") else { return }
        for key in keys.compactMap(\.text) {
            guard case .integer(let life) = try redis.command("PTTL", key) else { continue }
            #expect(life > 0, "\(key) has no end")
            if key.hasSuffix(":l") { #expect((10_000_000...10_800_000).contains(life), "its time and two hours") }
            if key.contains(":u:") { #expect((7_100_000...10_800_000).contains(life), "the hour's end and two hours") }
        }
    }

    @Test func `old entries go although few come`() throws {
        let old = (Int64(Date().timeIntervalSince1970) - 3_700) * 1000
        for number in 0..<40 { _ = try redis.command("XADD", "q:{acme}:l", "\(old + Int64(number))-1", "d", "x") }
        // By age or by number at the toss of the clock's last bit: twenty settlements toss often enough.
        for id in 0..<20 { _ = try redis.settle(SettleCall(of: try call(UInt64(id)), attempts: [entry()])) }
        #expect(try redis.ledger(of: "acme").count == 20)
    }

    @Test func `when memory is full a settlement is booked and recorded all the same`() throws {
        let call = try call(1)
        _ = try redis.reserve(call)
        _ = try redis.command("CONFIG", "SET", "maxmemory", "1")
        #expect(throws: RedisServerFailure.self) { try redis.reserve(try self.call(2)) }
        guard case .settled = try redis.settle(SettleCall(of: call, attempts: [entry()])) else {
            Issue.record("not settled")
            return
        }
        #expect(try redis.ledger(of: "acme").count == 1)
    }
}
