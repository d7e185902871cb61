// What the shapes cost: a call through `Redis` against one straight to its connection, and the routing of a cluster.

import Core
import Foundation
import Net
import Policy
import Testing

@testable import Store

@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["SLUICE_MEASURE"] != nil))
struct DoorTests {
    /// A call that costs nothing itself.
    private final class EmptyCall: ScriptCall {
        var script: RedisScript { .settle }
        var slot: RedisSlot { KeySchema.slot(ofOrg: "acme") }
        private(set) var heard = 0
        func write(_ name: ScriptName, into output: inout ByteBuffer) { output.append(literal: "x") }
        func finish(_ result: Result<RedisReply, StoreError>) { heard += 1 }
    }

    /// A link whose server answers when it is told to.
    private final class EchoLink: RedisLink, RedisDialer, RedisNetwork {
        var sent: UInt64 = 0
        private var bytes = ByteBuffer()
        var now: Instant { Instant(nanoseconds: 1) }

        func send(deadline: Instant, _ write: (inout ByteBuffer) -> Void) -> UInt64? {
            write(&bytes)
            bytes.removeAll()
            defer { sent += 1 }
            return sent
        }

        func abort() {}
        func dialer(to endpoint: Endpoint) -> any RedisDialer { self }
        func dial(_ connection: RedisConnection, timeout: Duration) { connection.linkOpened(self) }
        func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void { {} }

        func answer(_ connection: RedisConnection, from first: UInt64) {
            for number in first..<sent {
                connection.linkEvent(.reply(number, .bytes(Array("run_id:x".utf8))), from: self)
            }
        }
    }

    /// The best of twenty rounds, in ns a call.
    private static func time(_ link: EchoLink, _ connection: RedisConnection, _ send: () -> Void) -> Double {
        var best = Double.infinity
        for _ in 0..<20 {
            let first = link.sent
            let start = ContinuousClock.now
            for _ in 0..<4096 { send() }
            best = min(best, Double((ContinuousClock.now - start).nanoseconds) / 4096)
            link.answer(connection, from: first)
        }
        return best
    }

    @Test func theDoorCostsASingleServerNothing() {
        let link = EchoLink()
        let connection = RedisConnection(dialer: link, configuration: RedisConfiguration(), seed: 1)
        connection.start()
        link.answer(connection, from: 0)
        #expect(connection.state == .ready)
        let redis = Redis(connection)
        let call = EmptyCall()
        var (direct, through) = (Double.infinity, Double.infinity)
        for _ in 0..<10 {
            direct = min(direct, Self.time(link, connection) { connection.send(call) })
            through = min(through, Self.time(link, connection) { redis.send(call) })
        }
        print("a call: \(direct) ns straight to the connection, \(through) ns through the door")
        #expect(call.heard > 0 && through < 1.5 * direct)
    }

    @Test func theMapCostsAClusterNanoseconds() throws {
        let map = try SlotMap(
            .array([TopologyTests.range(0...16_383, ("a", 1))]), info: nil, from: .host("a", port: 1))
        var best = Double.infinity
        var sum = 0
        for _ in 0..<50 {
            let start = ContinuousClock.now
            for _ in 0..<10_000 { sum &+= map.owner(of: KeySchema.slot(ofOrg: "acme")) ?? 1 }
            best = min(best, Double((ContinuousClock.now - start).nanoseconds) / 10_000)
        }
        print("the owner of an org: \(best) ns")
        #expect(sum == 0)
    }
}
