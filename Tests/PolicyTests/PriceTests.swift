// Prices: exact for each kind of token, rounded once, never free by mistake; and versions that name content.
import Core
import Foundation
import Policy
import Testing

@Suite struct PriceTests {
    @Test func `prices are exact, rounded once, and a missing one is not free`() throws {
        let text = try String(contentsOf: ConfigurationTests.root.appending(path: "prices.csv"), encoding: .utf8)
        let (prices, problems) = PriceList.parse(text, file: "prices.csv")
        #expect(problems == [])
        let luna = try #require(prices["gpt-6-luna"])
        #expect(
            luna
                == ModelPrice(
                    .init(input: 100_000, output: 500_000, cachedInput: 10_000, cacheWrite: 125_000),
                    longPrompt: .init(
                        threshold: 272_000, rates: .init(input: 200_000, output: 750_000, cachedInput: 20_000))))
        #expect(luna.cost(1_000, 500) == 350)
        #expect(luna.cost(1_000, 0, cached: 1_000) == 10)
        // 5 tokens at 100,000 pico-USD are exactly half a micro-USD: to even, so 0; 15 tokens are one and a half: 2.
        #expect(luna.cost(5, 0) == 0)
        #expect(luna.cost(15, 0) == 2)
        // A long prompt has its own rates for every token, from the first one above the threshold.
        #expect(luna.cost(272_000, 1_000, cached: 100_000) == 17_200 + 1_000 + 500)
        #expect(luna.cost(272_001, 1_000, cached: 100_001) == 34_400 + 2_000 + 750)
        // More cached than prompt tokens, or negative counts, are a provider's mistake and cost what is there.
        #expect(luna.cost(1_000, -5, cached: 2_000, written: 9) == 10)
        #expect(ModelPrice(.init(input: 1_000_000, output: 1)).cost(.max, .max) == .max)
    }

    static let columns = ConfigurationTests.columns
    static let lists: [(text: String, models: [String], problems: [String])] = [
        (columns + "a,,\nb,1,2\nc,0,0\nd,1,\ne,,1\nf,0,1\n", ["b", "f"], []),
        (
            columns + "b,300,1\nc,1,2\n", ["c"],
            ["p:2:1: 300 dollars per million tokens in input_usd_per_mtok cannot be believed"]
        ),
        (columns + "b,1,2,3\nc,1,2\n", ["c"], ["p:2:1: expected 3 cells, found 4"]),
        (columns + "c,1,2\nc,1,3\n", ["c"], ["p:3:1: 'c' stands twice"]),
        (
            columns + "b,1,0.0000001\nb,x,1\n", [],
            [
                "p:2:1: expected dollars with at most 6 decimals in output_usd_per_mtok, found '0.0000001'",
                "p:3:1: expected dollars with at most 6 decimals in input_usd_per_mtok, found 'x'",
            ]
        ),
        (columns.replacingOccurrences(of: "\n", with: "\r\n") + "c,1,2\r\n\r\n", ["c"], []),
        ("mode,model,output_usd_per_mtok,input_usd_per_mtok\nembedding,e,,1\nchat,c,,1\n", ["e"], []),
        ("name,price\nb,1\n", [], ["p:1:1: expected the columns model, input_usd_per_mtok, output_usd_per_mtok"]),
        (
            "model,input_usd_per_mtok,output_usd_per_mtok,tier_threshold_tokens\nb,1,2,many\nc,1,2,\n", ["c"],
            ["p:2:1: expected a number of tokens in tier_threshold_tokens, found 'many'"]
        ),
        ("", [], ["p:1:1: expected a heading line with the names of the columns"]),
    ]

    @Test(arguments: lists) func `a price list gives what it knows and tells what is wrong`(
        _ text: String, _ models: [String], _ problems: [String]
    ) {
        let (prices, found) = PriceList.parse(text, file: "p")
        #expect(prices.keys.sorted() == models)
        #expect(found.map(\.description) == problems)
    }

    @Test func `each kind of token has its own rate, and parts are never charged twice`() {
        let price = ModelPrice(
            .init(
                input: 1_000_000, output: 8_000_000, cachedInput: 100_000, cacheWrite: 1_250_000, reasoning: 2_000_000))
        #expect(price.cost(100, 50) == 100 + 400)
        #expect(price.cost(100, 0, cached: 40, written: 20) == 40 + 4 + 25)
        #expect(price.cost(0, 50, reasoning: 30) == 20 * 8 + 30 * 2)
        #expect(price.cost(0, 10, reasoning: 99) == 20, "no more thinking than answer")
        #expect(price.cost(100, 0, cached: 90, written: 90) == 22, "9 and 12.5: half to even, once")
        // What a list does not say is the plain rate of the same side.
        let plain = ModelPrice(.init(input: 3_000_000, output: 5_000_000))
        #expect(plain.cost(10, 10, cached: 5, written: 5, reasoning: 10) == 30 + 50)
    }

    /// Rational arithmetic of another kind: whole and rest are kept apart by hand, token by token kind.
    @Test func `costs are exact over the whole range of tokens and rates`() {
        var chance = Chance(seed: 7)
        for _ in 0..<20_000 {
            func rate() -> Int64 { Int64(chance.next() % 200_000_001) }
            let rates = ModelPrice.Rates(
                input: rate(), output: rate(), cachedInput: rate(), cacheWrite: rate(), reasoning: rate())
            let count = { Int64(chance.next() % 2_097_152) }
            let (plain, cached, written, shown, thought) = (count(), count(), count(), count(), count())
            let tokens = TokenCounts(
                input: plain + cached + written, cached: cached, cacheWrite: written, output: shown + thought,
                reasoning: thought)
            var micro: UInt64 = 0
            var pico: UInt64 = 0
            for (number, rate) in [
                (plain, rates.input), (cached, rates.cachedInput), (written, rates.cacheWrite), (shown, rates.output),
                (thought, rates.reasoning),
            ] {
                let product = UInt64(number) * UInt64(rate)
                micro += product / 1_000_000
                pico += product % 1_000_000
            }
            micro += pico / 1_000_000
            pico %= 1_000_000
            if pico > 500_000 || pico == 500_000 && micro % 2 == 1 { micro += 1 }
            #expect(ModelPrice(rates).cost(of: tokens).amount == Int64(micro))
        }
    }

    @Test func `a version names content: the same prices have the same one, wherever they come from`() throws {
        let list = "model,input_usd_per_mtok,output_usd_per_mtok\na,1,2\nb,3,4\n"
        let prices = PriceList.parse(list, file: "p").prices
        let version = PriceVersion(of: prices)
        #expect("\(version)".count == 16 && PriceVersion(version.number) == version)
        let other = "mode,output_usd_per_mtok,model,input_usd_per_mtok\nchat,4,b,3.000\nchat,2,a,1\n"
        #expect(PriceVersion(of: PriceList.parse(other, file: "q").prices) == version)
        var snapshot = ClusterSnapshot()
        snapshot.prices = prices
        #expect(ClusterSnapshot.decode(snapshot.records).0.priceVersion == version, "as a node computes it")
        // One rate of one model, its last digit; a tier; a name; a model more.
        var versions: Set<PriceVersion> = [version, PriceVersion(of: [:])]
        var changed = prices
        changed["a"]?.rates.reasoning += 1
        versions.insert(PriceVersion(of: changed))
        changed["a"]?.longPrompt = .init(threshold: 5, rates: .init(input: 1, output: 1))
        versions.insert(PriceVersion(of: changed))
        changed["c"] = changed.removeValue(forKey: "b")
        versions.insert(PriceVersion(of: changed))
        changed["b"] = changed["c"]
        versions.insert(PriceVersion(of: changed))
        #expect(versions.count == 6)
    }
}

extension ModelPrice {
    fileprivate func cost(
        _ input: Int64, _ output: Int64, cached: Int64 = 0, written: Int64 = 0, reasoning: Int64 = 0
    ) -> Int64 {
        cost(of: TokenCounts(input: input, cached: cached, cacheWrite: written, output: output, reasoning: reasoning))
            .amount
    }
}
