// A request that never ran leaves its id free at once; what comes late of one try of an id touches no other.

import Core
import Foundation
import Policy
import Testing

@testable import Store

@Suite(.serialized) struct ReleaseTests {
    private let server: RedisServer
    private let redis: BlockingRedis
    private let limits: LimitSet

    init() throws {
        server = try RedisServer()
        redis = try BlockingRedis(path: server.socketPath)
        limits = try LimitSet(
            version: 1,
            limits: [
                .concurrency(5, scope: .org), Limit(scope: .org, unit: .requests, amount: 10, period: .day),
                Limit(scope: .key, unit: .totalTokens, amount: 1_000, period: .day, algorithm: .slidingWindow),
                Limit(
                    scope: .org, unit: .microUSD, amount: 1_000, period: .calendarMonth, algorithm: .fixedWindow),
            ])
    }

    /// Holds 10 + 20 tokens and 100 micro-USD.
    private func call(_ id: UInt64, claim: UInt32) -> ReserveCall {
        ReserveCall(
            id: Identifier128(high: 3, low: id), claim: claim, tenant: Tenant(org: "acme", team: "t", key: "k"),
            estimate: QuotaUse(inputTokens: 10, outputTokens: 20, microUSD: 100), holdMilliseconds: 60_000,
            limits: limits)
    }

    /// What is left of requests under way, requests, money, tokens; nil when it was not granted.
    private func remaining(_ reply: ReserveReply) -> [Int64]? {
        guard case .granted(let grant) = reply else { return nil }
        return grant.remaining
    }

    private func counters() throws -> [RedisReply] {
        try ["q:{acme}", "q:{acme}:k:k"].map { key in
            guard case .array(let parts) = try redis.command("HGETALL", key) else { return .null }
            let pairs = stride(from: 0, to: parts.count - 1, by: 2).map { (parts[$0].text ?? "", parts[$0 + 1]) }
            return .array(pairs.sorted { $0.0 < $1.0 }.flatMap { [.bytes(Array($0.0.utf8)), $0.1] })
        }
    }

    @Test func `an id belongs to its API key: another key of the team may use it, and hears nothing of it`() throws {
        func call(_ key: String, claim: UInt32) -> ReserveCall {
            ReserveCall(
                id: Identifier128(high: 3, low: 9), claim: claim, tenant: Tenant(org: "acme", team: "t", key: key),
                estimate: QuotaUse(inputTokens: 10, outputTokens: 20, microUSD: 100), holdMilliseconds: 60_000,
                limits: limits)
        }
        #expect(remaining(try redis.reserve(call("k", claim: 1))) == [4, 9, 900, 970])
        #expect(remaining(try redis.reserve(call("l:", claim: 2))) == [3, 8, 800, 970])
        #expect(remaining(try redis.reserve(call("k", claim: 3))) == nil, "one key's id runs once")
        _ = try redis.settle(.release(of: call("l:", claim: 2)))
        #expect(remaining(try redis.reserve(call("k", claim: 3))) == nil, "another key's end does not free it")
        #expect(remaining(try redis.reserve(call("l:", claim: 4))) == [3, 8, 800, 970])
    }

    @Test func `a released id may be reserved again at once, and counts once`() throws {
        let one = try redis.reserve(call(1, claim: 7))
        _ = try redis.settle(.release(of: call(1, claim: 7)))
        let two = try redis.reserve(call(1, claim: 8))
        #expect(remaining(one) == [4, 9, 900, 970] && remaining(two) == remaining(one))
        #expect(remaining(try redis.reserve(call(1, claim: 9))) == nil, "the second try runs")
        _ = try redis.settle(SettleCall(of: call(1, claim: 8), use: call(1, claim: 8).estimate))
        guard case .duplicate = try redis.reserve(call(1, claim: 9)) else {
            Issue.record("an id that ran was reserved again")
            return
        }
    }

    @Test func `what was sent in vain counts as a request and leaves its id free`() throws {
        _ = try redis.reserve(call(1, claim: 7))
        _ = try redis.settle(.failure(of: call(1, claim: 7)))
        #expect(remaining(try redis.reserve(call(1, claim: 7))) == nil)
        #expect(remaining(try redis.reserve(call(1, claim: 8))) == [4, 8, 900, 970])
    }

