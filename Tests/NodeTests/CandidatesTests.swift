// Who may serve a request: which targets were asked, and which are to be asked next.
import Policy
import Testing

@testable import Node

@Suite struct CandidatesTests {
    private static func three() -> Candidates {
        Candidates(
            ["a", "b", "c"].map { LaneTarget(RouteTarget(provider: $0, model: "m", weight: 1)) }, prefix: nil)
    }

    private static func asked(_ candidates: Candidates) -> String {
        candidates.targets.indices.filter { candidates.isAsked($0) }.map { candidates.targets[$0].provider }.joined()
    }

    @Test func `at first nobody was asked`() {
        let candidates = Self.three()
        #expect(candidates.isFresh)
        #expect(Self.asked(candidates) == "")
    }

    @Test func `who was asked stays asked, in any order and however often`() {
        var candidates = Self.three()
        candidates.ask(2)
        #expect(Self.asked(candidates) == "c")
        candidates.ask(0)
        candidates.ask(2)
        #expect(Self.asked(candidates) == "ac")
        #expect(!candidates.isFresh)
    }

    @Test func `who was spared may be asked`() {
        var candidates = Self.three()
        candidates.ask(0)
        candidates.ask(1)
        candidates.spare(0)
        #expect(Self.asked(candidates) == "b")
        candidates.spare(1)
        #expect(candidates.isFresh)
    }

    @Test func `the thirty-second target is one like any other`() {
        let targets = (0..<32).map { LaneTarget(RouteTarget(provider: "p\($0)", model: "m", weight: 1)) }
        var candidates = Candidates(targets, prefix: nil)
        candidates.ask(31)
        #expect(candidates.isAsked(31))
        #expect(!candidates.isAsked(0))
    }
}
