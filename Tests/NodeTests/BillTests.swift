// What an attempt came to: on the left how it ended, on the right tokens, cost and where the figures come from.
import Core
import Policy
import Testing
import Wire

@testable import Node
@testable import Providers

@Suite struct BillTests {
    /// An outcome in words, and what it is billed at: 1 micro-USD an input token, 2 an output token, 100 and 50 tokens reserved.
    private static func bill(_ words: String, isStream: Bool = true, hasPrice: Bool = true) -> String {
        var outcome = UpstreamOutcome()
        outcome.wasSent = true
        for word in words.split(separator: " ") {
            let parts = word.split(separator: "=")
            let value = parts.count > 1 ? Int64(parts[1]) ?? 0 : 0
            switch parts[0] {
            case "unsent": outcome.wasSent = false
            case "says-input": outcome.end.reported.input = value
            case "says-output":
                outcome.end.reported.output = value
                outcome.end.outputWhenReported = outcome.end.output
            case "came":
                outcome.hasContent = true
                for _ in 0..<value { outcome.end.output.note(4) }
            case "cancelled": outcome.failure = ProviderFailure(.cancelled)
            case "timeout": outcome.failure = ProviderFailure(.timeout)
            case "limited": outcome.failure = ProviderFailure(.rateLimited, status: 429)
            case "error": outcome.failure = ProviderFailure(.serverError, status: 500)
            case "late-error": outcome.failure = ProviderFailure(.timeout, status: 503)
            default: Issue.record("no such word: \(word)")
            }
        }
        let price = ModelPrice(ModelPrice.Rates(input: 1_000_000, output: 2_000_000))
        let reserved = QuotaUse(inputTokens: 100, outputTokens: 50, microUSD: 1_000)
        return text(Bill(of: outcome, reserved: reserved, isStream: isStream, price: hasPrice ? price : nil))
    }

    private static func text(_ bill: Bill) -> String {
        let source = bill.provenance.map { "\($0)" } ?? "nobody"
        return "\(bill.usage.inputTokens)+\(bill.usage.outputTokens) \(bill.cost.amount) \(source)"
    }

    @Test func `what was never sent costs nothing, whatever it says`() {
        #expect(Self.bill("unsent") == "0+0 0 nobody")
        #expect(Self.bill("unsent timeout") == "0+0 0 nobody")
        #expect(Self.bill("unsent says-input=7 says-output=5") == "0+0 0 nobody")
    }

    @Test func `the provider's figures count where it gave both`() {
        #expect(Self.bill("came=9 says-input=7 says-output=5") == "7+5 17 provider")
        #expect(Self.bill("came=9 says-input=7 says-output=5 cancelled") == "7+5 17 provider")
    }

    @Test func `a whole answer without figures is counted, its prompt as it was reserved`() {
        let whole = Self.bill("came=30")
        #expect(whole.hasSuffix("counted") && whole.hasPrefix("100+"), "\(whole)")
    }

    @Test func `an answer that broke off is counted as far as it came`() {
        let part = Self.bill("came=30 error")
        #expect(part.hasSuffix("partial") && part.hasPrefix("100+"), "\(part)")
        #expect(part.split(separator: " ").first == Self.bill("came=30").split(separator: " ").first)
    }

    @Test func `an answer without a word is an answer`() {
        #expect(Self.bill("") == "100+0 100 counted")
    }

    @Test func `a stream that we gave up before its first word costs its prompt`() {
        #expect(Self.bill("timeout") == "100+0 100 estimated")
        #expect(Self.bill("cancelled") == "100+0 100 estimated")
    }

    @Test func `a whole answer that we gave up may be made already`() {
        #expect(Self.bill("timeout", isStream: false) == "100+50 200 estimated")
        #expect(Self.bill("cancelled", isStream: false) == "100+50 200 estimated")
    }

    @Test func `a provider that refused bills nothing`() {
        for isStream in [true, false] {
            #expect(Self.bill("limited", isStream: isStream) == "0+0 0 nobody")
            #expect(Self.bill("error", isStream: isStream) == "0+0 0 nobody")
            #expect(
                Self.bill("late-error", isStream: isStream) == "0+0 0 nobody", "its error was read until we gave up")
        }
    }

    @Test func `a model without a price costs nothing, and its tokens count`() {
        #expect(Self.bill("came=9 says-input=7 says-output=5", hasPrice: false) == "7+5 0 provider")
    }

    @Test func `what the client is told of the figures is less than the ledger keeps`() {
        var bill = Bill()
        #expect(bill.source == nil)
        for (provenance, source) in [
            (Provenance.provider, UsageSource.provider), (.counted, .counted), (.partial, .counted),
            (.estimated, .estimated),
        ] {
            bill.provenance = provenance
            #expect(bill.source == source)
        }
    }

    // MARK: - Several attempts

    private static func entry(input: Int64, output: Int64, microUSD: Int64) -> LedgerEntry {
        LedgerEntry(
            provider: "a", model: "m", tokens: TokenCounts(input: input, output: output), microUSD: microUSD,
            priceVersion: PriceVersion(1), provenance: .partial, outcome: "OK")
    }

    @Test func `a request with one attempt costs what that costs`() {
        var bill = Bill()
        (bill.usage.inputTokens, bill.cost, bill.provenance) = (7, MicroUSD(17), .provider)
        #expect(Self.text(bill.with([])) == "7+0 17 provider")
        #expect(Self.text(Bill().with([])) == "0+0 0 nobody")
    }

    @Test func `a request costs all of its attempts`() {
        var bill = Bill()
        (bill.usage.inputTokens, bill.usage.outputTokens) = (7, 5)
        (bill.cost, bill.provenance) = (MicroUSD(17), .provider)
        let earlier = [
            Self.entry(input: 10, output: 1, microUSD: 12), Self.entry(input: 20, output: 2, microUSD: 24),
        ]
        #expect(Self.text(bill.with(earlier)) == "37+8 53 provider")
        #expect(bill.with(earlier).use == QuotaUse(inputTokens: 37, outputTokens: 8, microUSD: 53))
    }

    @Test func `what only earlier attempts cost is an estimate of the whole`() {
        #expect(Self.text(Bill().with([Self.entry(input: 10, output: 1, microUSD: 12)])) == "10+1 12 estimated")
    }
}
