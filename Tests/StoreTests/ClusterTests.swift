// The stores against a real Redis Cluster: three primaries and their replicas; slots that move, a primary that dies.

import Core
import Foundation
import Net
import Policy
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import Store

@Suite(.serialized) struct ClusterTests {
    private static func limits() throws -> LimitSet {
        try LimitSet(
            version: 1,
            limits: [
                Limit(scope: .org, unit: .requests, amount: 1_000_000), Limit.concurrency(100_000, scope: .org),
                Limit(scope: .team, unit: .microUSD, amount: 1 << 40, period: .calendarMonth, algorithm: .fixedWindow),
                Limit(scope: .key, unit: .requests, amount: 100_000, algorithm: .slidingWindow),
            ])
    }

    private static func call(_ serial: Int, org: String, _ limits: LimitSet) -> ReserveCall {
        ReserveCall(
            id: Identifier128(high: 9, low: UInt64(serial)), tenant: Tenant(org: org, team: "t", key: "k"),
            estimate: QuotaUse(inputTokens: 10, outputTokens: 10, microUSD: 10), holdMilliseconds: 60_000,
            limits: limits)
    }

    private static func entry(_ money: Int64) -> LedgerEntry {
        LedgerEntry(
            attempt: 1, provider: "sim", model: "m", tokens: TokenCounts(input: 5, output: 5), microUSD: money,
            priceVersion: PriceVersion(1), provenance: .counted, firstTokenMilliseconds: 1, durationMilliseconds: 1,
            outcome: "OK")
    }

    private static func open(_ shape: RedisShape, timeout: Duration = .seconds(2)) async throws -> LaneRedis {
        let lane = try LaneRedis(.cluster(RedisShape.endpoints([shape.servers[0]])), of: shape, timeout: timeout)
        try await eventually("the map") { await lane.look { !$0.isImpaired } }
        return lane
    }

    private static func reserve(_ call: ReserveCall, _ lane: LaneRedis) async -> Result<ReserveReply, StoreError> {
        await lane.ask { redis, then in QuotaStore(redis).reserve(call) { then($0) } }
    }

    private static func settle(_ call: ReserveCall, _ lane: LaneRedis) async -> Result<SettleReply, StoreError> {
        await lane.ask { redis, then in
            QuotaStore(redis).settle(SettleCall(of: call, attempts: [entry(9)])) { then($0) }
        }
    }

    private static func isGranted(_ result: Result<ReserveReply, StoreError>) -> Bool {
        if case .success(.granted) = result { true } else { false }
    }

    private static func isSettled(_ result: Result<SettleReply, StoreError>) -> Bool {
        if case .success(.settled) = result { true } else { false }
    }

    @Test("h4: every store works on three primaries")
    func everyStoreWorksOnThreePrimaries() async throws {
        let shape = try RedisShape("cluster", nodeTimeout: 15_000)
        let lane = try await Self.open(shape)
        let limits = try Self.limits()
        for number in 0..<60 {
            let org = "org\(number % 20)"
            let call = Self.call(number, org: org, limits)
            if number == 30 { for port in shape.servers { try shape.cli(port, "script", "flush") } }
            #expect(Self.isGranted(await Self.reserve(call, lane)), "\(org)")
            let peek: Result<QuotaPeek, StoreError> = await lane.ask { redis, then in
                QuotaStore(redis).peek(call) { then($0) }
            }
            #expect(try peek.get().standings.count == 4)
            #expect(Self.isSettled(await Self.settle(call, lane)), "\(org)")
        }
        let used = await lane.look { $0.primaries.map(\.commands.value) }
        #expect(used.count == 3 && used.allSatisfy { $0 > 20 }, "all primaries have work: \(used)")
        #expect(await lane.look { $0.metrics.errors.value } == 0)
        // The ledger of each org, and the directory of keys.
        for org in ["org0", "org7", "org19"] {
            let audit: String = await lane.ask { redis, then in
                let reader = LedgerReader(redis)
                lane.lane.spawn {
                    do throws(StoreError) {
                        let audit = try await reader.audit(of: org, retention: .standard)
                        then("\(audit.records) \(audit.findings.filter { $0.expected != $0.found })")
                    } catch { then("\(error)") }
                }
            }
            #expect(audit == "3 []", "\(org)")
        }
        let listed: [String] = await lane.ask { redis, then in
            let keys = KeyDirectory(redis)
            keys.create(id: "a", record: [1]) { _ in
                keys.replace(id: "a", expected: [1], record: [2]) { _ in
                    keys.list { then(((try? $0.get()) ?? []).map { "\($0.id) \($0.record)" }) }
                }
            }
        }
        #expect(listed == ["a [2]"])
        await lane.close()
    }

