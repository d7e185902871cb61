// One attempt that a provider may bill: what the ledger keeps of it.
import Core

/// Where the figures of a ledger entry come from, from exact to assumed.
public enum Provenance: UInt8, CaseIterable, Hashable, Sendable {
    /// The provider's own figures.
    case provider = 1
    /// A whole answer without the provider's figures: output counted as it passed, input by the ratio learned for the model.
    case counted
    /// As counted, and the answer broke off: the provider may have made more than arrived.
    case partial
    /// Nothing arrived, but the provider had the request and may bill it: as it was reserved.
    case estimated

    /// Its word in listings.
    public var name: String { "\(self)" }
}

/// One attempt, as its request's settlement hands it to the ledger.
public struct LedgerEntry: Hashable, Sendable {
    /// Which attempt of the request, from 1.
    public let attempt: UInt8
    /// The provider.
    public let provider: String
    /// The model, as the provider names it.
    public let model: String
    /// What was used; each kind at most `Limit.maximumTokensPerCall / 2`.
    public let tokens: TokenCounts
    /// What it cost, in micro-USD; at most `Limit.maximumMicroUSDPerCall`.
    public let microUSD: Int64
    /// The prices it was computed with.
    public let priceVersion: PriceVersion
    /// Where the figures come from.
    public let provenance: Provenance
    /// From the request's arrival to the first piece of the answer, in ms; 0 when none came.
    public let firstTokenMilliseconds: UInt32
    /// From the request's arrival to its end, in ms.
    public let durationMilliseconds: UInt32
    /// How the request ended: the word of the log and the metrics.
    public let outcome: String

    /// An entry; amounts are brought into their ranges, parts never exceed their totals.
    public init(
        attempt: UInt8 = 1, provider: String, model: String, tokens: TokenCounts, microUSD: Int64,
        priceVersion: PriceVersion, provenance: Provenance, firstTokenMilliseconds: UInt32 = 0,
        durationMilliseconds: UInt32 = 0, outcome: String
    ) {
        self.attempt = attempt
        self.provider = provider
        self.model = model
        let most = Limit.maximumTokensPerCall / 2
        self.tokens =
            TokenCounts(
                input: min(tokens.input, most), cached: tokens.cached, cacheWrite: tokens.cacheWrite,
                output: min(tokens.output, most), reasoning: tokens.reasoning
            ).consistent
        self.microUSD = min(max(0, microUSD), Limit.maximumMicroUSDPerCall)
        self.priceVersion = priceVersion
        self.provenance = provenance
        self.firstTokenMilliseconds = firstTokenMilliseconds
        self.durationMilliseconds = durationMilliseconds
        self.outcome = outcome
    }
}

/// An entry as the ledger keeps it: with whose it is, and when it was settled.
public struct LedgerRecord: Hashable, Sendable {
    /// Redis' clock at the settlement, in µs since the Unix epoch.
    public let atMicroseconds: Int64
    /// The request's idempotency key.
    public let id: Identifier128
    /// Whose it is. The stream itself belongs to the org.
    public let tenant: Tenant
    /// What was settled.
    public let entry: LedgerEntry

    /// A record.
    public init(atMicroseconds: Int64, id: Identifier128, tenant: Tenant, entry: LedgerEntry) {
        self.atMicroseconds = atMicroseconds
        self.id = id
        self.tenant = tenant
        self.entry = entry
    }
}
