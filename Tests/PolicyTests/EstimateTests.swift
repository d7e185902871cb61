// What is learned from answers, and when a stream asks for more than was reserved.
import Core
import Policy
import Testing

@Suite struct EstimateTests {
    @Test func `a feature's answers are told apart from its model's, within nine of ten`() {
        let estimates = TokenEstimates()
        var chance = Chance(seed: 5)
        for _ in 0..<4_000 {
            let (short, long) = (Int64(chance.below(100)), 1_000 + Int64(chance.below(1_000)))
            for (feature, output) in [("title", short), ("essay", long)] {
                estimates.observe(
                    org: "a", model: "m", feature: feature, bodyBytes: 300, inputTokens: 100, outputTokens: output)
            }
        }
        let title = estimates.outputTokens(org: "a", model: "m", feature: "title", limit: 4_096)
        let essay = estimates.outputTokens(org: "a", model: "m", feature: "essay", limit: 4_096)
        #expect((75...100).contains(title), "\(title)")
        #expect((1_700...2_050).contains(essay), "\(essay)")
        #expect(estimates.outputTokens(org: "a", model: "m", feature: "essay", limit: 50) == 50)
        let new = estimates.outputTokens(org: "a", model: "m", feature: "new", limit: 4_096)
        #expect(new > 500, "begins as the model's")
        #expect((98...102).contains(estimates.inputTokens(org: "a", model: "m", bodyBytes: 300)))
        #expect(estimates.inputTokens(org: "a", model: "other", bodyBytes: 300) == 75)
        #expect(estimates.inputTokens(org: "a", model: "other", bodyBytes: 0) == 1)
    }

    @Test func `features that clients invent without end cost no more memory, and the longest unused is forgotten`() {
        let estimates = TokenEstimates()
        func feature(_ number: Int, org: String = "a", _ output: Int64 = 1) {
            estimates.observe(
                org: org, model: "m", feature: "f\(number)", bodyBytes: 4, inputTokens: 1, outputTokens: output)
        }
        for _ in 0..<500 { feature(0, 900_000) }
        func known(_ number: Int) -> Int64 {
            estimates.outputTokens(org: "a", model: "m", feature: "f\(number)", limit: 1_000_000)
        }
        let high = known(0)
        for number in 1..<TokenEstimates.placeLimit { feature(number) }
        #expect(known(0) == high)
        for number in 0..<(TokenEstimates.placeLimit - 1) { feature(-1 - number) }
        #expect(known(0) == high, "it was used since")
        for number in 0..<TokenEstimates.placeLimit { feature(10_000 + number) }
        #expect(known(0) < high / 10, "it is as its model now")
        #expect(known(10_000) < high / 10)
    }

    @Test func `what one org's answers teach says nothing about another's reservations`() {
        let estimates = TokenEstimates()
        func observe(_ org: String, _ output: Int64, bytes: Int) {
            estimates.observe(
                org: org, model: "m", feature: "f", bodyBytes: bytes, inputTokens: 100, outputTokens: output)
        }
        for _ in 0..<2_000 { observe("honest", 100, bytes: 400) }
        func honest() -> [Int64] {
            [
                estimates.outputTokens(org: "honest", model: "m", feature: "f", limit: 1_000_000),
                estimates.outputTokens(org: "honest", model: "m", feature: "new", limit: 1_000_000),
                estimates.inputTokens(org: "honest", model: "m", bodyBytes: 400),
            ]
        }
        let before = honest()
        for _ in 0..<5_000 { observe("hostile", 900_000, bytes: 1) }
        #expect(honest() == before)
        #expect(estimates.outputTokens(org: "new", model: "m", feature: "f", limit: 1_000_000) > 1_000, "the model's")
        observe("new", 100, bytes: 400)
        let first = estimates.inputTokens(org: "new", model: "m", bodyBytes: 400)
        for _ in 0..<200 { observe("new", 100, bytes: 400) }
        #expect(estimates.inputTokens(org: "new", model: "m", bodyBytes: 400) < first, "it learns its own")
    }

    @Test func `a stream asks before its reservation is used up, and waits when it is`() {
        var watch = OutputWatch(reserved: 100, most: 1_000)
        for _ in 0..<89 { #expect(watch.pass(4) == .goOn) }
        #expect(watch.pass(4) == .ask(outputTokens: 200))
        for _ in 91..<100 { #expect(watch.pass(4) == .goOn) }
        #expect(!watch.mustWait)
        #expect(watch.pass(4) == .wait)
        #expect(watch.mustWait)
        watch.mayGoOn()
        #expect(!watch.mustWait && watch.reserved == 200)
        #expect(watch.pass(4) == .goOn)
    }

    @Test func `a stream never asks for more than the request may use`() {
        var watch = OutputWatch(reserved: 100, most: 150)
        var asked: [Int64] = []
        for _ in 0..<400 {
            if case .ask(let total) = watch.pass(4) {
                asked.append(total)
                watch.mayGoOn()
            }
        }
        #expect(asked == [150])
        #expect(watch.counted == 400)
    }

    @Test func `pieces of several tokens are counted by their bytes`() {
        var watch = OutputWatch(reserved: 100, most: 10_000)
        #expect(watch.pass(1_000) == .ask(outputTokens: 314))
        #expect(watch.counted == 250 && watch.mustWait)
    }
}
