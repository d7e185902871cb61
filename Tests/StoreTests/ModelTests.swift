// The pure Swift model is the specification of the quota scripts: a seeded stream of operations goes to both, every reply is equal.

import Core
import Foundation
import Policy
import Testing

@testable import Store

@Suite(.serialized) struct ModelTests {
    /// How many operations a seed runs; `SLUICE_MODEL_OPERATIONS=1000000` proves more.
    private var operations: Int {
        ProcessInfo.processInfo.environment["SLUICE_MODEL_OPERATIONS"].flatMap { Int($0) } ?? 24_000
    }

    /// The second server is one of a cluster: there a script that reached beyond its slot would fail.
    @Test(arguments: ["a server of its own", "a server of a cluster"])
    func everyReplyOfTheScriptsEqualsTheModels(on kind: String) throws {
        let server = kind == "a server of its own" ? try RedisServer() : try RedisServer.wholeCluster()
        let times = QuotaTimes(bucketMicroseconds: 2_000, recordMilliseconds: 60_000)
        let seed = ProcessInfo.processInfo.environment["SLUICE_SEED"].flatMap { UInt64($0) } ?? 1
        let redis = try BlockingRedis(path: server.socketPath, times: times)
        var operations = Operations(seed: seed, times: times)
        var seen: [String: Int] = [:]
        for step in 0..<self.operations {
            let outcome = try operations.step(on: redis)
            seen[outcome.name, default: 0] += 1
            guard outcome.isEqual else {
                Issue.record("seed \(seed), operation \(step): \(outcome.difference)")
                return
            }
        }
        #expect(try operations.ledgerDifference(redis) == nil, "seed \(seed)")
        // The stream must reach every exit, with every kind of limit as the one that binds.
        let exits = [
            "granted", "repeated", "duplicate", "extended", "extension denied", "extension of a settled one",
            "extension of an unknown one", "settled", "late", "settled again", "unknown", "block granted",
            "block denied", "part settled", "last part settled", "part late", "part settled again", "part unknown",
        ]
        let denials = ["tokenBucket", "fixedWindow", "slidingWindow", "slidingCounter", "concurrency", "microUSD"]
        for name in exits + denials.map({ "denied by \($0)" }) {
            #expect((seen[name] ?? 0) > 10, "\(name) came \(seen[name] ?? 0) times: \(seen)")
        }
        for name in ["after", "released", "never"] {
            #expect((operations.retries[name] ?? 0) > 10, "\(name): \(operations.retries)")
        }
        #expect(operations.lost > 10, "holds must expire unsettled, too")
        for name in Operations.tries {
            #expect((seen[name] ?? 0) > 10, "\(name) came \(seen[name] ?? 0) times: \(seen)")
        }
        for name in ["room", "after", "released", "never"] {
            #expect((operations.peeks[name] ?? 0) > 10, "\(name): \(operations.peeks)")
        }
    }
}

/// splitmix64, so that a failing run can be repeated from its seed.
struct SeededChance {
    var state: UInt64

    mutating func below(_ limit: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return Int((z ^ (z >> 31)) % UInt64(limit))
    }
}

/// A random but repeatable tenant load over many shapes of limits.
struct Operations {
    struct Outcome {
        let name: String
        let isEqual: Bool
        let difference: String
    }

    var chance: SeededChance
    var model: QuotaModel
    var open: [ReserveCall] = []
    private(set) var done: [SettleCall] = []
    /// Tries that were released.
    private(set) var released: [SettleCall] = []
    /// Blocks with the number of their next part.
    var blocks: [(call: ReserveCall, next: Int64)] = []
    var parts: [PartCall] = []
    private var serial: UInt64 = 0
    private(set) var retries: [String: Int] = [:]
    private(set) var peeks: [String: Int] = [:]
    var lost: Int64 { model.lost }
    let configurations: [(tenant: Tenant, limits: LimitSet)]

