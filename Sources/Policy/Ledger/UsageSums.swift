// What many attempts came to, and how the sums are split.
import Core

/// Sums over attempts. Integers, exact below 2⁵³.
public struct UsageSums: Hashable, Sendable {
    /// Attempts.
    public var attempts: Int64 = 0
    /// Tokens by kind.
    public var tokens = TokenCounts()
    /// Money in micro-USD.
    public var microUSD: Int64 = 0

    /// Nothing.
    public init() {}

    /// Adds one attempt.
    public mutating func add(_ entry: LedgerEntry) {
        add(attempts: 1, entry.tokens, entry.microUSD)
    }

    /// Adds other sums.
    public mutating func add(_ other: UsageSums) { add(attempts: other.attempts, other.tokens, other.microUSD) }

    private mutating func add(attempts: Int64, _ more: TokenCounts, _ microUSD: Int64) {
        self.attempts += attempts
        tokens.input += more.input
        tokens.cached += more.cached
        tokens.cacheWrite += more.cacheWrite
        tokens.output += more.output
        tokens.reasoning += more.reasoning
        self.microUSD += microUSD
    }
}

/// By what sums of one org and hour are kept apart.
public struct UsagePlace: Hashable, Sendable, Comparable {
    /// The team.
    public let team: String
    /// The feature; empty when clients named none, `*` for those beyond `placeLimit` and `teamLimit`.
    public let feature: String
    /// The model, as the provider names it.
    public let model: String
    /// The provider.
    public let provider: String

    /// The most places of one org and hour that all teams share: clients name features.
    public static let placeLimit = 1_000
    /// The most places that each team has beyond these, whatever the others do. Those that come after share the feature `*` of their team.
    public static let teamLimit = 100
    /// The feature of places beyond the limit.
    public static let otherFeature = "*"

    /// A place.
    public init(team: String, feature: String, model: String, provider: String) {
        self.team = team
        self.feature = feature
        self.model = model
        self.provider = provider
    }

    /// True when it is the place of this attempt.
    public func isPlace(of entry: LedgerEntry, _ tenant: Tenant) -> Bool {
        model == entry.model && provider == entry.provider && team == tenant.team && feature == tenant.feature
    }

    /// The place of an attempt.
    public init(_ entry: LedgerEntry, of tenant: Tenant) {
        self.init(team: tenant.team, feature: tenant.feature, model: entry.model, provider: entry.provider)
    }

    /// The place for features beyond the limit.
    public var shared: UsagePlace {
        UsagePlace(team: team, feature: UsagePlace.otherFeature, model: model, provider: provider)
    }

    /// By team, feature, model, provider.
    public static func < (left: UsagePlace, right: UsagePlace) -> Bool {
        (left.team, left.feature, left.model, left.provider) < (right.team, right.feature, right.model, right.provider)
    }
}

/// How long the ledger keeps what; the same on all nodes.
public struct LedgerRetention: Hashable, Sendable {
    /// Records older than this are dropped.
    public var records: Duration
    /// Records of one org beyond this number are dropped, the oldest first: about 130 B each.
    public var maximumRecords: Int64
    /// Sums of an hour are dropped this long after its end.
    public var rollups: Duration

    /// A week of records, at most a million an org; 400 days of sums.
    public static let standard = LedgerRetention(
        records: .seconds(7 * 86_400), maximumRecords: 1_000_000, rollups: .seconds(400 * 86_400))

    /// A retention of its parts.
    public init(records: Duration, maximumRecords: Int64, rollups: Duration) {
        self.records = records
        self.maximumRecords = maximumRecords
        self.rollups = rollups
    }
}
