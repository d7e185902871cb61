// The life of a connection against a real Redis: ready, flushed, frozen, killed, degraded, refused.

import Core
import Foundation
import Policy
import TestSupport
import Testing

@testable import Store

@Suite(.serialized) struct ConnectionTests {
    private static func limits() throws -> LimitSet {
        try LimitSet(
            version: 1,
            limits: [
                try Limit(scope: .org, unit: .requests, amount: 1_000_000), try Limit.concurrency(100_000, scope: .org),
            ])
    }

    private static func call(_ serial: Int, _ limits: LimitSet) -> ReserveCall {
        ReserveCall(
            id: Identifier128(high: 7, low: UInt64(serial)), tenant: Tenant(org: "acme", team: "t", key: "k"),
            estimate: QuotaUse(inputTokens: 10, outputTokens: 10, microUSD: 10), holdMilliseconds: 60_000,
            limits: limits)
    }

    private static func ready(
        _ server: RedisServer, _ change: (inout RedisConfiguration) -> Void = { _ in }
    ) -> (PollingDialer, RedisConnection) {
        let dialer = PollingDialer(server)
        var configuration = RedisConfiguration()
        change(&configuration)
        let connection = RedisConnection(dialer: dialer, configuration: configuration, seed: 1)
        connection.start()
        dialer.run(seconds: 2) { connection.state == .ready }
        return (dialer, connection)
    }

    private static func send(
        _ parts: String..., on connection: RedisConnection, _ dialer: PollingDialer
    ) -> Result<RedisReply, StoreError>? {
        var answer: Result<RedisReply, StoreError>?
        connection.send(RedisCommand(parts: parts.map { Array($0.utf8) }), timeout: .seconds(2)) { answer = $0 }
        dialer.run(seconds: 3) { answer != nil }
        return answer
    }

    @Test func commandsOfOneTurnShareOneWrite() throws {
        let (dialer, connection) = Self.ready(try RedisServer())
        #expect(connection.state == .ready)
        #expect(connection.serverIdentity?.count == 40)
        let writes = dialer.writes
        var replies: [RedisReply] = []
        for number in 0..<100 {
            connection.send(RedisCommand("ECHO", "\(number)"), timeout: .seconds(2)) {
                replies.append((try? $0.get()) ?? .null)
            }
        }
        dialer.run { replies.count == 100 }
        #expect(replies == (0..<100).map { .bytes(Array("\($0)".utf8)) })
        #expect(dialer.writes == writes + 1)
        #expect(connection.metrics.latency.count >= 100)
        connection.close()
    }

    @Test("h3: a flush of the scripts fails no call")
    func aFlushOfTheScriptsFailsNoCall() throws {
        let server = try RedisServer()
        let (dialer, connection) = Self.ready(server) { $0.commandTimeout = .seconds(2) }
        let store = QuotaStore(Redis(connection))
        let limits = try Self.limits()
        let other = try BlockingRedis(path: server.socketPath)
        var granted = 0
        var settled = 0
        for serial in 0..<600 {
            if serial % 50 == 0 { _ = try other.command("SCRIPT", "FLUSH") }
            let call = Self.call(serial, limits)
            store.reserve(call) { if case .success(.granted) = $0 { granted += 1 } }
            store.settle(SettleCall(of: call, use: .none)) { if case .success(.settled) = $0 { settled += 1 } }
            if serial % 25 == 24 { dialer.run { settled == serial + 1 } }
        }
        #expect(granted == 600 && settled == 600)
        #expect(connection.metrics.scriptReloads.value >= 12)
        connection.close()
    }