    init(seed: UInt64, times: QuotaTimes) {
        chance = SeededChance(state: seed)
        model = QuotaModel(times: times)
        var made: [(Tenant, LimitSet)] = []
        for org in 0..<6 {
            for team in 0..<2 {
                for key in 0..<2 {
                    let tenant = Tenant(
                        org: "o\(org)", team: "t\(team)", key: "k\(key)", feature: key == 0 ? "chat" : "")
                    made.append((tenant, Self.limits(kind: org, feature: key == 0)))
                }
            }
        }
        configurations = made
    }

    /// One shape an org: each algorithm alone, and all together.
    private static func limits(kind: Int, feature: Bool) -> LimitSet {
        func make(
            _ scope: LimitScope, _ unit: LimitUnit, _ amount: Int64, _ microseconds: Int64,
            _ algorithm: LimitAlgorithm, _ burst: Int64? = nil
        ) -> Limit? {
            try? Limit(
                scope: scope, unit: unit, amount: amount, period: .microseconds(microseconds), algorithm: algorithm,
                burst: burst)
        }
        let month = try? Limit(
            scope: .org, unit: .microUSD, amount: 4_000_000_000, period: .calendarMonth, algorithm: .fixedWindow)
        let day = make(.team, .microUSD, 900_000, 300_000, .fixedWindow)
        let places = try? Limit.concurrency(12, scope: .org)
        let keyPlaces = try? Limit.concurrency(5, scope: .key)
        let all: [Limit?]
        switch kind {
        case 0:
            all = [
                make(.org, .requests, 90, 40_000, .tokenBucket, 30),
                make(.team, .totalTokens, 70_000, 17_000, .tokenBucket),
                make(.key, .inputTokens, 7_777, 9_001, .tokenBucket, 5_000),
                make(.key, .outputTokens, 11_111, 33_333, .tokenBucket, 9_000),
            ]
        case 1: all = [places, keyPlaces, month, day]
        case 2:
            all = [
                make(.org, .requests, 60, 30_000, .fixedWindow),
                make(.team, .totalTokens, 50_000, 20_000, .fixedWindow),
                make(.key, .requests, 1000, 86_400_000_000, .fixedWindow), day,
                try? Limit(
                    scope: .org, unit: .microUSD, amount: 500_000, period: .microseconds(200_000),
                    algorithm: .fixedWindow, isSoft: true),
            ]
        case 3:
            all = [
                make(.org, .requests, 60, 30_000, .slidingCounter),
                make(.team, .totalTokens, 50_000, 100_000, .slidingCounter),
                make(.key, .outputTokens, 20_000, 7_000, .slidingCounter), keyPlaces,
            ]
        case 4:
            all = [
                make(.org, .requests, 40, 30_000, .slidingWindow),
                make(.team, .totalTokens, 50_000, 20_000, .slidingWindow),
                make(.key, .outputTokens, 20_000, 15_000, .slidingWindow), places,
            ]
        default:
            all = [
                make(.org, .requests, 200, 40_000, .tokenBucket, 50), month, places,
                make(.team, .totalTokens, 90_000, 30_000, .slidingWindow), day,
                make(.key, .totalTokens, 60_000, 25_000, .slidingCounter), keyPlaces,
                make(.key, .requests, 50, 10_000, .fixedWindow),
                feature ? make(.feature, .inputTokens, 9_999, 10_007, .tokenBucket, 9_999) : nil,
            ]
        }
        return (try? LimitSet(version: 1, limits: all.compactMap(\.self))) ?? .unlimited
    }

    mutating func use() -> QuotaUse {
        let scale = chance.below(40) == 0 ? 100_000 : 3_000
        return QuotaUse(
            inputTokens: Int64(chance.below(scale)), outputTokens: Int64(chance.below(scale)),
            microUSD: Int64(chance.below(scale) * 10))
    }

    mutating func nextID() -> Identifier128 {
        serial += 1
        return Identifier128(high: serial &* 0x9e37_79b9_7f4a_7c15, low: serial)
    }

