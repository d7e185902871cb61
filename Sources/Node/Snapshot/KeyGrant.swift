// What an API key may do, resolved once a snapshot and shared with the snapshots after it while nothing about it changes.
import Core
import Net
import Policy
import Telemetry

/// A key's rights, ready for requests.
final class KeyGrant: Sendable {
    let record: KeyRecord
    /// The limits of its requests; nil when its org or team is gone, or when they cannot be checked together: then it has no rights.
    let limits: LimitSet?
    /// True when a budget applies: then a model without a price cannot be used.
    let hasBudget: Bool
    /// The hashes of its secrets in bytes, in the order of the record.
    private let hashes: [[UInt8]]
    /// Org, team and key as every log line of its requests says them.
    let logFields: [UInt8]

    /// On whom its requests count that name no feature.
    let tenant: Tenant
    /// Its team as queues know it, and the team's share there.
    let teamName: String
    let weight: Int

    /// True when its org wants to be refused, not served with a share of its limits, while Redis is away.
    let isClosedWithoutState: Bool

    init(_ record: KeyRecord, limits: LimitSet?, weight: Int, isClosedWithoutState: Bool) {
        self.isClosedWithoutState = isClosedWithoutState
        teamName = "\(record.org)/\(record.team)"
        self.weight = weight
        self.record = record
        tenant = Tenant(org: record.org, team: record.team, key: record.id)
        self.limits = limits
        hashes = record.secrets.map { Hexadecimal.bytes($0.hash) ?? [] }
        logFields = LogRecord.prepared { line in
            line.field("org", record.org)
            line.field("team", record.team)
            line.field("key", record.id)
        }
        hasBudget = limits?.limits.contains { $0.unit == .microUSD } ?? false
    }

    /// Why its key may not do this; nil when it may.
    func refusal(of question: KeyQuestion) -> KeyRefusal? { record.refusal(of: question) }

    /// On whom a request counts.
    func tenant(feature: String) -> Tenant {
        guard !feature.isEmpty else { return tenant }
        return Tenant(org: record.org, team: record.team, key: record.id, feature: feature)
    }

    /// Which of the key's secrets has this SHA-256; takes the same time whichever it is.
    func place(ofHash hash: [UInt8]) -> Int? {
        var found: Int?
        for (place, known) in hashes.enumerated() where Digest.constantTimeEquals(hash, known) { found = place }
        return found
    }
}
