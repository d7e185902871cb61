// What `Scripts/prove answers` prints of decoding: each answer in every split, and how many came out wrong.
import Foundation
import Testing

@testable import Providers

@Suite struct AnswerProof {
    @Test(.enabled(if: ProcessInfo.processInfo.environment["SLUICE_PROVE_ANSWERS"] != nil))
    func `no answer means something else than it should, in any split`() {
        var wrong = 0
        for answer in AnswerCase.all {
            guard let found = answer.firstWrong() else { continue }
            wrong += 1
            print("# \(answer.id): \(found)")
        }
        print("answers.wrong_of_\(AnswerCase.all.count) \(wrong) 0 \(wrong == 0 ? "ok" : "SHORT")")
        #expect(wrong == 0)
        let splits = AnswerCase.all.reduce(0) { $0 + $1.splits }
        print("answers.deliveries \(splits) 10000 \(splits >= 10_000 ? "ok" : "SHORT")")
        #expect(splits >= 10_000)
    }
}