    @Test func aFrozenServerGivesATimeoutAfter50Milliseconds() throws {
        let server = try RedisServer()
        let (dialer, connection) = Self.ready(server)
        server.signal(SIGSTOP)
        let start = dialer.now
        var failures: [StoreError] = []
        for _ in 0..<10 {
            connection.send(RedisCommand("INCR", "n")) { if case .failure(let error) = $0 { failures.append(error) } }
        }
        dialer.run { failures.count == 10 }
        let waited = dialer.now - start
        #expect(failures == Array(repeating: .timeout, count: 10))
        let latest = Duration.milliseconds(55) + dialer.longestTurn
        #expect(waited >= .milliseconds(50) && waited < latest, "waited \(waited) of \(latest)")
        #expect(connection.isDegraded)
        server.signal(SIGCONT)
        // The ten late replies are dropped: the next command hears its own.
        #expect(Self.send("ECHO", "mine", on: connection, dialer) == .success(.bytes(Array("mine".utf8))))
        #expect(!connection.isDegraded)
        connection.close()
    }

    @Test("h8: a paused server gives a time-out, and a stalled one is left")
    func aPausedServerGivesATimeoutAndAStalledOneIsLeft() throws {
        let server = try RedisServer()
        let (dialer, connection) = Self.ready(server) { $0.limits.stall = .milliseconds(200) }
        _ = try BlockingRedis(path: server.socketPath).command("CLIENT", "PAUSE", "600")
        var answer: Result<RedisReply, StoreError>?
        connection.send(RedisCommand("PING")) { answer = $0 }
        dialer.run { answer != nil }
        #expect(answer == .failure(.timeout))
        #expect(dialer.run(seconds: 1) { connection.state != .ready }, "a server that stays silent is left")
        #expect(connection.lastFailure?.contains("has not answered") == true)
        #expect(dialer.run(seconds: 3) { connection.state == .ready }, "and met again when it answers")
        connection.close()
    }

    @Test func aRestartedServerIsMetAgainAndKnownAsAnother() throws {
        let server = try RedisServer()
        let (dialer, connection) = Self.ready(server)
        let first = connection.serverIdentity
        var changed: Bool?
        connection.onReady = { changed = $0 }
        var lost: StoreError?
        server.signal(SIGSTOP)
        connection.send(RedisCommand("INCR", "n"), timeout: .seconds(5)) {
            if case .failure(let error) = $0 { lost = error }
        }
        dialer.run(seconds: 0.02)
        server.kill(SIGKILL)
        dialer.run { connection.state == .waiting }
        if case .disconnected? = lost {
        } else {
            Issue.record("a command under way ended with \(String(describing: lost))")
        }
        var refused: StoreError?
        connection.send(RedisCommand("PING")) { if case .failure(let error) = $0 { refused = error } }
        if case .notConnected? = refused {
        } else {
            Issue.record("without a connection: \(String(describing: refused))")
        }
        dialer.run(seconds: 0.3)
        try server.start()
        #expect(dialer.run(seconds: 30) { connection.state == .ready })
        #expect(changed == true && connection.serverIdentity != first)
        connection.close()
    }

    @Test func credentialsOfAnACLUser() throws {
        let server = try RedisServer()
        let admin = try BlockingRedis(path: server.socketPath)
        _ = try admin.command(
            "ACL", "SETUSER", "gateway", "on", ">right", "~q:*", "~meta:*", "+@read", "+@write", "+@scripting", "+time",
            "+ping")
        let (dialer, connection) = Self.ready(server) {
            $0.user = "gateway"
            $0.password = Secret("right")
        }
        #expect(connection.state == .ready, "\(connection.lastFailure ?? "")")
        #expect(connection.serverIdentity == nil, "INFO is not allowed to this user, and not needed")
        let store = QuotaStore(Redis(connection))
        var reply: Result<ReserveReply, StoreError>?
        store.reserve(Self.call(1, try Self.limits())) { reply = $0 }
        dialer.run { reply != nil }
        if case .success(.granted)? = reply {} else { Issue.record("\(String(describing: reply))") }
        if case .failure(.server(prefix: "NOPERM", _))? = Self.send("GET", "other", on: connection, dialer) {
        } else {
            Issue.record("keys of others must be out of reach")
        }
        connection.close()

        let (_, stranger) = Self.ready(server) {
            $0.user = "gateway"
            $0.password = Secret("wrong")
        }
        #expect(stranger.state != .ready)
        #expect(stranger.lastFailure?.contains("WRONGPASS") == true, "\(stranger.lastFailure ?? "")")
        #expect(!"\(stranger.configuration)".contains("wrong"))
        stranger.close()
    }

