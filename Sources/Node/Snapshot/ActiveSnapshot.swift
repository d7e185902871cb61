// A published configuration in the form that requests use: immutable, shared by all lanes, swapped by reference.
import Core
import Policy
import Store

/// What an API key may do, resolved once a snapshot.
final class KeyGrant: Sendable {
    let record: KeyRecord
    /// SHA-256 of the secret.
    let hash: [UInt8]
    let limits: LimitSet
    /// True when a budget applies: then a model without a price cannot be used.
    let hasBudget: Bool

    init(_ record: KeyRecord, limits: LimitSet) {
        self.record = record
        self.limits = limits
        hash = Hexadecimal.bytes(record.hash) ?? []
        hasBudget = limits.limits.contains { $0.unit == .microUSD }
    }
}

/// Everything that a request needs to know of the cluster.
final class ActiveSnapshot: Sendable {
    let epoch: UInt64
    let sequence: UInt64
    let cluster: ClusterSnapshot
    let grants: [String: KeyGrant]
    /// Numbers of providers in END and ACCEPTED frames, from 1, in the order of their names.
    let providerNumbers: [String: UInt16]
    /// Aliases in the order of HELLO_OK's model table; the number of an alias is its place + 1.
    let aliases: [String]

    init(_ cluster: ClusterSnapshot, epoch: UInt64, sequence: UInt64) {
        self.cluster = cluster
        self.epoch = epoch
        self.sequence = sequence
        aliases = cluster.routes.keys.sorted()
        providerNumbers = Dictionary(
            uniqueKeysWithValues: cluster.providers.keys.sorted().enumerated().map { ($1, UInt16(clamping: $0 + 1)) })
        grants = cluster.keys.compactMapValues { record in
            let org = cluster.orgs[record.org]
            let team = cluster.teams["\(record.org)/\(record.team)"]
            // A key whose org is gone has no limits to be held to, so it has no rights either.
            guard let org else { return nil }
            let limits = org.limits + (team?.limits ?? []) + org.keyLimits + (team?.keyLimits ?? [])
            guard let set = try? LimitSet(version: epoch &* 1_000_003 &+ sequence, limits: limits) else { return nil }
            return KeyGrant(record, limits: set)
        }
    }

    /// The route of a request that names it by alias or by number.
    func route(alias: String, number: UInt16) -> RouteRecord? {
        if number == 0 { return cluster.routes[alias] }
        let place = Int(number) - 1
        return aliases.indices.contains(place) ? cluster.routes[aliases[place]] : nil
    }
}
