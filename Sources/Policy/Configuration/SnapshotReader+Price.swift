// Reads [price MODEL] sections: what tokens cost, for people as dollars a million tokens.
import Core

extension SnapshotReader {
    mutating func price(_ reader: inout SectionReader) {
        let usual = rates("", &reader)
        let long = longPrompt(&reader)
        for key in ["input", "output"] where !reader.section.entries.contains(where: { $0.key == key }) {
            reader.report("[price \(reader.section.name)] needs '\(key)'", at: reader.section.position)
        }
        guard let usual else { return }
        snapshot.prices[reader.section.name] = ModelPrice(usual, longPrompt: long)
    }

    /// The rates whose keys begin with `prefix`; nil when the rate of input or output is not there or wrong.
    private func rates(_ prefix: String, _ reader: inout SectionReader) -> ModelPrice.Rates? {
        let input = reader.optional("\(prefix)input", SnapshotReader.inputRate)
        let output = reader.optional("\(prefix)output", SnapshotReader.outputRate)
        let cached = reader.optional("\(prefix)cached-input", SnapshotReader.inputRate)
        let written = reader.optional("\(prefix)cache-write", SnapshotReader.inputRate)
        let reasoning = reader.optional("\(prefix)reasoning", SnapshotReader.outputRate)
        guard let input, let output else { return nil }
        return ModelPrice.Rates(
            input: input, output: output, cachedInput: cached, cacheWrite: written, reasoning: reasoning)
    }

    /// Rates of long prompts: all of them, or none.
    private func longPrompt(_ reader: inout SectionReader) -> ModelPrice.LongPrompt? {
        let threshold = reader.number("long-prompt", in: 1...10_000_000)
        let rates = rates("long-", &reader)
        let keys = reader.section.entries.map(\.key).filter { $0.hasPrefix("long-") }
        guard let first = keys.first else { return nil }
        if !["long-prompt", "long-input", "long-output"].allSatisfy(keys.contains) {
            reader.report(
                "expected 'long-prompt', 'long-input' and 'long-output' together", at: reader.position(of: first))
        }
        guard let threshold, let rates else { return nil }
        return ModelPrice.LongPrompt(threshold: Int64(threshold), rates: rates)
    }

    private static func inputRate(_ text: String) throws(ValueProblem) -> Int64 {
        try rate(text, believable: ModelPrice.believableInput)
    }

    private static func outputRate(_ text: String) throws(ValueProblem) -> Int64 {
        try rate(text, believable: ModelPrice.believableOutput)
    }

    /// `$0.10 / 1M tokens` in pico-USD a token.
    private static func rate(_ text: String, believable: Int64) throws(ValueProblem) -> Int64 {
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 4, words[1...] == ["/", "1M", "tokens"] else {
            throw ValueProblem("expected a price such as '$0.10 / 1M tokens', found '\(text)'")
        }
        // Micro-USD a million tokens are pico-USD a token.
        let rate = try ConfigurationValue.money(words[0]).amount
        guard rate <= believable else { throw ValueProblem("\(words[0]) per million tokens cannot be believed") }
        return rate
    }
}