    @Test("h5: a server that became a replica is left immediately")
    func aReplicaIsLeftAtOnce() throws {
        let server = try RedisServer()
        let (dialer, connection) = Self.ready(server)
        _ = try BlockingRedis(path: server.socketPath).command("REPLICAOF", "127.0.0.1", "1")
        #expect(Self.send("SET", "q:x", "1", on: connection, dialer) == .failure(.notReady(prefix: "READONLY")))
        #expect(connection.state != .ready)
        #expect(connection.lastFailure?.contains("READONLY") == true)
        connection.close()
    }

    @Test func fullMemoryRefusesReservationsButBooksSettlements() throws {
        let server = try RedisServer()
        let (dialer, connection) = Self.ready(server)
        let store = QuotaStore(Redis(connection))
        let limits = try Self.limits()
        var first: Result<ReserveReply, StoreError>?
        store.reserve(Self.call(1, limits)) { first = $0 }
        dialer.run { first != nil }
        _ = try BlockingRedis(path: server.socketPath).command("CONFIG", "SET", "maxmemory", "1000")
        var second: Result<ReserveReply, StoreError>?
        var settled: Result<SettleReply, StoreError>?
        store.reserve(Self.call(2, limits)) { second = $0 }
        store.settle(SettleCall(of: Self.call(1, limits), use: .none)) { settled = $0 }
        dialer.run { second != nil && settled != nil }
        #expect(second == .failure(.degraded(.outOfMemory)))
        if case .success(.settled)? = settled {} else { Issue.record("\(String(describing: settled))") }
        #expect(connection.state == .ready, "the connection is kept")
        connection.close()
    }

    @Test func aBusyServerIsDegradedAndKept() throws {
        let server = try RedisServer(["--busy-reply-threshold", "20"])
        let (dialer, connection) = Self.ready(server)
        let path = server.socketPath
        let loop = Thread { _ = try? BlockingRedis(path: path).command("EVAL", "while true do end", "0") }
        loop.start()
        try waitOnThread("the server is busy") {
            Self.send("PING", on: connection, dialer) == .failure(.degraded(.busy))
        }
        #expect(connection.state == .ready)
        _ = Self.send("SCRIPT", "KILL", on: connection, dialer)
        // The kill takes hold at the script's next hook.
        var answer: Result<RedisReply, StoreError>?
        for _ in 0..<100 where answer != .success(.status("PONG")) {
            answer = Self.send("PING", on: connection, dialer)
        }
        #expect(answer == .success(.status("PONG")))
        connection.close()
    }

    @Test func tooManyCommandsAreRefusedAtOnce() throws {
        let (dialer, connection) = Self.ready(try RedisServer()) { $0.limits.commands = 8 }
        var results: [Result<RedisReply, StoreError>] = []
        for _ in 0..<10 { connection.send(RedisCommand("PING")) { results.append($0) } }
        #expect(results == [.failure(.overloaded), .failure(.overloaded)])
        dialer.run { results.count == 10 }
        #expect(results.dropFirst(2).allSatisfy { $0 == .success(.status("PONG")) })
        connection.close()
    }

    @Test func closingEndsCommandsUnderWay() throws {
        let (_, connection) = Self.ready(try RedisServer())
        var result: Result<RedisReply, StoreError>?
        connection.send(RedisCommand("PING")) { result = $0 }
        connection.close()
        #expect(result == .failure(.disconnected(reason: "closed")))
        #expect(connection.state == .closed)
    }
}
