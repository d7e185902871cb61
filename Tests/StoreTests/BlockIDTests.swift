// A request that runs on a block is remembered under its id like one that is reserved by itself: an id runs once.

import Core
import Policy
import Testing

@testable import Store

@Suite(.serialized) struct BlockIDTests {
    private let server: RedisServer
    private let redis: BlockingRedis
    private let tenant = Tenant(org: "ac:me", team: "search", key: "k1")
    private let estimate = QuotaUse(inputTokens: 1_000, outputTokens: 2_097_152, microUSD: 70_000_000_000)

    init() throws {
        server = try RedisServer()
        redis = try BlockingRedis(path: server.socketPath)
    }

    private func call(_ id: UInt64) throws -> ReserveCall {
        ReserveCall(
            id: Identifier128(high: 9, low: id), tenant: tenant, estimate: estimate, holdMilliseconds: 60_000,
            limits: try LimitSet(version: 1, limits: [.concurrency(5, scope: .org)]))
    }

    private func block(_ id: UInt64) throws -> (call: ReserveCall, grantedAt: Int64) {
        let one = try call(id)
        let block = ReserveCall(
            block: one.id, of: 4, tenant: tenant, estimate: .none, holdMilliseconds: 60_000, limits: one.limits)
        guard case .granted(let grant) = try redis.reserve(block) else { throw RedisServerFailure.failed("no block") }
        return (block, grant.atMicroseconds)
    }

    @Test func `an id is new once, and the script that reserves says that it runs`() throws {
        let (_, grantedAt) = try block(1)
        let request = try call(2)
        #expect(try redis.remember(request, grantedAt: grantedAt))
        #expect(try redis.remember(request, grantedAt: grantedAt) == false)
        guard case .repeated(let record) = try redis.reserve(request) else {
            Issue.record("an id that runs on a block was reserved again")
            return
        }
        #expect(record.use == estimate && record.reservedAtMicroseconds == grantedAt)
    }

    @Test func `when its part is settled the id is done, for blocks and for the script`() throws {
        let (block, grantedAt) = try block(1)
        let request = try call(2)
        #expect(try redis.remember(request, grantedAt: grantedAt))
        let real = QuotaUse(inputTokens: 7, outputTokens: 8, microUSD: 9)
        let part = PartCall(
            of: block, number: 1, requests: 1, covers: .none, isLast: false,
            uses: [BlockUse(id: request.id, feature: "", use: real, attempts: [])])
        guard case .settled = try redis.settle(part) else {
            Issue.record("the part was not settled")
            return
        }
        #expect(try redis.remember(request, grantedAt: grantedAt) == false)
        guard case .duplicate(let record) = try redis.reserve(request) else {
            Issue.record("an id that ran on a block was reserved again")
            return
        }
        #expect(record.use == real && record.reservedAtMicroseconds == grantedAt)
    }

    @Test func `an id that was reserved by itself runs on no block, running or settled`() throws {
        let (_, grantedAt) = try block(1)
        let request = try call(2)
        guard case .granted = try redis.reserve(request) else {
            Issue.record("not granted")
            return
        }
        #expect(try redis.remember(request, grantedAt: grantedAt) == false)
        _ = try redis.settle(SettleCall(of: request, use: estimate))
        #expect(try redis.remember(request, grantedAt: grantedAt) == false)
    }

    @Test func `a remembered id holds nothing, ends by itself, and is free when it is forgotten`() throws {
        let (_, grantedAt) = try block(1)
        let request = try call(2)
        let before = try redis.command("HGETALL", "q:{ac%3Ame}")
        #expect(try redis.remember(request, grantedAt: grantedAt))
        #expect(try redis.command("HGETALL", "q:{ac%3Ame}") == before)
        let key = QuotaCodec.recordKey(of: request.id, tenant)
        guard case .integer(let life) = try redis.command([Array("PTTL".utf8), key]) else {
            Issue.record("no lifetime")
            return
        }
        #expect(life > 890_000 && life <= 900_000)
        #expect(try redis.command([Array("UNLINK".utf8), key]) == .integer(1))
        guard case .granted = try redis.reserve(request) else {
            Issue.record("a forgotten id is not free")
            return
        }
    }
}
