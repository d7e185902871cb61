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
            estimates.observe(model: "m", feature: "title", bodyBytes: 300, inputTokens: 100, outputTokens: short)
            estimates.observe(model: "m", feature: "essay", bodyBytes: 300, inputTokens: 100, outputTokens: long)
        }
        let title = estimates.outputTokens(model: "m", feature: "title", limit: 4_096)
        let essay = estimates.outputTokens(model: "m", feature: "essay", limit: 4_096)
        #expect((75...100).contains(title), "\(title)")
        #expect((1_700...2_050).contains(essay), "\(essay)")
        #expect(estimates.outputTokens(model: "m", feature: "essay", limit: 50) == 50)
        #expect(estimates.outputTokens(model: "m", feature: "new", limit: 4_096) > 500, "begins as the model's")
        #expect((98...102).contains(estimates.inputTokens(model: "m", bodyBytes: 300)))
        #expect(estimates.inputTokens(model: "other", bodyBytes: 300) == 75)
        #expect(estimates.inputTokens(model: "other", bodyBytes: 0) == 1)
    }

    @Test func `features that clients invent without end cost no more memory, and learn nothing`() {
        let estimates = TokenEstimates()
        for number in 0..<(TokenEstimates.placeLimit + 100) {
            estimates.observe(model: "m", feature: "f\(number)", bodyBytes: 4, inputTokens: 1, outputTokens: 1)
        }
        let last = "f\(TokenEstimates.placeLimit + 99)"
        let known = estimates.outputTokens(model: "m", feature: last, limit: 1_000_000)
        for _ in 0..<500 {
            estimates.observe(model: "n", feature: last, bodyBytes: 4, inputTokens: 1, outputTokens: 900_000)
        }
        #expect(estimates.outputTokens(model: "m", feature: last, limit: 1_000_000) == known)
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
