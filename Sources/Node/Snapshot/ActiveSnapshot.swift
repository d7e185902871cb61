// A published configuration in the form that requests use: immutable, shared by all lanes, swapped by reference.
import Core
import Policy
import Wire

/// Everything that a request needs to know of the cluster.
final class ActiveSnapshot: Sendable {
    let epoch: UInt64
    let sequence: UInt64
    let cluster: ClusterSnapshot
    /// What its requests are billed with.
    let tariff: Tariff
    let grants: [String: KeyGrant]
    /// Grants by the identity of the client certificate that opens them. One that two keys claim opens neither.
    let identities: [String: KeyGrant]
    /// Names of the routes, in alphabetical order; the same array as in the snapshots before while they stay the same.
    private let aliases: [String]
    private let routes: [String: ActiveRoute]

    /// The snapshot in use next. Grants whose key, org and team stay as they are in `previous` are taken over: a change of one key
    /// costs little among a hundred thousand, and sessions see by identity that nothing changed for them.
    init(_ cluster: ClusterSnapshot, epoch: UInt64, sequence: UInt64, previous: ActiveSnapshot? = nil) {
        self.epoch = epoch
        self.sequence = sequence
        self.cluster = cluster
        tariff = Tariff.of(cluster, previous: previous)
        let aliases = cluster.routes.keys.sorted()
        self.aliases = previous?.aliases == aliases ? previous?.aliases ?? aliases : aliases
        routes = cluster.routes.mapValues { record in
            let canary = cluster.canaries[record.name].flatMap { ActiveCanary($0, on: record) }
            if let known = previous?.routes[record.name], known.record == record, known.canary == canary {
                return known
            }
            return ActiveRoute(record, canary)
        }
        if let previous, previous.cluster.hasSameKeys(as: cluster) {
            (grants, identities) = (previous.grants, previous.identities)
            return
        }
        var granting = Granting(cluster, version: epoch &* 1_000_003 &+ sequence, previous: previous)
        grants = cluster.keys.mapValues { granting.grant($0) }
        identities = ActiveSnapshot.identities(of: grants)
    }

    private static func identities(of grants: [String: KeyGrant]) -> [String: KeyGrant] {
        var identities: [String: KeyGrant] = [:]
        var claimed: Set<String> = []
        for grant in grants.values {
            guard let identity = grant.record.identity, !grant.record.isRevoked else { continue }
            identities[identity] = claimed.insert(identity).inserted ? grant : nil
        }
        // A revoked one is found only so that the refusal can say so.
        for grant in grants.values where grant.record.isRevoked {
            guard let identity = grant.record.identity, !claimed.contains(identity) else { continue }
            identities[identity] = grant
        }
        return identities
    }

    /// True when the route is this snapshot's, not one of an earlier.
    func has(_ route: ActiveRoute) -> Bool { routes[route.name] === route }

    /// The route of that name.
    func route(alias: String) -> ActiveRoute? { routes[alias] }

    /// The routes that a key may name, as many as a model table holds: nobody learns of others.
    func aliases(of key: KeyRecord) -> [String] {
        if key.models.contains("*"), aliases.count <= HelloOK.mostModels { return aliases }
        return Array(aliases.lazy.filter { key.allows(model: $0) }.prefix(HelloOK.mostModels))
    }
}

/// Makes grants. Each key has a set of limits of its own, because what Redis' scripts are sent is remembered by set, with the key's names;
/// beyond as many as are remembered, keys of one team without limits of their own share one: 100,000 would take 100 MB.
private struct Granting {
    private let cluster: ClusterSnapshot
    private let version: UInt64
    private let previous: ActiveSnapshot?
    private var shared: [String: LimitSet?] = [:]
    private static let unsharedCount = 8_192
    /// Whether a team and its org are the same as in the previous snapshot.
    private var isSame: [String: Bool] = [:]

    init(_ cluster: ClusterSnapshot, version: UInt64, previous: ActiveSnapshot?) {
        self.cluster = cluster
        self.version = version
        self.previous = previous
    }

    mutating func grant(_ record: KeyRecord) -> KeyGrant {
        let name = "\(record.org)/\(record.team)"
        if let known = previous?.grants[record.id], known.record == record, isSame(record.org, name) { return known }
        return KeyGrant(
            record, limits: limits(record, name), weight: cluster.teams[name]?.weight ?? 1,
            isClosedWithoutState: cluster.orgs[record.org]?.isClosedWithoutState ?? true)
    }

    private mutating func isSame(_ org: String, _ team: String) -> Bool {
        if let known = isSame[team] { return known }
        let old = previous?.cluster
        let answer = old?.orgs[org] == cluster.orgs[org] && old?.teams[team] == cluster.teams[team]
        isSame[team] = answer
        return answer
    }

    /// A key whose team or org is gone has no limits to be held to, so it has no rights either.
    private mutating func limits(_ record: KeyRecord, _ name: String) -> LimitSet? {
        guard let org = cluster.orgs[record.org], let team = cluster.teams[name] else { return nil }
        if !record.limits.isEmpty || cluster.keys.count <= Granting.unsharedCount {
            return try? record.limitSet(version: version, org: org, team: team)
        }
        if let known = shared[name] { return known }
        let made = try? record.limitSet(version: version, org: org, team: team)
        shared[name] = .some(made)
        return made
    }
}

extension ClusterSnapshot {
    /// True when grants made of one are those of the other.
    fileprivate func hasSameKeys(as other: ClusterSnapshot) -> Bool {
        keys == other.keys && orgs == other.orgs && teams == other.teams
    }
}
