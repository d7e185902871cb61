// Measurements of the quota scripts, printed as a table; run with SLUICE_MEASURE=1, best in a release build.

import Core
import Foundation
import Policy
import Testing

@testable import Store

@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["SLUICE_MEASURE"] != nil))
struct MeasureTests {
    struct Shape {
        let name: String
        let limits: [Limit]
    }

    static func shapes() throws -> [Shape] {
        func rates(_ scope: LimitScope, _ algorithm: LimitAlgorithm) throws -> [Limit] {
            [
                try Limit(scope: scope, unit: .requests, amount: 100_000_000, algorithm: algorithm),
                try Limit(scope: scope, unit: .totalTokens, amount: 1 << 30, algorithm: algorithm),
            ]
        }
        func money(_ scope: LimitScope, _ period: LimitPeriod) throws -> Limit {
            try Limit(scope: scope, unit: .microUSD, amount: 1 << 50, period: period, algorithm: .fixedWindow)
        }
        let places = try LimitScope.allCases.map { try Limit.concurrency(1_000_000, scope: $0) }
        let org = try rates(.org, .tokenBucket) + [places[0], money(.org, .calendarMonth)]
        let team = try rates(.team, .tokenBucket) + [money(.team, .day)]
        let key = try rates(.key, .tokenBucket) + [places[2]]
        return [
            Shape(name: "no limits", limits: []),
            Shape(name: "one token bucket (key)", limits: [try rates(.key, .tokenBucket)[0]]),
            Shape(name: "one fixed window (key)", limits: [try rates(.key, .fixedWindow)[0]]),
            Shape(name: "one sliding counter (key)", limits: [try rates(.key, .slidingCounter)[0]]),
            Shape(name: "one sliding window (key)", limits: [try rates(.key, .slidingWindow)[0]]),
            Shape(name: "org: 2 rates, concurrency, $/month", limits: org),
            Shape(name: "org as above, team: 2 rates, $/day", limits: org + team),
            Shape(name: "org, team as above, key: 2 rates, concurrency", limits: org + team + key),
        ]
    }

    @Test func cpuOfRedisPerPairOfReserveAndSettle() throws {
        let shapes = try Self.shapes().flatMap { [($0, false), ($0, true)] }
        for (shape, withLedger) in shapes {
            let server = try RedisServer()
            let redis = try BlockingRedis(path: server.socketPath)
            let limits = try LimitSet(version: 1, limits: shape.limits)
            var serial: UInt64 = 0
            func batch() throws {
                var calls: [ReserveCall] = []
                for _ in 0..<32 {
                    serial += 1
                    calls.append(
                        ReserveCall(
                            id: Identifier128(high: serial &* 0x9e37_79b9_7f4a_7c15, low: ~serial),
                            tenant: Tenant(org: "acme", team: "search", key: "k\(serial % 100)", feature: "chat"),
                            estimate: QuotaUse(inputTokens: 900, outputTokens: 300, microUSD: 450),
                            holdMilliseconds: 90_000, limits: limits))
                }
                try redis.pipeline(calls, [])
                let real = QuotaUse(inputTokens: 900, outputTokens: 211, microUSD: 390)
                let entry = LedgerEntry(
                    provider: "sim", model: "gpt-6-luna", tokens: TokenCounts(input: 900, output: 211), microUSD: 390,
                    priceVersion: PriceVersion(1), provenance: .provider, outcome: "OK")
                try redis.pipeline(
                    [],
                    calls.map {
                        withLedger ? SettleCall(of: $0, attempts: [entry]) : SettleCall(of: $0, use: real)
                    })
            }
            for _ in 0..<50 { try batch() }
            _ = try redis.command("CONFIG", "RESETSTAT")
            // Whoever shares the machine disturbs: the least of some times is nearest to what Redis needs.
            var least = Double.infinity
            for _ in 0..<8 {
                let cpu = try Self.cpu(redis)
                for _ in 0..<75 { try batch() }
                least = min(least, (try Self.cpu(redis) - cpu) * 1e6 / Double(75 * 32))
            }
            let calls = try redis.info("commandstats", "cmdstat_evalsha") ?? ""
            let pair = String(format: "%.1f", least)
            let name = shape.name + (withLedger ? ", with ledger" : "")
            print(
                "\(name): \(pair) µs of Redis CPU a pair;"
                    + " \(calls.split(separator: ",").first { $0.hasPrefix("usec_per") } ?? "")")
            #expect(least > 0)
        }
    }

    @Test func bytesOfARecordAndOfAnAccount() throws {
        let server = try RedisServer()
        let redis = try BlockingRedis(path: server.socketPath)
        let limits = try LimitSet(version: 1, limits: try Self.shapes()[7].limits)
        func call(_ serial: UInt64, key: String) -> ReserveCall {
            ReserveCall(
                id: Identifier128(high: serial &* 0x9e37_79b9_7f4a_7c15, low: ~serial),
                tenant: Tenant(org: "acme", team: "search", key: key),
                estimate: QuotaUse(inputTokens: 900, outputTokens: 300, microUSD: 450), holdMilliseconds: 90_000,
                limits: limits)
        }
        for serial in 0..<1000 { _ = try redis.reserve(call(UInt64(serial), key: "k")) }
        func used() throws -> Int { Int(try redis.info("memory", "used_memory_dataset") ?? "") ?? 0 }
        let before = try used()
        for serial in 1000..<21_000 {
            let call = call(UInt64(serial), key: "k")
            _ = try redis.reserve(call)
            _ = try redis.settle(SettleCall(of: call, use: call.estimate))
        }
        let records = try used() - before
        for serial in 21_000..<26_000 { _ = try redis.reserve(call(UInt64(serial), key: "key-\(serial)")) }
        let both = try used() - before - records
        let record = records / 20_000
        print("record: \(record) B; account of a key with three limits: \(both / 5000 - record) B")
        #expect(record < 250)
    }

    static func cpu(_ redis: BlockingRedis) throws -> Double {
        let user = Double(try redis.info("cpu", "used_cpu_user_main_thread") ?? "") ?? 0
        return user + (Double(try redis.info("cpu", "used_cpu_sys_main_thread") ?? "") ?? 0)
    }
}
