// The loop itself: timers, work from other threads, async work that stays at home, the pool.
import Core
import Foundation
import Net
import Testing

@Suite struct LaneTests {
    @Test func `timers fire in order, and cancelled ones never`() async throws {
        let lane = try Lane.start(count: 1, name: "test")[0]
        let fired: [Int] = await on(lane) { done in
            var fired: [Int] = []
            var cancelled: [LaneTimer] = []
            for number in [5, 1, 4, 2, 3, 9, 8] {
                let timer = lane.schedule(after: .milliseconds(number * 10)) { fired.append(number) }
                if number > 7 { cancelled.append(timer) }
            }
            for timer in cancelled { timer.cancel() }
            lane.schedule(after: .milliseconds(120)) { done(fired) }
        }
        #expect(fired == [1, 2, 3, 4, 5])
        lane.stop()
        lane.join()
    }

    @Test func `work from many threads arrives, each piece once`() async throws {
        let lane = try Lane.start(count: 1, name: "test")[0]
        nonisolated(unsafe) var count = 0
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<5_000 { lane.execute { count += 1 } } }
            }
        }
        #expect(await on(lane) { $0(count) } == 40_000)
        lane.stop()
    }

    @Test func `spawned work stays on its lane after every suspension`() async throws {
        let lane = try Lane.start(count: 1, name: "test")[0]
        let home: [Bool] = await withCheckedContinuation { done in
            lane.spawn {
                var home = [lane.isCurrent]
                for delay in 1...5 {
                    await withCheckedContinuation { (resumed: CheckedContinuation<Void, Never>) in
                        lane.schedule(after: .milliseconds(delay)) { resumed.resume() }
                    }
                    home.append(lane.isCurrent)
                }
                done.resume(returning: home)
            }
        }
        #expect(home == [Bool](repeating: true, count: 6))
        lane.stop()
    }

    @Test func `a pool reuses connections, bounds them, and forgets dead ones`() async throws {
        let lane = try Lane.start(count: 1, name: "test")[0]
        nonisolated(unsafe) var accepted: [Channel<EchoMachine>] = []
        let listener = try Listener(
            lane: lane, address: .ipv4(0x7F00_0001, port: 0), machine: { _ in EchoMachine() },
            onAccept: { accepted.append($0) })
        var limits = PoolLimits()
        limits.connections = 2
        limits.waiters = 1
        let pool = OnLane(
            ConnectionPool(
                lane: lane, endpoint: .host("127.0.0.1", port: listener.address.port), tls: nil, limits: limits,
                machine: { _ in CollectMachine() }))
        typealias Lease = Result<Channel<CollectMachine>, PoolFailure>
        let first: Lease = await on(lane) { done in pool.value.lease { done($0) } }
        let second: Lease = await on(lane) { done in pool.value.lease { done($0) } }
        #expect(await on(lane) { $0(pool.value.size) } == 2)
        let full: (Lease, Lease) = await on(lane) { done in
            // The bound is reached: one request waits, the next is refused, the first gets the returned connection.
            var refused: Lease?
            pool.value.lease { waited in if let refused { done((waited, refused)) } }
            pool.value.lease { refused = $0 }
            if case .success(let channel) = first { pool.value.giveBack(channel) }
        }
        guard case .failure(.full) = full.1, case .success(let reused) = full.0, case .success(let other) = second
        else {
            Issue.record("expected one reuse and one refusal, got \(full)")
            return
        }
        let left: [Bool] = await on(lane) { done in
            // Whoever left the queue has no place in it, however many leave.
            let admitted = (0..<100).map { _ in
                let wait = pool.value.lease { _ in }
                wait?.cancel()
                wait?.cancel()
                return wait != nil
            }
            done(admitted + [pool.value.waiters == 0])
        }
        #expect(left.allSatisfy { $0 })
        let again: Bool = await on(lane) { done in
            pool.value.giveBack(reused)
            pool.value.giveBack(other)
            for channel in accepted { channel.abort() }
            lane.schedule(after: .milliseconds(50)) { done(pool.value.size == 0 && pool.value.idleCount == 0) }
        }
        #expect(again)
        lane.stop()
    }
}
