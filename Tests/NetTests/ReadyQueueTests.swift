// Whose socket is next when many are ready.
import Core
import Glibc
import Synchronization
import Testing

@testable import Net

@Suite struct ReadyQueueTests {
    @Test func tenantsTakeTurnsAndEachOnesSocketsKeepTheirOrder() {
        let (loud, quiet) = (LaneShare(), LaneShare())
        var queue = ReadyQueue()
        for ticket in 1...4 { queue.append(UInt64(ticket), of: loud) }
        queue.append(100, of: quiet)
        var order: [UInt64] = []
        order.append(queue.popFirst() ?? 0)
        queue.append(101, of: quiet)
        while let ticket = queue.popFirst() { order.append(ticket) }
        #expect(order == [1, 100, 2, 101, 3, 4])
        #expect(queue.isEmpty)
        queue.append(7, of: loud)
        #expect(queue.popFirst() == 7 && queue.isEmpty)
    }

    @Test func aThousandTenantsAreServedInRounds() {
        let shares = (0..<1_000).map { _ in LaneShare() }
        var queue = ReadyQueue()
        for round in 0..<3 {
            for (place, share) in shares.enumerated() { queue.append(UInt64(round * 1_000 + place), of: share) }
        }
        for expected in 0..<3_000 { #expect(queue.popFirst() == UInt64(expected)) }
        #expect(queue.isEmpty)
    }

    /// Sockets that are ready and whose work takes its time.
    private final class Busy: Pollable {
        let work: () -> Void

        init(lane: Lane, descriptor: Int32, share: LaneShare, work: @escaping () -> Void) {
            self.work = work
            super.init(lane: lane)
            self.descriptor = descriptor
            self.share = share
            watch(1)  // EPOLLIN
        }

        override func ready(_ events: UInt32) {
            work()
            unwatch()
            close(descriptor)
        }
    }

    @Test func oneTenantsReadySocketsCostAnotherOneOfThemAndNotAll() throws {
        let lane = try #require(try Lane.start(count: 1, name: "ready").first)
        let served = Mutex<[String]>([])
        let turns = Mutex<(first: UInt64, last: UInt64)>((0, 0))
        let done = DoneSignal()
        lane.execute {
            let (loud, quiet) = (LaneShare(), LaneShare())
            func add(_ name: String, _ share: LaneShare) {
                // Readable from the beginning: the other end is closed.
                var ends: [Int32] = [-1, -1]
                pipe(&ends)
                close(ends[1])
                _ = Busy(lane: lane, descriptor: ends[0], share: share) {
                    usleep(500)
                    let count = served.withLock { list in
                        list.append(name)
                        return list.count
                    }
                    turns.withLock { $0 = (count == 1 ? lane.turns : $0.first, lane.turns) }
                    if count == 101 { done.signal() }
                }
            }
            for _ in 0..<100 { add("loud", loud) }
            add("quiet", quiet)
        }
        done.wait()
        lane.stop()
        lane.join()
        let place = served.withLock { $0.firstIndex(of: "quiet") }
        #expect(place == 1, "its turn comes behind one of the other's")
        let (first, last) = turns.withLock { $0 }
        #expect(last - first >= 10, "101 sockets of half a millisecond are not the work of one turn")
    }

    /// Each byte is an event.
    private struct BytesMachine: Machine, ~Copyable {
        let isFinished = false
        let deadline: Instant? = nil
        let wantsInput = true

        mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> UInt8? {
            guard input.count > 0 else { return nil }
            input.consume(1)
            return 1
        }
        mutating func inputEnded(at now: Instant) -> UInt8? { nil }
        mutating func advance(to now: Instant) -> UInt8? { nil }
        mutating func transmit(into output: inout ByteBuffer, at now: Instant) {}
    }

    @Test func `many small events of one connection are not the work of one turn`() async throws {
        let lane = try #require(try Lane.start(count: 1, name: "events").first)
        let count = 800
        let turns: Int = await on(lane) { done in
            var seen = 0
            var first: UInt64 = 0
            var kept: [AnyObject] = []
            do {
                let listener = try Listener(
                    lane: lane, address: .ipv4(0x7F00_0001, port: 0), machine: { _ in BytesMachine() },
                    onAccept: { channel in
                        kept.append(channel)
                        channel.onClose = { _, _ in if seen < count { done(-3) } }
                        channel.onEvent = { _, _ in
                            usleep(100)
                            seen += 1
                            if seen == 1 { first = lane.turns }
                            if seen == count { done(Int(lane.turns - first)) }
                        }
                    })
                kept.append(listener)
                let pool = ConnectionPool(
                    lane: lane, endpoint: .host("127.0.0.1", port: listener.address.port), tls: nil,
                    limits: PoolLimits(),
                    machine: { _ in CollectMachine() })
                kept.append(pool)
                pool.lease { result in
                    guard case .success(let channel) = result else { return done(-1) }
                    // Its end comes with its bytes, and does not overtake them.
                    channel.machine.toSend.append([UInt8](repeating: 1, count: count))
                    channel.close()
                }
            } catch { done(-2) }
        }
        // 16 events of 0.1 ms are more than any turn should last. The bytes may arrive in two pieces.
        #expect(turns >= count / 16 - 3)
        lane.stop()
        lane.join()
    }
}
