// What a node tells of its targets: everything once, of all lanes, those with the most to tell first.
import Core
import Policy
import Testing
import Wire

@testable import Node

@Suite struct TargetActivityTests {
    private static func reading(
        _ successes: Int = 0, _ failures: Int = 0, inFlight: Int = 0, breaker: BreakerRecord.State = .closed
    ) -> TargetActivity.Reading {
        var tally = TargetTally()
        for _ in 0..<successes { tally.note(.success) }
        for _ in 0..<failures { tally.note(.failure) }
        return TargetActivity.Reading(tally: tally, inFlight: inFlight, breaker: breaker)
    }

    @Test func `lanes add up, and what was told is not told again`() {
        let activity = TargetActivity()
        activity.add(["a/m": Self.reading(3, 1, inFlight: 2), "idle/m": Self.reading()], of: 0)
        activity.add(["a/m": Self.reading(4, 0, inFlight: 1)], of: 1)
        let told = activity.news(room: 80)
        #expect(told == [Report.Target(name: "a/m", inFlight: 3, successes: 7, failures: 1)])
        #expect(activity.news(room: 80) == told, "nobody was there to hear it")
        activity.wereTold(told)
        #expect(activity.news(room: 80) == [Report.Target(name: "a/m", inFlight: 3)])
        activity.add(["a/m": Self.reading(1)], of: 0)
        activity.add(["a/m": Self.reading()], of: 1)
        #expect(activity.news(room: 80) == [Report.Target(name: "a/m", successes: 1)])
    }

    @Test func `what has no room waits, and comes with what is added to it`() {
        let activity = TargetActivity()
        activity.add(["a/m": Self.reading(2), "b/m": Self.reading(3), "c/m": Self.reading(1)], of: 0)
        let first = activity.news(room: 2)
        #expect(first.map(\.name) == ["b/m", "a/m"])
        activity.wereTold(first)
        activity.add(["a/m": Self.reading(2), "b/m": Self.reading(1), "c/m": Self.reading(3)], of: 0)
        let second = activity.news(room: 2)
        #expect(second.map(\.name) == ["c/m", "a/m"] && second[0].successes == 4)
        #expect(activity.news(room: 0).isEmpty && activity.news(room: -3).isEmpty)
    }

    @Test func `a target that a breaker keeps requests from is told, though nobody uses it`() {
        let activity = TargetActivity()
        activity.add(["a/m": Self.reading(breaker: .open), "b/m": Self.reading(breaker: .halfOpen)], of: 0)
        activity.add(["a/m": Self.reading(breaker: .halfOpen), "b/m": Self.reading()], of: 1)
        let votes = Dictionary(uniqueKeysWithValues: activity.news(room: 80).map { ($0.name, $0.vote) })
        #expect(votes == ["a/m": .open, "b/m": .halfOpen])
    }
}
