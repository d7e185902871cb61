// The pure Swift model is the specification of lead.lua; and what a leader keeps is written under its own term alone.

import Core
import Foundation
import Policy
import Testing

@testable import Store

@Suite(.serialized) struct LeaseModelTests {
    @Test(arguments: [UInt64(1), 2, 3])
    func everyReplyOfTheScriptEqualsTheModels(seed: UInt64) throws {
        let server = try RedisServer()
        let redis = try BlockingRedis(path: server.socketPath)
        var chance = SeededChance(state: seed)
        var model = LeaseModel()
        var seen: [String: Int] = [:]
        var highest: UInt64 = 0
        for step in 0..<6_000 {
            if chance.below(12) == 0 { usleep(UInt32(chance.below(3_000))) }
            let above = chance.below(9) == 0 ? UInt64(chance.below(5)) : 0
            let call = LeaseCall(
                name: ["a", "b"][chance.below(2)], incarnation: UInt64(chance.below(2)) &- 1, place: "p\(step)",
                length: 500 + Int64(chance.below(3_000)), seen: highest + above,
                wish: [.hold, .hold, .hold, .hold, .succeed, .giveBack][chance.below(6)])
            let real = try redis.lead(call)
            let expected = model.run(call, at: real.at)
            guard real == expected else {
                Issue.record("seed \(seed), call \(step) \(call): script \(real)\nmodel \(expected)")
                return
            }
            #expect(real.epoch >= highest, "a term never falls")
            let isNew = real.epoch > highest
            highest = real.epoch
            seen["\(call.wish) \(real.isMine ? "mine" : "theirs")\(isNew ? ", new term" : "")", default: 0] += 1
        }
        let exits = [
            "hold mine", "hold mine, new term", "hold theirs", "succeed mine, new term", "succeed theirs",
            "giveBack theirs",
        ]
        for exit in exits { #expect((seen[exit] ?? 0) > 5, "\(exit): \(seen)") }
    }

    @Test func aLeaseThatRedisForgotBeginsAboveWhatWasSeen() throws {
        let server = try RedisServer()
        let redis = try BlockingRedis(path: server.socketPath)
        var call = LeaseCall(name: "a", incarnation: 7, place: "p", length: 10_000_000, seen: 0, wish: .succeed)
        let first = try redis.lead(call)
        #expect(first.isMine && first.epoch == UInt64(first.at / 1_000))
        _ = try redis.command("FLUSHALL")
        call.seen = LeaseCall.latestEpoch
        let second = try redis.lead(call)
        #expect(second.epoch == LeaseCall.latestEpoch + 1)
        call.wish = .hold
        #expect(try redis.lead(call).epoch == second.epoch)
    }

    @Test func onlyTheLastTermWritesWhatIsKept() throws {
        let dialer = PollingDialer(try RedisServer())
        let connection = RedisConnection(dialer: dialer, configuration: RedisConfiguration(), seed: 1)
        let store = CoordinationStore(Redis(connection))
        connection.start()
        dialer.run { connection.state == .ready }
        func wait<T>(_ start: (@escaping (Result<T, StoreError>) -> Void) -> Void) throws -> T {
            var result: Result<T, StoreError>?
            start { result = $0 }
            dialer.run { result != nil }
            return try #require(result).get()
        }
        let zeros: [UInt8] = [0, 13, 10, 255]
        #expect(try wait { store.keep([("x", [1])], epoch: 1, then: $0) } == false, "nobody leads")
        let a = LeaseCall(name: "a", incarnation: 1, place: "", length: 1, seen: 0, wish: .hold)
        let b = LeaseCall(name: "b", incarnation: 2, place: "", length: 10_000_000, seen: 0, wish: .hold)
        let old = try wait { store.lead(a, then: $0) }
        #expect(try wait { store.keep([("x", [1]), ("y", zeros)], epoch: old.epoch, then: $0) })
        let new = try wait { store.lead(b, then: $0) }
        #expect(new.isMine && new.epoch > old.epoch)
        #expect(try wait { store.keep([("x", [2])], epoch: old.epoch, then: $0) } == false, "a leader of the past")
        #expect(try wait { store.fetch(["x", "y", "z"], then: $0) } == [[1], zeros, nil])
        #expect(try wait { store.keep([("z", [3])], removing: ["x", "y"], epoch: new.epoch, then: $0) })
        #expect(try wait { store.fetch(["x", "y", "z"], then: $0) } == [nil, nil, [3]])
        let large = [UInt8](repeating: 1, count: CoordinationStore.sizeLimit + 1)
        #expect(throws: StoreError.tooLarge(limit: CoordinationStore.sizeLimit)) {
            try wait { store.keep([("z", large)], epoch: new.epoch, then: $0) }
        }
    }

    @Test func aReplyOfAnotherShapeIsAnError() {
        #expect(throws: StoreError.self) { try CoordinationStore.read(.integer(1)) }
        let words = ["x", "0", "0", "a", "p"].map { RedisReply.bytes(Array($0.utf8)) }
        #expect(throws: StoreError.self) { try CoordinationStore.read(.array([.integer(1)] + words)) }
    }
}