    mutating func step(on redis: BlockingRedis) throws -> Outcome {
        if chance.below(200) == 0 { usleep(UInt32(chance.below(30_000))) }
        if chance.below(4) == 0, let outcome = try peek(fresh(), on: redis), !outcome.isEqual { return outcome }
        if chance.below(6) == 0 { return try stepOfBlocks(on: redis) }
        if chance.below(8) == 0, let outcome = try stepOfTries(on: redis) { return outcome }
        switch chance.below(100) {
        case 0..<45: return try reserve(fresh(), on: redis)
        case 45..<50 where !open.isEmpty: return try reserve(open[chance.below(open.count)], on: redis)
        case 50..<53 where !done.isEmpty:
            let old = done[chance.below(done.count)]
            let again = ReserveCall(
                id: old.id, claim: old.claim, tenant: old.tenant, estimate: use(), holdMilliseconds: 10,
                limits: old.limits)
            return try reserve(again, on: redis)
        case 64..<74 where !open.isEmpty: return try extend(open[chance.below(open.count)], on: redis)
        case 74: return try extend(fresh(), on: redis)
        case 75 where !done.isEmpty:
            let old = done[chance.below(done.count)]
            let call = ReserveCall(
                id: old.id, claim: old.claim, tenant: old.tenant, estimate: use(), holdMilliseconds: 10,
                limits: old.limits)
            return try extend(call, on: redis)
        case 53..<58 where !done.isEmpty: return try settle(done[chance.below(done.count)], on: redis)
        case 58..<60: return try settle(settlement(of: fresh()), on: redis)
        case 60..<64 where open.count > 4:
            open.remove(at: chance.below(open.count))  // a node died: nobody settles this one
            return try reserve(fresh(), on: redis)
        default:
            guard !open.isEmpty else { return try reserve(fresh(), on: redis) }
            let call = open.remove(at: chance.below(open.count))
            return try settle(settlement(of: call), on: redis)
        }
    }

    /// Given back, billed by nobody, or with one or more attempts for the ledger.
    mutating func settlement(of call: ReserveCall) -> SettleCall {
        switch chance.below(8) {
        case 0: [.leftOnBlock(call), .failure(of: call), .release(of: call)][chance.below(3)]
        case 1: SettleCall(of: call, use: use())
        case 2: SettleCall(of: call, attempts: (0..<chance.below(4)).map { attempt(UInt8($0 + 1)) })
        default: SettleCall(of: call, attempts: [attempt(1)])
        }
    }

    mutating func attempt(_ number: UInt8) -> LedgerEntry {
        let use = use()
        return LedgerEntry(
            attempt: number, provider: chance.below(2) == 0 ? "sim" : "open:ai",
            model: ["gpt-6-luna", "openai/gpt-oss-20b", "m"][chance.below(3)],
            tokens: TokenCounts(
                input: use.inputTokens, cached: Int64(chance.below(2_000)), cacheWrite: Int64(chance.below(500)),
                output: use.outputTokens, reasoning: Int64(chance.below(900))),
            microUSD: use.microUSD, priceVersion: PriceVersion(UInt64(chance.below(3)) &* 0x9e37_79b9_7f4a_7c15),
            provenance: Provenance.allCases[chance.below(4)], firstTokenMilliseconds: UInt32(chance.below(70_000)),
            durationMilliseconds: UInt32(chance.below(600_000)), outcome: chance.below(3) == 0 ? "CANCELLED" : "OK")
    }

    /// Why the ledger in Redis is not the model's; nil when it is.
    func ledgerDifference(_ redis: BlockingRedis) throws -> String? {
        for org in Set(configurations.map(\.tenant.org)).sorted() {
            let records = try redis.ledger(of: org)
            let expected = model.ledgerRecords(of: org)
            if records != expected {
                let place = zip(records, expected).enumerated().first { $1.0 != $1.1 }?.offset
                return "\(org): \(records.count) records and \(expected.count), different from \(place ?? -1)"
            }
            let sums = try redis.rollups(of: org)
            if sums != model.rollups(of: org) { return "\(org): sums \(sums)\nmodel \(model.rollups(of: org))" }
        }
        return nil
    }

    mutating func fresh() -> ReserveCall {
        let place = configurations[chance.below(configurations.count)]
        let hold = chance.below(10) == 0 ? 1 + chance.below(400) : 1 + chance.below(20)
        return ReserveCall(
            id: nextID(), tenant: place.tenant, estimate: use(), holdMilliseconds: Int64(hold), limits: place.limits)
    }

