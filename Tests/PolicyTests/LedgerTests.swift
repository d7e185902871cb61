// Ledger records as bytes: everything comes back, and nothing else is taken for one.
import Core
import Policy
import Testing

@Suite struct LedgerTests {
    private let tenant = Tenant(org: "acme", team: "search", key: "k1", feature: "chat")
    private let id = Identifier128(high: .max, low: 1)

    private func entry(model: String = "gpt-6-luna", tokens: TokenCounts = TokenCounts(input: 5, output: 7))
        -> LedgerEntry
    {
        LedgerEntry(
            attempt: 255, provider: "sim", model: model, tokens: tokens, microUSD: Limit.maximumMicroUSDPerCall,
            priceVersion: PriceVersion(0x8000_0000_0000_0001), provenance: .partial, firstTokenMilliseconds: .max,
            durationMilliseconds: 0, outcome: "OK")
    }

    private func bytes(_ entry: LedgerEntry, stamp: [UInt8] = [1, 2, 3, 4, 5, 6, 7]) -> [UInt8] {
        var output = ByteBuffer()
        LedgerBytes.append(entry, id: id, tenant: tenant, to: &output)
        return stamp + output.array()
    }

    @Test func `a record comes back as it was, at the largest numbers and longest names`() throws {
        let most = Limit.maximumTokensPerCall / 2
        for entry in [
            entry(), entry(model: ""), entry(model: String(repeating: "é", count: 127)),
            entry(tokens: TokenCounts(input: most, cached: most, output: most, reasoning: most)),
        ] {
            let record = try #require(LedgerBytes.record(bytes(entry), org: "acme"))
            #expect(record.entry == entry && record.tenant == tenant && record.id == id)
            #expect(record.atMicroseconds == 0x0001_0203_0405_0607)
        }
        let long = LedgerBytes.record(bytes(entry(model: String(repeating: "m", count: 300))), org: "acme")
        #expect(long?.entry.model.utf8.count == 255)
    }

    @Test func `amounts are brought into their ranges`() {
        let entry = entry(tokens: TokenCounts(input: .max, cached: .max, cacheWrite: 5, output: -1, reasoning: 3))
        let most = Limit.maximumTokensPerCall / 2
        #expect(entry.tokens == TokenCounts(input: most, cached: most))
    }

    @Test func `a record that is cut, longer, or of an unknown provenance is none`() {
        let whole = bytes(entry())
        for length in 0..<whole.count { #expect(LedgerBytes.record(Array(whole.prefix(length)), org: "acme") == nil) }
        #expect(LedgerBytes.record(whole + [0], org: "acme") == nil)
        var wrong = whole
        wrong[7 + 16 + 15 + 6 + 1] = 9
        #expect(LedgerBytes.record(wrong, org: "acme") == nil)
    }
}
