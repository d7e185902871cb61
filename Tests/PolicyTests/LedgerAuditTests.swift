// The comparison of ledger and settlements at the edges of the time for which settlements are remembered.
import Core
import Testing

@testable import Policy

@Suite struct LedgerAuditTests {
    private static let now: Int64 = 1_800_000_000_000_000
    private static let minute: Int64 = 60_000_000
    private static let tenant = Tenant(org: "acme", team: "search", key: "k")

    /// An audit of one request, settled so long ago.
    private static func differences(_ age: Int64, isRecorded: Bool, isRemembered: Bool) -> [String] {
        var audit = LedgerAudit(org: "acme", asOf: now + minute, searchedFrom: now, isTrimmed: false)
        let id = Identifier128(high: 1, low: 2)
        let entry = LedgerEntry(
            provider: "sim", model: "m", tokens: TokenCounts(input: 10, output: 20), microUSD: 30,
            priceVersion: PriceVersion(1), provenance: .provider, outcome: "OK")
        if isRecorded {
            audit.take(LedgerRecord(atMicroseconds: now - age, id: id, tenant: tenant, entry: entry))
            var sums = UsageSums()
            sums.add(entry)
            audit.take(hour: (now - age) / (60 * minute), [UsagePlace(entry, of: tenant): sums])
        }
        if isRemembered {
            let use = QuotaUse(inputTokens: 10, outputTokens: 20, microUSD: 30)
            let request = LedgerAudit.Request(key: tenant.key, id: id)
            audit.take(settled: request, use: use, reservedAt: now - age - minute)
        }
        return audit.findings().filter { !$0.isEqual && !$0.isNote }.map(\.what)
    }

    @Test(arguments: [Int64(0), 30, 839, 841, 899])
    func `a settlement that is still remembered has its record, however old it is`(seconds: Int64) {
        let age = seconds * 1_000_000
        #expect(Self.differences(age, isRecorded: true, isRemembered: true).isEmpty)
        #expect(!Self.differences(age, isRecorded: false, isRemembered: true).isEmpty)
    }

    @Test func `a record without a settlement is a difference while settlements are remembered for sure`() {
        #expect(!Self.differences(30_000_000, isRecorded: true, isRemembered: false).isEmpty)
        #expect(Self.differences(899_000_000, isRecorded: true, isRemembered: false).isEmpty)
        #expect(Self.differences(3_600_000_000, isRecorded: true, isRemembered: false).isEmpty)
    }
}
