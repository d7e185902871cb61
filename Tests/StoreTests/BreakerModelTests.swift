// The pure Swift model is the specification of breaker.lua: a seeded stream of calls goes to both, every reply is equal.

import Core
import Foundation
import Policy
import Testing

@testable import Store

@Suite(.serialized) struct BreakerModelTests {
    @Test(arguments: [UInt64(1), 2, 3])
    func everyReplyOfTheScriptEqualsTheModels(seed: UInt64) throws {
        let server = try RedisServer()
        let redis = try BlockingRedis(path: server.socketPath)
        let times = BreakerTimes(open: 2_000, openLimit: 9_000, lease: 3_000, window: 5_000, relapse: 20_000)
        var chance = SeededChance(state: seed)
        var models = [BreakerModel](repeating: BreakerModel(times: times), count: 3)
        var seen: [BreakerVerdict: Int] = [:]
        var probes: Set<[Int64]> = []
        for step in 0..<8_000 {
            if chance.below(20) == 0 { usleep(UInt32(chance.below(4_000))) }
            let target = chance.below(models.count)
            let call = Self.call(models[target].record, &chance)
            let jitter = Int64(chance.below(201))
            let real = try redis.breaker(call, on: "sim", "m\(target)", jitter: jitter, times)
            let expected = models[target].run(call, jitter: jitter, at: real.atMicroseconds)
            guard real == expected else {
                Issue.record("seed \(seed), call \(step) \(call): script \(real)\nmodel \(expected)")
                return
            }
            if real.verdict == .probe {
                #expect(probes.insert([Int64(target), real.record.epoch]).inserted, "an epoch has one probe")
            }
            seen[real.verdict, default: 0] += 1
        }
        for verdict in BreakerVerdict.allCases {
            #expect((seen[verdict] ?? 0) > 5, "\(verdict) came \(seen[verdict] ?? 0) times: \(seen)")
        }
    }

    private static func call(_ record: BreakerRecord, _ chance: inout SeededChance) -> BreakerCall {
        let epoch = chance.below(8) == 0 ? max(0, record.epoch - 1) : record.epoch
        switch chance.below(50) {
        case 0..<4: return .read
        case 4: return .order([.auto, .open, .closed][chance.below(3)], microseconds: Int64(chance.below(3_000)))
        case 5..<18:
            return .report(
                epoch: epoch, node: Int64(1 + chance.below(3)), successes: Int64(chance.below(12)),
                failures: Int64(chance.below(12)), isTripped: chance.below(3) == 0)
        case 18..<30: return .admit
        case 30..<32: return .renew(epoch: epoch)
        case 32..<34: return .release(epoch: epoch)
        default: return .probed(epoch: epoch, isGood: chance.below(5) != 0)
        }
    }

    @Test func eightNodesThatAskAtOnceGetOneProbeAnEpochAThousandTimes() throws {
        let server = try RedisServer()
        // Each thread uses the connection of its own place.
        nonisolated(unsafe) let nodes = try (0..<8).map { _ in try BlockingRedis(path: server.socketPath) }
        let times = BreakerTimes(open: 1, openLimit: 1, lease: 60_000_000, window: 1_000_000, relapse: 1)
        let trip = BreakerCall.report(epoch: 0, node: 1, successes: 0, failures: 20, isTripped: true)
        #expect(try nodes[0].breaker(trip, on: "sim", "m", jitter: 0, times).verdict == .opened)
        for round in 0..<1_000 {
            usleep(10)
            let granted = Granted()
            DispatchQueue.concurrentPerform(iterations: nodes.count) { place in
                guard let reply = try? nodes[place].breaker(.admit, on: "sim", "m", jitter: 0, times) else {
                    return granted.fail()
                }
                if reply.verdict == .probe { granted.add(reply.record.epoch) }
            }
            guard granted.failures == 0, granted.epochs.count == 1, let epoch = granted.epochs.first else {
                Issue.record("round \(round): \(granted.epochs.count) probes, \(granted.failures) calls failed")
                return
            }
            let end = try nodes[0].breaker(.probed(epoch: epoch, isGood: false), on: "sim", "m", jitter: 0, times)
            #expect(end.verdict == .opened)
        }
        print("breaker.rounds_of_8_nodes_with_one_probe 1000 1000 ok")
    }

    @Test func aLostRecordNeverUsesAnEpochAgain() throws {
        let server = try RedisServer()
        let redis = try BlockingRedis(path: server.socketPath)
        let trip = BreakerCall.report(epoch: 0, node: 1, successes: 0, failures: 20, isTripped: true)
        let before = try redis.breaker(trip, on: "sim", "m", jitter: 0, .standard)
        _ = try redis.command("FLUSHALL")
        usleep(2_000)
        let after = try redis.breaker(trip, on: "sim", "m", jitter: 0, .standard)
        #expect(after.verdict == .opened)
        #expect(after.record.epoch > before.record.epoch)
        let lifetime = try redis.command([Array("PTTL".utf8), BreakerStore.key("sim", "m")])
        guard case .integer(let left) = lifetime else { throw RedisServerFailure.failed("\(lifetime)") }
        #expect((7_000_000...7_200_000).contains(left))
    }

    @Test func aReplyOfAnotherShapeIsAnError() {
        #expect(throws: StoreError.self) { try BreakerStore.read(.bytes([1, 2, 3])) }
        let nonsense = [UInt8](repeating: 0, count: 1) + [UInt8](repeating: 0xff, count: 120)
        #expect(throws: StoreError.self) { try BreakerStore.read(.bytes(nonsense)) }
    }
}

/// What the nodes of one round were granted.
private final class Granted: @unchecked Sendable {
    private let lock = NSLock()
    private(set) var epochs: [Int64] = []
    private(set) var failures = 0

    func add(_ epoch: Int64) { lock.withLock { epochs.append(epoch) } }
    func fail() { lock.withLock { failures += 1 } }
}
