// Who a request belongs to: the path org → team → key, and the feature within the team.

/// The path on which a request is counted.
public struct Tenant: Hashable, Sendable {
    /// The organisation; also the Redis hash tag, so that all of its counters live in one slot.
    public let org: String
    /// The team within the org.
    public let team: String
    /// The id of the API key within the team.
    public let key: String
    /// The feature within the team; empty when the client named none.
    public let feature: String

    /// The longest name of each part, in UTF-8 bytes.
    public static let maximumNameLength = 128

    /// A path of names as authentication and configuration gave them.
    public init(org: String, team: String, key: String, feature: String = "") {
        self.org = org
        self.team = team
        self.key = key
        self.feature = feature
    }
}
