// A store whose primary sentinels choose: found by name, lost by kill -9, changed while it lives, protected by a password.

import Core
import Foundation
import Net
import Synchronization
import TestSupport
import Testing

@testable import Store

@Suite(.serialized) struct SentinelTests {
    private static func open(_ shape: RedisShape, access: RedisConfiguration = RedisConfiguration()) throws -> LaneRedis
    {
        try LaneRedis(
            .sentinel(RedisShape.endpoints(shape.sentinels), primary: "quota", access), of: shape,
            timeout: .milliseconds(250))
    }

    /// Waits until the primary is found; says what stands in the way.
    private static func usable(_ lane: LaneRedis) async throws {
        do {
            try await eventually("the primary") { await lane.look { !$0.isImpaired } }
        } catch {
            throw RedisServerFailure.failed("\(error): \(await lane.look { $0.lastFailure ?? "ready now" })")
        }
    }

    private static func primary(_ lane: LaneRedis) async -> String { await lane.look { $0.primaries[0].address } }

    @Test("h3, h5: when the primary is killed its successor is found, without scripts of its own")
    func whenThePrimaryIsKilledItsSuccessorIsFound() async throws {
        let shape = try RedisShape("sentinel")
        let lane = try Self.open(shape)
        try await Self.usable(lane)
        let first = await Self.primary(lane)
        #expect(first == "127.0.0.1:\(shape.servers[0])")
        #expect(await lane.send("SET", "a", "1") == .success(.status("OK")))
        try await eventually("the replicas") {
            try shape.servers.dropFirst().allSatisfy { try shape.cli($0, "get", "a") == "1" }
        }
        let changes = Mutex<[Bool]>([])
        await lane.look { $0.onReady = { changed in changes.withLock { $0.append(changed) } } }
        shape.signal(shape.servers[0], SIGKILL)
        try await eventually("a new primary", seconds: 60) {
            await lane.send("SET", "b", "2") == .success(.status("OK"))
        }
        #expect(await Self.primary(lane) != first)
        #expect(await lane.send("GET", "a") == .success(.bytes([UInt8(ascii: "1")])))
        #expect(changes.withLock { $0 } == [true], "another server answers: its data may be older")
        await lane.close()
    }

    @Test("h5: a primary that loses its role is left, though it still answers")
    func aPrimaryThatLosesItsRoleIsLeftThoughItStillAnswers() async throws {
        let shape = try RedisShape("sentinel", nodeTimeout: 15_000)
        let lane = try Self.open(shape)
        try await Self.usable(lane)
        let first = await Self.primary(lane)
        try await eventually("the sentinels' consent") {
            try shape.cli(shape.sentinels[0], "sentinel", "failover", "quota") == "OK"
        }
        try await eventually("the change", seconds: 60) { await Self.primary(lane) != first }
        try await eventually("writing", seconds: 60) {
            await lane.send("SET", "a", "1") == .success(.status("OK"))
        }
        let old = try #require(first.split(separator: ":").last.flatMap { UInt16($0) })
        try await eventually("the old one obeys") { try shape.cli(old, "role").hasPrefix("slave") }
        try await eventually("and has what was written") { try shape.cli(old, "get", "a") == "1" }
        await lane.close()
    }

    @Test func whoSentinelsNameMustSayThatItIsThePrimary() async throws {
        let shape = try RedisShape("sentinel", nodeTimeout: 15_000)
        // Straight to a replica, as a sentinel that lags behind would send us.
        let failure: String = await {
            guard let lane = try? Lane.start(count: 1, name: "role").first else { return "no lane" }
            return await withCheckedContinuation { continuation in
                lane.execute {
                    let connection = RedisConnection(
                        dialer: LaneDialer(lane: lane, endpoint: .host("127.0.0.1", port: shape.servers[1])),
                        configuration: RedisConfiguration(), seed: 1, duty: .electedStore)
                    connection.onStateChange = { state in
                        guard state == .waiting else { return }
                        connection.onStateChange = nil
                        let reason = connection.lastFailure ?? ""
                        connection.close()
                        lane.stop()
                        continuation.resume(returning: reason)
                    }
                    connection.start()
                }
            }
        }()
        #expect(failure == "the server is a slave, not the primary")
        withExtendedLifetime(shape) {}
    }

    @Test func anUnknownNameAndAWrongPasswordAreSaidClearly() async throws {
        let shape = try RedisShape("sentinel", nodeTimeout: 15_000)
        let stranger = try LaneRedis(
            .sentinel(RedisShape.endpoints(shape.sentinels), primary: "other", RedisConfiguration()), of: shape)
        try await eventually("the reason") {
            let failure = await stranger.look { $0.lastFailure } ?? ""
            return failure.contains("no sentinel names the primary 'other'") && failure.contains("No such master")
        }
        await stranger.close()
        for port in shape.sentinels { try shape.cli(port, "acl", "setuser", "default", "resetpass", ">opensesame") }
        let wrong = try Self.open(shape)
        try await eventually("the reason") { await wrong.look { $0.lastFailure }?.contains("NOAUTH") ?? false }
        await wrong.close()
        let right = try Self.open(shape, access: RedisConfiguration(password: Secret("opensesame")))
        try await eventually("the primary") { await right.look { !$0.isImpaired } }
        await right.close()
    }
}
