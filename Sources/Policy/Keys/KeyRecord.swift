// An API key as the cluster knows it: whom it belongs to, what it may do, and hashes of its secrets.
import Core

/// One of a key's secrets: only its hash is known.
public struct KeySecret: Hashable, Sendable {
    /// SHA-256 of the secret, 64 lowercase hexadecimal digits.
    public let hash: String
    /// Seconds since 1970 until which it is valid, when it was replaced; nil for the present one.
    public var validUntilSeconds: Int64?

    /// A secret's hash.
    public init(hash: String, validUntilSeconds: Int64? = nil) {
        self.hash = hash
        self.validUntilSeconds = validUntilSeconds
    }

    /// True while it opens.
    public func isValid(atSeconds now: Int64) -> Bool { (validUntilSeconds ?? .max) > now }
}

/// An API key, or a certificate's identity that stands for one.
///
/// What it may reach is denied unless it is listed: models and operations. What narrows it further is open unless it is set: features,
/// the highest priority, networks, limits of its own, an end.
public struct KeyRecord: Sendable, Equatable {
    /// The public part: 1 to 32 letters, digits or `-`.
    public var id: String
    /// Hashes of its secrets, the present one first; several while one replaces another.
    public var secrets: [KeySecret] = []
    /// The URI of the client certificate that opens it without a secret.
    public var identity: String?
    /// The org it belongs to.
    public var org = ""
    /// The team it belongs to.
    public var team = ""
    /// What people call it.
    public var label = ""
    /// The routes it may name; `*` for all; none: it may name none.
    public var models: [String] = []
    /// What it may ask for; none: nothing.
    public var operations: [KeyOperation] = []
    /// The feature tags it may name, and must name one of; none: it may name any, or no one.
    public var features: [String] = []
    /// The most urgent class it may use.
    public var highestPriority = PriorityClass.interactive
    /// True when it may add members to a provider's request, within what that provider's section lists.
    public var mayPassThrough = false
    /// Limits of its own, beside those of its team and org.
    public var limits: [Limit] = []
    /// Where it may come from; none: from anywhere.
    public var networks: [Network] = []
    /// Seconds since 1970 when it stops working; nil for never.
    public var expiresAtSeconds: Int64?
    /// True when it was revoked: for ever.
    public var isRevoked = false
    /// Seconds since 1970 when it was revoked; nil when it was not, or when nobody wrote it down.
    public var revokedAtSeconds: Int64?

    /// The last second at which a key may expire: the end of the year 9999.
    public static let latestExpiry = 253_402_300_799
    /// The most secrets of a key: the present one, and those that are being replaced.
    public static let secretLimit = 4
    /// The most limits of a key's own.
    public static let limitLimit = 8
    /// The most entries of each list: models, features, networks.
    public static let listLimit = 128

    /// How long the record of a key that opens nothing any more is kept, in seconds: 90 days. A copy of Redis that is older may bring a
    /// revoked key back, so this is longer than anybody keeps copies that are meant to be used.
    public static let keptSeconds: Int64 = 90 * 86_400

    /// A key of this id, still without rights.
    public init(id: String) { self.id = id }
}

// MARK: - Decisions

extension KeyRecord {
    /// True when it may name the route.
    public func allows(model: String) -> Bool { models.contains("*") || models.contains(model) }

    /// Why it opens nothing at all at this time; nil when it does.
    public func refusal(atSeconds now: Int64) -> KeyRefusal? {
        if isRevoked { return .revoked }
        if let expiresAtSeconds, expiresAtSeconds <= now { return .expired }
        return nil
    }

    /// True when it ended, by revocation or else by expiry, at least `seconds` ago. One whose revocation has no time has not.
    public func ended(secondsAgo seconds: Int64, atSeconds now: Int64) -> Bool {
        guard let end = isRevoked ? revokedAtSeconds : expiresAtSeconds else { return false }
        return now - end >= seconds
    }

    /// Why it does not open from this address; nil when it does. An address is nil where there is none.
    public func refusal(from address: UInt128?) -> KeyRefusal? {
        if networks.isEmpty { return nil }
        guard let address, networks.contains(where: { $0.contains(address) }) else { return .network }
        return nil
    }

    /// Why it may not do this; nil when it may.
    public func refusal(of question: KeyQuestion) -> KeyRefusal? {
        if !allows(model: question.model) { return .model(question.model) }
        if !operations.contains(question.operation) { return .operation(question.operation) }
        if !features.isEmpty, !features.contains(question.feature) { return .feature(question.feature) }
        if question.usesPassthrough, !mayPassThrough { return .passthrough }
        if question.priority < highestPriority { return .priority(question.priority, highest: highestPriority) }
        return nil
    }

    /// The next second after `now` at which some right ends by itself; nil when none does.
    public func nextChange(afterSeconds now: Int64) -> Int64? {
        (secrets.map(\.validUntilSeconds) + [expiresAtSeconds]).compactMap(\.self).filter { $0 > now }.min()
    }

    /// All limits of its requests: those of the org, the team, what both set for each key, and its own. An own limit that would share
    /// a counter with one set for each key tightens it: of each number the smaller one holds.
    ///
    /// - Throws: `LimitProblem` when they cannot be checked together.
    public func limitSet(
        version: UInt64, org: TenantRecord, team: TenantRecord?
    ) throws(LimitProblem) -> LimitSet {
        var all = org.limits + (team?.limits ?? []) + org.keyLimits + (team?.keyLimits ?? [])
        for own in limits {
            guard let place = all.firstIndex(where: { $0.scope == .key && $0.field == own.field }) else {
                all.append(own)
                continue
            }
            all[place] = try Limit(
                scope: .key, unit: own.unit, amount: min(own.amount, all[place].amount), period: own.period,
                algorithm: own.algorithm, burst: min(own.burst, all[place].burst))
        }
        return try LimitSet(version: version, limits: all)
    }
}

// MARK: - Text

extension KeyRecord {
    /// The record as it is kept: the lines of its section in the configuration.
    public var encoded: [UInt8] { Array(KeyRecord.schema.lines(of: self).joined(separator: "\n").utf8) }

    /// Reads a kept record; nil when it is damaged.
    public static func decode(id: String, _ bytes: [UInt8]) -> KeyRecord? {
        let record = ClusterSnapshot.Record(kind: RecordKind.key, name: id, body: bytes)
        let (snapshot, problems) = ClusterSnapshot.decode([record])
        return problems.isEmpty ? snapshot.keys[id] : nil
    }
}

/// What clients present: `slk_<id>_<secret>`.
public struct APIKeyText: Sendable {
    /// The public part.
    public let id: String
    /// The secret part.
    public let secret: [UInt8]

    /// Splits a presented key; nil when it has another form.
    public init?(_ text: [UInt8]) {
        guard text.count <= 128, text.starts(with: Array("slk_".utf8)) else { return nil }
        let rest = text.dropFirst(4)
        guard let underscore = rest.firstIndex(of: UInt8(ascii: "_")) else { return nil }
        let id = rest[..<underscore]
        let secret = rest[(underscore + 1)...]
        guard !id.isEmpty, id.count <= 32, secret.count >= 16, id.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            return nil
        }
        self.id = String(decoding: id, as: UTF8.self)
        self.secret = Array(secret)
    }

    /// The form in which a key is shown once.
    public static func text(id: String, secret: String) -> String { "slk_\(id)_\(secret)" }
}
