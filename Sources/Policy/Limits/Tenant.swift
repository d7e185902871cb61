// Who a request belongs to: the path org → team → key, and the feature within the team.

/// The path on which a request is counted.
public struct Tenant: Hashable, Sendable {
    /// The organisation; also the Redis hash tag, so that all of its counters live in one slot.
    public var org: String { path.org }
    /// The team within the org.
    public var team: String { path.team }
    /// The id of the API key within the team.
    public var key: String { path.key }
    /// The feature within the team; empty when the client named none.
    public var feature: String { path.feature }

    /// A path goes through many hands with its request: one reference instead of four texts.
    private final class Path: Sendable {
        let org: String
        let team: String
        let key: String
        let feature: String

        init(_ org: String, _ team: String, _ key: String, _ feature: String) {
            (self.org, self.team, self.key, self.feature) = (org, team, key, feature)
        }
    }

    private let path: Path

    /// A path of names as authentication and configuration gave them.
    public init(org: String, team: String, key: String, feature: String = "") {
        path = Path(org, team, key, feature)
    }

    /// True when it is the very same path, which costs nothing to see; another one may have the same names.
    public func isSame(as other: Tenant) -> Bool { path === other.path }

    /// True when all names are the same.
    public static func == (left: Tenant, right: Tenant) -> Bool {
        left.path === right.path
            || left.key == right.key && left.feature == right.feature && left.team == right.team
                && left.org == right.org
    }

    /// Feeds the names.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(org)
        hasher.combine(team)
        hasher.combine(key)
        hasher.combine(feature)
    }
}
