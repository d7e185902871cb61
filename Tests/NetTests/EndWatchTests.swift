// A lane that hangs when its program should end.
import Foundation
import Testing

@testable import Net

@Suite struct EndWatchTests {
    /// Sends a signal to the thread that receives them, which alone reads it: nobody else of this process notices.
    private func send(_ number: Int32, to ending: EndWatch) {
        ending.own.execute {
            Signals.blockAllFirst()
            pthread_kill(pthread_self(), number)
        }
    }

    @Test func `a lane that hangs after a signal to end is told of, and one that runs is not`() async throws {
        let lane = try Lane.start(count: 1, name: "ending")[0]
        defer { lane.stop() }
        let said = AsyncStream<String>.makeStream()
        // Longer than the second in which a lane without work makes its turn, over all looks.
        let ending = try EndWatch(
            lane, every: .milliseconds(300), onSignal: { said.continuation.yield("signal \($0)") },
            onHang: { said.continuation.yield("hangs") })
        defer { ending.own.stop() }
        var words = said.stream.makeAsyncIterator()
        send(SIGHUP, to: ending)
        #expect(await words.next() == "signal 1")
        send(SIGTERM, to: ending)
        #expect(await words.next() == "signal 15")
        let gate = DispatchSemaphore(value: 0)
        lane.execute { gate.wait() }
        // A second one is not heard by a lane that hangs; the watch needs none.
        #expect(await words.next() == "hangs")
        gate.signal()
    }

    @Test func `a lane that has ended does not hang`() async throws {
        let lane = try Lane.start(count: 1, name: "ended")[0]
        let said = AsyncStream<String>.makeStream()
        let ending = try EndWatch(
            lane, every: .milliseconds(5), onSignal: { _ in lane.stop() },
            onHang: { said.continuation.yield("hangs") })
        defer { ending.own.stop() }
        send(SIGTERM, to: ending)
        lane.join()
        // More looks than the watch has patience.
        ending.schedule(after: .milliseconds(5 * LaneWatch.patience * 4)) { said.continuation.yield("looked") }
        var words = said.stream.makeAsyncIterator()
        #expect(await words.next() == "looked")
    }
}