    @Test func `an id that ran stays taken, by itself or on a block`() throws {
        _ = try redis.reserve(call(1, claim: 7))
        _ = try redis.settle(SettleCall(of: call(1, claim: 7), use: .none))
        _ = try redis.reserve(call(2, claim: 7))
        _ = try redis.settle(.leftOnBlock(call(2, claim: 7)))
        for id in [1, 2] as [UInt64] {
            guard case .duplicate = try redis.reserve(call(id, claim: 8)) else {
                Issue.record("\(id) was reserved again")
                continue
            }
        }
        #expect(remaining(try redis.reserve(call(3, claim: 1))) == [4, 8, 900, 970], "only the first counts a request")
    }

    @Test func `the reservation of a released try comes too late, also when it comes after its release`() throws {
        _ = try redis.settle(.release(of: call(1, claim: 7)))
        guard case .duplicate = try redis.reserve(call(1, claim: 7)) else {
            Issue.record("a reservation that nobody will end was granted")
            return
        }
        #expect(remaining(try redis.reserve(call(1, claim: 8))) == [4, 9, 900, 970])
    }

    @Test func `a late release and a late extension of the first try do not touch the second`() throws {
        let (first, second) = (call(1, claim: 7), call(1, claim: 8))
        _ = try redis.reserve(first)
        _ = try redis.settle(.release(of: first))
        _ = try redis.reserve(second)
        let before = try counters()
        for end in [SettleCall.release(of: first), .leftOnBlock(first)] {
            guard case .repeated = try redis.settle(end) else {
                Issue.record("it ended what is not its own")
                return
            }
        }
        let more = ExtendCall(of: first, to: QuotaUse(inputTokens: 10, outputTokens: 500, microUSD: 300))
        guard case .unknown = try redis.extend(more) else {
            Issue.record("it was extended")
            return
        }
        #expect(try counters() == before)
        guard case .settled(let record) = try redis.settle(SettleCall(of: second, use: second.estimate)) else {
            Issue.record("the second try was not settled")
            return
        }
        #expect(record.use == second.estimate)
    }

    @Test func `a try that ran beside another is booked once, and leaves it its hold`() throws {
        let (first, second) = (call(1, claim: 7), call(1, claim: 8))
        _ = try redis.reserve(second)
        let end = SettleCall(of: first, use: QuotaUse(inputTokens: 1, outputTokens: 2, microUSD: 50))
        guard case .unknown = try redis.settle(end), case .repeated = try redis.settle(end) else {
            Issue.record("it was not booked once")
            return
        }
        #expect(remaining(try redis.reserve(call(2, claim: 1))) == [3, 8, 750, 940], "its money, and no place")
        guard case .settled = try redis.settle(SettleCall(of: second, use: second.estimate)),
            case .repeated = try redis.settle(end)
        else {
            Issue.record("the second try ended with the first")
            return
        }
        guard case .array(let keys) = try redis.command("KEYS", "q:{acme}:r:*") else { return }
        for key in keys.compactMap(\.text) {
            guard case .integer(let life) = try redis.command("PTTL", key) else { continue }
            #expect(life > 0 && life <= 900_000, "\(key)")
        }
        #expect(keys.count == 3)
    }

    @Test func `a released id that comes to a block is reserved by itself`() throws {
        _ = try redis.settle(.release(of: call(1, claim: 7)))
        #expect(try redis.remember(call(1, claim: 8), grantedAt: 1) == false)
        #expect(remaining(try redis.reserve(call(1, claim: 8))) != nil)
    }

    @Test func `a late release does not end a request that runs on a block`() throws {
        #expect(try redis.remember(call(1, claim: 8), grantedAt: 1))
        guard case .repeated = try redis.settle(.release(of: call(1, claim: 7))) else {
            Issue.record("what the block paid for was given back")
            return
        }
        #expect(try counters().allSatisfy { $0 == .array([]) })
    }
}
