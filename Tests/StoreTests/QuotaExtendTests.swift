// Every way in which an extension ends, one by one, against a real Redis.

import Core
import Foundation
import Policy
import Testing

@testable import Store

@Suite(.serialized) struct QuotaExtendTests {
    private let server: RedisServer
    private let redis: BlockingRedis
    private let tenant = Tenant(org: "acme", team: "search", key: "k1")

    init() throws {
        server = try RedisServer()
        redis = try BlockingRedis(
            path: server.socketPath, times: QuotaTimes(bucketMicroseconds: 20_000, recordMilliseconds: 60_000))
    }

    private func call(_ id: UInt64, _ limits: [Limit], output: Int64, money: Int64 = 0, hold: Int64 = 60_000) throws
        -> ReserveCall
    {
        ReserveCall(
            id: Identifier128(high: 7, low: id), tenant: tenant,
            estimate: QuotaUse(inputTokens: 10, outputTokens: output, microUSD: money), holdMilliseconds: hold,
            limits: try LimitSet(version: 1, limits: limits))
    }

    private func raise(_ call: ReserveCall, output: Int64, money: Int64 = 0) throws -> ExtendReply {
        try redis.extend(ExtendCall(of: call, to: QuotaUse(inputTokens: 10, outputTokens: output, microUSD: money)))
    }

    private func left(_ reply: ReserveReply) -> [Int64] {
        if case .granted(let grant) = reply { grant.remaining } else { [] }
    }

    private func isGranted(_ reply: ExtendReply) -> Bool { if case .granted = reply { true } else { false } }

    private func dump() throws -> [String: RedisReply] {
        guard case .array(let keys) = try redis.command("KEYS", "*") else { return [:] }
        var contents: [String: RedisReply] = [:]
        for key in keys.compactMap(\.text) { contents[key] = try redis.command("DUMP", key) }
        return contents
    }

    @Test("an extension of an expired hold keeps nothing of how far it swept: script and model agree")
    func sweepsOfExtensions() throws {
        let times = QuotaTimes(bucketMicroseconds: 2_000, recordMilliseconds: 60_000)
        let redis = try BlockingRedis(path: server.socketPath, times: times)
        var model = QuotaModel(times: times)
        let limits = [
            try Limit(scope: .team, unit: .microUSD, amount: 1_000_000, period: .day, algorithm: .fixedWindow)
        ]
        func reserve(_ id: UInt64, hold: Int64) throws -> ReserveCall {
            let call = try call(id, limits, output: 10, money: 1_000, hold: hold)
            let real = try redis.reserve(call)
            guard case .granted(let grant) = real else { throw RedisServerFailure.failed("\(real)") }
            #expect(model.reserve(call, at: grant.atMicroseconds) == real)
            return call
        }
        // A sweep reaches 128 ms at a time: the first hold ends behind what the last kept one reaches.
        _ = try reserve(1, hold: 150)
        let second = try reserve(2, hold: 1)
        usleep(5_000)
        _ = try reserve(3, hold: 1_000)
        usleep(90_000)
        let longer = ExtendCall(of: second, to: QuotaUse(inputTokens: 10, outputTokens: 20, microUSD: 2_000))
        guard case .granted(let now) = try redis.extend(longer) else {
            throw RedisServerFailure.failed("the extension was denied")
        }
        #expect(model.extend(longer, at: now) == .granted(atMicroseconds: now))
        usleep(65_000)
        _ = try reserve(4, hold: 1_000)
    }

    @Test("an extension charges only what it adds, once, and takes no second place or request")
    func chargesTheDifference() throws {
        let limits = [
            try Limit(scope: .org, unit: .requests, amount: 5, period: .day), try Limit.concurrency(3, scope: .org),
            try Limit(scope: .key, unit: .outputTokens, amount: 1000, period: .day, algorithm: .fixedWindow),
        ]
        let first = try call(1, limits, output: 100)
        #expect(left(try redis.reserve(first)) == [4, 2, 900])
        #expect(isGranted(try raise(first, output: 300)))
        #expect(isGranted(try raise(first, output: 300)), "repeated after a lost reply")
        #expect(isGranted(try raise(first, output: 200)), "never shrinks")
        #expect(left(try redis.reserve(try call(2, limits, output: 1))) == [3, 1, 699])
        _ = try redis.settle(SettleCall(of: first, use: QuotaUse(inputTokens: 10, outputTokens: 250, microUSD: 0)))
        #expect(left(try redis.reserve(try call(3, limits, output: 1))) == [2, 1, 748])
    }

