// The capacity of providers among nodes: what is published, and what nodes have confirmed of it.
import Core
import Policy
import Wire

/// The shares of all providers that have a capacity.
struct Capacities {
    private var ledgers: [String: CapacityLedger]
    /// The publication that carried the present shares first; nil while they are not published.
    private var sequence: UInt64?

    /// Begins with what was published before this start; nodes that are not back yet still use theirs.
    init(_ saved: [String: [UInt32: Int]] = [:]) { ledgers = saved.mapValues { CapacityLedger($0) } }

    /// By provider and node's number.
    var shares: [String: [UInt32: Int]] { ledgers.mapValues(\.shares) }

    /// Splits anew, once a second; true when something is to be published.
    mutating func split(
        _ providers: [String: ProviderRecord], among members: Membership, startedAt: Instant, fleet: Int,
        at now: Instant
    ) -> Bool {
        let before = shares
        var fresh: [String: CapacityLedger] = [:]
        for provider in providers.values {
            guard let capacity = provider.capacity else { continue }
            var ledger = ledgers[provider.name] ?? CapacityLedger()
            let users = Capacities.users(
                of: provider.name, capacity, ledger, members, startedAt: startedAt, fleet: fleet, at: now)
            let next = CapacitySplit.shares(of: capacity, among: users)
            // Each change is a publication: small ones wait until somebody has too little.
            let isCalm = users.allSatisfy { number, user in
                user.running < user.share && abs((next[number] ?? 0) - user.share) <= max(1, capacity / 20)
            }
            if !isCalm || ledger.shares.count != users.count { ledger.take(next) }
            fresh[provider.name] = ledger
        }
        ledgers = fresh
        guard shares != before else { return false }
        sequence = nil
        return true
    }

    /// The present shares are published since `sequence` at the latest.
    mutating func published(at sequence: UInt64) {
        if self.sequence == nil { self.sequence = sequence }
    }

    /// The node has what was published as `confirmed` on all its lanes.
    mutating func confirmed(_ confirmed: UInt64, by node: UInt32) {
        guard let sequence, confirmed >= sequence else { return }
        for name in ledgers.keys { ledgers[name]?.confirmed(by: node) }
    }

    /// A node's clock may begin to count its silence so much later than ours.
    private static let margin: Int64 = 2

    /// How nodes stand to a provider. One that said good-bye has given everything back; one that was there before this start and is
    /// not back has given back nothing but what its own clock takes.
    private static func users(
        of provider: String, _ capacity: Int, _ ledger: CapacityLedger, _ members: Membership, startedAt: Instant,
        fleet: Int, at now: Instant
    ) -> [UInt32: CapacityUser] {
        func user(_ number: UInt32, running: Int, goneSince: Instant?) -> CapacityUser {
            var held = ledger.held[number] ?? 0
            let silence = goneSince.map { now - $0 } ?? .zero
            if goneSince != nil {
                let seconds = Int(silence.milliseconds / 1_000 - margin)
                held = CapacitySplit.kept(of: held, after: seconds, capacity: capacity, nodes: fleet)
            }
            return CapacityUser(
                share: ledger.shares[number] ?? 0, held: held, running: running,
                isSilent: silence > CapacitySplit.silence)
        }
        var users: [UInt32: CapacityUser] = [:]
        for (number, node) in members.nodes {
            if !node.isConnected, node.report?.isDraining == true { continue }
            let running = node.report?.targets.first { $0.name == provider }?.inFlight ?? 0
            users[number] = user(number, running: Int(running), goneSince: node.isConnected ? nil : node.seenAt)
        }
        guard now - startedAt <= Membership.memory else { return users }
        for (number, held) in ledger.held where members.nodes[number] == nil {
            users[number] = user(number, running: held, goneSince: startedAt)
        }
        return users
    }
}
