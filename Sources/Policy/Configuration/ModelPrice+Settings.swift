// The settings of [price MODEL]: what tokens cost, for people as dollars a million tokens.
import Core

/// A `[price MODEL]` section as it stands: rates that are left out are those of another kind of token.
struct PriceSection: Sendable {
    /// Pico-USD a token.
    struct Rates: Sendable {
        var input: Int64?
        var output: Int64?
        var cachedInput: Int64?
        var cacheWrite: Int64?
        var reasoning: Int64?
    }

    var usual = Rates()
    var threshold: Int64?
    var long = Rates()

    static let schema = SectionSchema(
        "price", form: "[price MODEL]", initial: PriceSection(), settings, rules: check)

    private static let settings: [Setting<PriceSection>] = [
        Setting("input", optional: \.usual.input, .input, .needed, by: .node, "tokens of the prompt"),
        Setting(
            "output", optional: \.usual.output, .output, .needed, by: .node, "tokens of the answer, reasoning included"),
        Setting(
            "cached-input", optional: \.usual.cachedInput, .input, .words("`input`"), by: .node,
            "prompt tokens read from the provider's cache"),
        Setting(
            "cache-write", optional: \.usual.cacheWrite, .input, .words("`input`"), by: .node,
            "prompt tokens written to the provider's cache"),
        Setting(
            "reasoning", optional: \.usual.reasoning, .output, .words("`output`"), by: .node,
            "tokens of the answer that were thinking"),
        Setting(
            "long-prompt", optional: \.threshold, .number(1...10_000_000), by: .node,
            "tokens; a longer prompt has the rates below for **all** its tokens"),
        Setting(
            "long-input", optional: \.long.input, .input, .words("needed with `long-prompt`"), by: .node,
            "as `input`"),
        Setting(
            "long-output", optional: \.long.output, .output, .words("needed with `long-prompt`"), by: .node,
            "as `output`"),
        Setting(
            "long-cached-input", optional: \.long.cachedInput, .input, .words("`long-input`"), by: .node,
            "as `cached-input`"),
        Setting(
            "long-cache-write", optional: \.long.cacheWrite, .input, .words("`long-input`"), by: .node,
            "as `cache-write`"),
        Setting(
            "long-reasoning", optional: \.long.reasoning, .output, .words("`long-output`"), by: .node, "as `reasoning`"),
    ]

    @Sendable private static func check(_ section: inout PriceSection, _ reader: inout SectionReader) {
        let keys = reader.section.entries.map(\.key).filter { $0.hasPrefix("long-") }
        guard let first = keys.first else { return }
        if !["long-prompt", "long-input", "long-output"].allSatisfy(keys.contains) {
            reader.report("expected 'long-prompt', 'long-input' and 'long-output' together", at: first)
        }
    }
}

extension PriceSection {
    /// The section that says all of a price.
    init(_ price: ModelPrice) {
        usual = Rates(price.rates)
        threshold = price.longPrompt?.threshold
        if let longPrompt = price.longPrompt { long = Rates(longPrompt.rates) }
    }

    /// The price that the section stands for; nil when it has none.
    var price: ModelPrice? {
        guard let rates = usual.completed else { return nil }
        guard let threshold, let long = long.completed else { return ModelPrice(rates) }
        return ModelPrice(rates, longPrompt: ModelPrice.LongPrompt(threshold: threshold, rates: long))
    }
}

extension PriceSection.Rates {
    init(_ rates: ModelPrice.Rates) {
        self.init(
            input: rates.input, output: rates.output, cachedInput: rates.cachedInput, cacheWrite: rates.cacheWrite,
            reasoning: rates.reasoning)
    }

    var completed: ModelPrice.Rates? {
        guard let input, let output else { return nil }
        return ModelPrice.Rates(
            input: input, output: output, cachedInput: cachedInput, cacheWrite: cacheWrite, reasoning: reasoning)
    }
}

extension ValueForm where Value == Int64 {
    fileprivate static var input: ValueForm { rate(upTo: ModelPrice.believableInput) }
    fileprivate static var output: ValueForm { rate(upTo: ModelPrice.believableOutput) }

    /// `$0.10 / 1M tokens` in pico-USD a token.
    private static func rate(upTo believable: Int64) -> ValueForm {
        ValueForm(
            words: "price, to `$\(believable / 1_000_000) / 1M tokens`",
            read: { text throws(ValueProblem) in
                let words = text.split(separator: " ").map(String.init)
                guard words.count == 4, words[1...] == ["/", "1M", "tokens"] else {
                    throw ValueProblem("expected a price such as '$0.10 / 1M tokens', found '\(text)'")
                }
                // Micro-USD a million tokens are pico-USD a token.
                let rate = try ConfigurationValue.money(words[0]).amount
                guard rate <= believable else {
                    throw ValueProblem("\(words[0]) per million tokens cannot be believed")
                }
                return rate
            }, write: { "\(MicroUSD($0)) / 1M tokens" })
    }
}