    /// Looks at the limits of a call that is not made: nothing may change, and the next reservation shows whether it did.
    private mutating func peek(_ call: ReserveCall, on redis: BlockingRedis) throws -> Outcome? {
        let real = try redis.peek(call)
        for standing in real.standings {
            switch standing.retry {
            case nil: peeks["room", default: 0] += 1
            case .after: peeks["after", default: 0] += 1
            case .whenReleased: peeks["released", default: 0] += 1
            case .never: peeks["never", default: 0] += 1
            }
        }
        let expected = model.peek(call, at: real.atMicroseconds)
        // What binds is what a reservation at the same time would name.
        var isSame = real == expected
        guard chance.below(8) == 0 else { return outcome(isSame, real, expected, call) }
        var trial = model
        switch trial.reserve(call, at: real.atMicroseconds) {
        case .granted: isSame = isSame && expected.binding == nil
        case .denied(let denial): isSame = isSame && expected.binding == denial.index
        case .repeated, .duplicate: break
        }
        return outcome(isSame, real, expected, call)
    }

    private func outcome(_ isEqual: Bool, _ real: QuotaPeek, _ expected: QuotaPeek, _ call: ReserveCall) -> Outcome {
        Outcome(name: "peek", isEqual: isEqual, difference: "script \(real)\nmodel  \(expected)\ncall \(call)")
    }

    mutating func reserve(_ call: ReserveCall, on redis: BlockingRedis) throws -> Outcome {
        let real = try redis.reserve(call)
        let expected: ReserveReply
        let name: String
        switch real {
        case .granted(let grant):
            name = "granted"
            open.append(call)
            expected = model.reserve(call, at: grant.atMicroseconds)
        case .denied(let denial):
            name = "denied by \(denial.limit.isHeld ? "\(denial.limit.unit)" : "\(denial.limit.algorithm)")"
            switch denial.retry {
            case .after: retries["after", default: 0] += 1
            case .whenReleased: retries["released", default: 0] += 1
            case .never: retries["never", default: 0] += 1
            }
            expected = model.reserve(call, at: denial.atMicroseconds)
        case .repeated(let record):
            name = "repeated"
            expected = model.reserve(call, at: record.atMicroseconds)
        case .duplicate(let record):
            name = "duplicate"
            expected = model.reserve(call, at: record.atMicroseconds)
        }
        return Outcome(
            name: name, isEqual: real == expected, difference: "script \(real)\nmodel  \(expected)\ncall \(call)")
    }

    mutating func extend(_ call: ReserveCall, on redis: BlockingRedis) throws -> Outcome {
        let question = ExtendCall(of: call, to: use())
        let real = try redis.extend(question)
        let (name, now): (String, Int64) =
            switch real {
            case .granted(let now): ("extended", now)
            case .denied(let denial): ("extension denied", denial.atMicroseconds)
            case .settled(let record): ("extension of a settled one", record.atMicroseconds)
            case .unknown(let now): ("extension of an unknown one", now)
            }
        let expected = model.extend(question, at: now)
        return Outcome(
            name: name, isEqual: real == expected, difference: "script \(real)\nmodel  \(expected)\ncall \(question)")
    }

    mutating func settle(_ call: SettleCall, on redis: BlockingRedis) throws -> Outcome {
        let real = try redis.settle(call)
        let (name, record): (String, QuotaRecord) =
            switch real {
            case .settled(let record): ("settled", record)
            case .late(let record): ("late", record)
            case .repeated(let record): ("settled again", record)
            case .unknown(let record): ("unknown", record)
            }
        let expected = model.settle(call, at: record.atMicroseconds)
        if done.count < 500 { done.append(call) } else { done[chance.below(500)] = call }
        if call.ending == .released || call.ending == .failed {
            if released.count < 100 { released.append(call) } else { released[chance.below(100)] = call }
        }
        return Outcome(
            name: name, isEqual: real == expected, difference: "script \(real)\nmodel  \(expected)\ncall \(call)")
    }
}