    @Test("a denied extension names the limit and the time, and changes nothing", arguments: LimitAlgorithm.allCases)
    func denialChangesNothing(algorithm: LimitAlgorithm) throws {
        let limits = [
            try Limit(scope: .team, unit: .totalTokens, amount: 100_000, period: .day, algorithm: .fixedWindow),
            try Limit(scope: .key, unit: .outputTokens, amount: 1000, period: .minute, algorithm: algorithm),
        ]
        let first = try call(1, limits, output: 400)
        _ = try redis.reserve(first)
        let before = try dump()
        guard case .denied(let denial) = try raise(first, output: 1300) else {
            Issue.record("not denied")
            return
        }
        #expect(denial.limit.scope == .key && denial.index == 1 && (600...610).contains(denial.remaining))
        guard case .after(let wait) = denial.retry else {
            Issue.record("\(denial.retry)")
            return
        }
        #expect(wait > 0 && wait <= 120_000_000)
        #expect(try dump() == before)
    }

    @Test("more money is held, and given back at settlement")
    func holdsMoreMoney() throws {
        let limits = [try Limit(scope: .org, unit: .microUSD, amount: 1000, period: .day, algorithm: .fixedWindow)]
        let first = try call(1, limits, output: 10, money: 300)
        #expect(left(try redis.reserve(first)) == [700])
        #expect(isGranted(try raise(first, output: 20, money: 800)))
        guard case .denied(let denial) = try raise(first, output: 30, money: 1001) else {
            Issue.record("not denied")
            return
        }
        #expect(denial.remaining == 200 && denial.retry == .whenReleased)
        _ = try redis.settle(SettleCall(of: first, use: QuotaUse(inputTokens: 10, outputTokens: 20, microUSD: 750)))
        #expect(left(try redis.reserve(try call(2, limits, output: 1, money: 50))) == [200])
    }

    @Test("a settled request and an unknown one are not extended")
    func nothingToExtend() throws {
        let limits = [try Limit(scope: .key, unit: .outputTokens, amount: 1000, period: .day)]
        let first = try call(1, limits, output: 100)
        let before = try dump()
        guard case .unknown = try raise(first, output: 200) else {
            Issue.record("known")
            return
        }
        #expect(try dump() == before)
        _ = try redis.reserve(first)
        let real = QuotaUse(inputTokens: 10, outputTokens: 90, microUSD: 0)
        _ = try redis.settle(SettleCall(of: first, use: real))
        guard case .settled(let record) = try raise(first, output: 200) else {
            Issue.record("not settled")
            return
        }
        #expect(record.use == real)
    }

    @Test("a log has one entry a request as long as that counts, and loses no weight when two entries are alike")
    func oneLogEntry() throws {
        let limits = [
            try Limit(
                scope: .key, unit: .outputTokens, amount: 1000, period: .microseconds(100_000),
                algorithm: .slidingWindow)
        ]
        let first = try call(1, limits, output: 100)
        _ = try redis.reserve(first)
        #expect(isGranted(try raise(first, output: 200)))
        guard case .array(let keys) = try redis.command("KEYS", "q:{acme}:k:k1:*"), let log = keys.first?.text else {
            Issue.record("no log")
            return
        }
        #expect(try redis.command("ZCARD", log) == .integer(1))
        usleep(110_000)
        // The entry has left the window: what is added now is entered by itself, twice the same.
        #expect(isGranted(try raise(first, output: 300)))
        #expect(isGranted(try raise(first, output: 400)))
        #expect(try redis.command("ZCARD", log) == .integer(1))
        #expect(left(try redis.reserve(try call(2, limits, output: 100))) == [700])
        usleep(110_000)
        #expect(left(try redis.reserve(try call(3, limits, output: 100))) == [900], "all of it left the window")
    }

    @Test("an extension after the hold had expired charges the rates and holds nothing")
    func expiredHold() throws {
        let limits = [
            try Limit.concurrency(3, scope: .org),
            try Limit(scope: .org, unit: .outputTokens, amount: 1000, period: .day, algorithm: .fixedWindow),
        ]
        let first = try call(1, limits, output: 100, hold: 1)
        _ = try redis.reserve(first)
        usleep(60_000)
        #expect(isGranted(try raise(first, output: 300)))
        #expect(left(try redis.reserve(try call(2, limits, output: 100))) == [2, 600])
    }
}