    @Test func aSlotThatIsMovedUnderWayLosesNothing() async throws {
        let shape = try RedisShape("cluster", nodeTimeout: 15_000)
        let lane = try await Self.open(shape, timeout: .seconds(20))
        let limits = try Self.limits()
        let before = Self.call(1, org: "acme", limits)
        #expect(Self.isGranted(await Self.reserve(before, lane)))
        let slot = "\(RedisSlot(key: Array("{acme}".utf8)).number)"
        let from = try shape.owner(of: "{acme}")
        let to = try #require(try shape.servers.first { try $0 != from && shape.cli($0, "role").hasPrefix("master") })
        try shape.cli(to, "cluster", "setslot", slot, "importing", try shape.identity(from))
        try shape.cli(from, "cluster", "setslot", slot, "migrating", try shape.identity(to))
        // Keys apart: a script waits until they are together again.
        let early = Task { await Self.reserve(Self.call(2, org: "acme", limits), lane) }
        try await eventually("TRYAGAIN") { await lane.look { $0.metrics.redirections.value } > 0 }
        for key in try shape.cli(from, "cluster", "getkeysinslot", slot, "100").split(separator: "\n") {
            try shape.cli(from, "migrate", "127.0.0.1", "\(to)", String(key), "0", "5000")
        }
        // All keys of a command are there, though the slot is not yet: ASK.
        let asked = await lane.send("HEXISTS", "q:{acme}", "m")
        #expect(asked == .success(.integer(1)))
        let extended: Result<ExtendReply, StoreError> = await lane.ask { redis, then in
            QuotaStore(redis).extend(ExtendCall(of: before, to: before.estimate)) { then($0) }
        }
        guard case .success(.granted) = extended else { return #expect(Bool(false), "\(extended)") }
        for port in shape.servers { try shape.cli(port, "cluster", "setslot", slot, "node", try shape.identity(to)) }
        #expect(Self.isGranted(await early.value), "it went on when the slot had moved")
        #expect(Self.isSettled(await Self.settle(before, lane)), "a reservation moves with its slot")
        #expect(await lane.look { $0.metrics.errors.value } == 0)
        try await eventually("the map says so, too") { try shape.owner(of: "{acme}") == to }
        await lane.close()
    }

    @Test func aPrimaryThatIsKilledTakesOnlyItsOwnOrgsAlongUntilItsReplicaTakesOver() async throws {
        let shape = try RedisShape("cluster")
        let lane = try await Self.open(shape, timeout: .seconds(2))
        let limits = try Self.limits()
        let victim = try shape.owner(of: "{acme}")
        let orgs = try (0..<40).map { "org\($0)" }.filter { try shape.owner(of: "{\($0)}") != victim }.prefix(6)
        for org in orgs + ["acme"] {
            #expect(Self.isGranted(await Self.reserve(Self.call(1, org: org, limits), lane)))
        }
        let changes = Mutex<[Bool]>([])
        await lane.look { $0.onReady = { changed in changes.withLock { $0.append(changed) } } }
        shape.signal(victim, SIGKILL)
        let died = ContinuousClock.now
        var serial = 1
        var undisturbed = 0
        while !Self.isGranted(await Self.reserve(Self.call(serial, org: "acme", limits), lane)) || serial == 1 {
            serial += 1
            for org in orgs {
                let answer = await Self.reserve(Self.call(serial, org: org, limits), lane)
                #expect(Self.isGranted(answer), "\(org): \(answer)")
                undisturbed += 1
            }
            try #require(ContinuousClock.now - died < .seconds(60), "no replica took over")
            try await Task.sleep(for: .milliseconds(5))
        }
        #expect(undisturbed > 100, "the others went on meanwhile: \(undisturbed)")
        #expect(changes.withLock { $0 }.contains(true), "the new primary's data may be older")
        let owner = try shape.owner(of: "{acme}")
        #expect(owner != victim)
        try await eventually("all is well again") { await lane.look { !$0.isImpaired } }
        await lane.close()
    }

    @Test("h5: a planned failover fails no request")
    func aPlannedFailoverFailsNoRequest() async throws {
        let shape = try RedisShape("cluster", nodeTimeout: 15_000)
        let lane = try await Self.open(shape, timeout: .seconds(20))
        let limits = try Self.limits()
        let first = try shape.owner(of: "{acme}")
        let successor = try shape.replica(of: first)
        let isOver = Mutex(false)
        let load = Task {
            var serial = 0
            while !isOver.withLock({ $0 }) {
                serial += 1
                let call = Self.call(serial, org: "acme", limits)
                let (granted, settled) = (await Self.reserve(call, lane), await Self.settle(call, lane))
                #expect(Self.isGranted(granted) && Self.isSettled(settled), "\(granted) \(settled)")
            }
            return serial
        }
        try await eventually("some load") { await lane.look { $0.metrics.commands.value } > 100 }
        #expect(try shape.cli(successor, "cluster", "failover") == "OK")
        try await eventually("the change") { try shape.owner(of: "{acme}") == successor }
        try await eventually("the lane to follow") {
            await lane.look { redis in redis.primaries.contains { $0.address == "127.0.0.1:\(successor)" } }
        }
        isOver.withLock { $0 = true }
        let requests = await load.value
        let spent = try shape.cli(successor, "xlen", "q:{acme}:l")
        #expect(spent == "\(requests)", "each settlement is there once")
        #expect(await lane.look { $0.metrics.errors.value } == 0)
        await lane.close()
    }

    @Test func aLaneAtRestFollowsAPlannedFailoverWithoutAnError() async throws {
        let shape = try RedisShape("cluster", nodeTimeout: 15_000)
        let lane = try await Self.open(shape, timeout: .seconds(20))
        let first = try shape.owner(of: "{acme}")
        let successor = try shape.replica(of: first)
        #expect(try shape.cli(successor, "cluster", "failover") == "OK")
        try await eventually("the lane to follow") {
            await lane.look { redis in redis.primaries.contains { $0.address == "127.0.0.1:\(successor)" } }
        }
        #expect(await lane.look { $0.metrics.errors.value } == 0)
        await lane.close()
    }

    @Test func aPrimaryThatHangsIsReplacedAndItsReturnChangesNothing() async throws {
        let shape = try RedisShape("cluster")
        let lane = try await Self.open(shape, timeout: .milliseconds(250))
        let limits = try Self.limits()
        let victim = try shape.owner(of: "{acme}")
        let replica = try shape.replica(of: victim)
        shape.signal(victim, SIGSTOP)
        try await eventually("a timeout") {
            await Self.reserve(Self.call(1, org: "acme", limits), lane) == .failure(.timeout)
        }
        var serial = 1
        try await eventually("the replica", seconds: 60) {
            serial += 1
            return Self.isGranted(await Self.reserve(Self.call(serial, org: "acme", limits), lane))
        }
        shape.signal(victim, SIGCONT)
        try await eventually("the old one obeys") { try shape.cli(victim, "role").hasPrefix("slave") }
        for _ in 0..<100 {
            serial += 1
            #expect(Self.isGranted(await Self.reserve(Self.call(serial, org: "acme", limits), lane)))
        }
        #expect(try shape.cli(replica, "hexists", "q:{acme}", "m") == "1")
        try await eventually("all is well") { await lane.look { !$0.isImpaired } }
        await lane.close()
    }

    /// What Docs/operating.md says that an ACL user needs.
    @Test func anACLUserNeedsNoMoreThanTheGuideSays() async throws {
        let shape = try RedisShape("cluster", nodeTimeout: 15_000)
        let rights =
            "~q:* ~meta:* -@all +eval +evalsha +script|load +time +ping +get +set +del +unlink +exists +pexpire +pexpireat "
            + "+hget +hset +hsetnx +hdel +hlen +hmget +hgetall +hscan +zadd +zrem +zcard +zcount +zrange +zrangebyscore "
            + "+zremrangebyscore +xadd +xrange +cluster|slots +cluster|info +asking"
        for port in shape.servers {
            _ = try shape.cli(
                port, ["acl", "setuser", "sluice", "on", ">opensesame"] + rights.split(separator: " ").map(String.init))
        }
        let lane = try LaneRedis(.cluster(RedisShape.endpoints([shape.servers[0]])), of: shape) {
            $0.user = "sluice"
            $0.password = Secret("opensesame")
        }
        try await eventually("the map") { await lane.look { !$0.isImpaired } }
        let limits = try Self.limits()
        for number in 0..<20 {
            let call = Self.call(number, org: "org\(number)", limits)
            let (granted, settled) = (await Self.reserve(call, lane), await Self.settle(call, lane))
            #expect(Self.isGranted(granted) && Self.isSettled(settled), "\(granted) \(settled)")
        }
        #expect(await lane.look { $0.metrics.errors.value } <= 3, "but for INFO, once a connection")
        await lane.close()
        let stranger = try LaneRedis(.cluster(RedisShape.endpoints(shape.servers)), of: shape) {
            $0.user = "sluice"
            $0.password = Secret("wrong")
        }
        try await eventually("the reason") {
            await stranger.look { $0.lastFailure }?.contains("WRONGPASS") ?? false
        }
        await stranger.close()
    }

    @Test func serversOfAClusterMustProveWhoTheyAre() async throws {
        let certificates = try TestAuthority()
        let port = HeldPort.next()
        let server = try RedisServer.wholeCluster([
            "--tls-port", "\(port)", "--tls-cluster", "yes", "--tls-cert-file", certificates.path("server.pem"),
            "--tls-key-file", certificates.path("server.key"), "--tls-ca-cert-file", certificates.path("ca.pem"),
            "--tls-auth-clients",
            "no",
        ])
        let place = RedisPlace.cluster([.host("127.0.0.1", port: port)])
        let trusted = try TLSContext.client(trust: .file(certificates.path("ca.pem")), protocols: [])
        let lane = try LaneRedis(place, of: server, tls: trusted)
        try await eventually("the map") { await lane.look { !$0.isImpaired } }
        #expect(await lane.send("SET", "a", "1") == .success(.status("OK")))
        #expect(await lane.look { $0.primaries.map(\.address) } == ["127.0.0.1:\(port)"])
        await lane.close()
        let other = try TLSContext.client(trust: .file(try TestAuthority().path("ca.pem")), protocols: [])
        let stranger = try LaneRedis(place, of: server, tls: other)
        try await eventually("the reason") {
            await stranger.look { $0.lastFailure }?.contains("certificate") ?? false
        }
        await stranger.close()
    }
}
