// Signals on a lane, asked for from another thread, as programs do at their start.
import Core
import Foundation
import Net
import Testing

@Suite struct SignalTests {
    /// What a lane watches is in a table that its thread changes at the same time: watched from another thread, one of two objects took the
    /// other's place, and a program that had just started did not hear its listener.
    @Test func aSignalIsHeardOnItsLaneWhoeverAsksForIt() async throws {
        let lane = try #require(try Lane.start(count: 1, name: "signals").first)
        defer { lane.stop() }
        let heard = AsyncStream<(number: Int32, isOnLane: Bool)>.makeStream()
        let signals = try Signals(lane: lane) { number in heard.continuation.yield((number, lane.isCurrent)) }
        // To the lane's own thread, which blocks it and reads it: nobody else of this process hears of it.
        lane.execute {
            Signals.blockAllFirst()
            pthread_kill(pthread_self(), SIGUSR1)
        }
        var numbers = heard.stream.makeAsyncIterator()
        let first = try #require(await numbers.next())
        #expect(first.number == SIGUSR1 && first.isOnLane)
        withExtendedLifetime(signals) {}
    }
}
