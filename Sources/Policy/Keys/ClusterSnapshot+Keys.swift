// What does not fit between a key and the rest of the cluster.
import Core

extension ClusterSnapshot {
    /// What a key names that the cluster does not have, one sentence each; and a certificate's identity that another key has.
    public func problems(of key: KeyRecord) -> [String] {
        var problems: [String] = []
        let team = teams["\(key.org)/\(key.team)"]
        if team == nil {
            let known = teams.keys.sorted().joined(separator: ", ")
            problems.append("there is no team '\(key.org)/\(key.team)'; known: \(known)")
        }
        for model in key.models where model != "*" && routes[model] == nil {
            let known = routes.keys.sorted().joined(separator: ", ")
            problems.append("there is no route '\(model)'; known: \(known), or * for all")
        }
        if let identity = key.identity,
            let other = keys.values.first(where: { $0.identity == identity && $0.id != key.id && !$0.isRevoked })
        {
            problems.append("the identity '\(identity)' belongs to the key '\(other.id)' already")
        }
        if let team, let org = orgs[key.org] {
            do {
                _ = try key.limitSet(version: 0, org: org, team: team)
            } catch {
                problems.append("together with the limits of its team: \(error.description)")
            }
        }
        return problems
    }
}
