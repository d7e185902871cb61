// Which configurations the cluster has run: a bounded list, newest last, as it is kept in Redis.
import Core

/// One configuration that was applied.
public struct ConfigurationVersion: Sendable, Equatable {
    /// Counts up; never used twice while the history is kept.
    public let number: Int64
    /// When it was applied, in seconds since 1970.
    public let atSeconds: Int64
    /// Who says to have applied it.
    public let who: String
    /// Why.
    public let reason: String
    /// Names the text of the file and of its price list.
    public let digest: String

    /// The version as JSON.
    public var json: JSONValue {
        .object([
            .init("number", .integer(number)), .init("at", .integer(atSeconds)), .init("who", .string(who)),
            .init("reason", .string(reason)), .init("digest", .string(digest)),
        ])
    }

    fileprivate init(number: Int64, atSeconds: Int64, who: String, reason: String, digest: String) {
        self.number = number
        self.atSeconds = atSeconds
        self.who = who
        self.reason = reason
        self.digest = digest
    }

    fileprivate init?(_ value: JSONValue) {
        guard let number = value["number"]?.integer, number > 0, let at = value["at"]?.integer,
            let who = value["who"]?.text, let reason = value["reason"]?.text, let digest = value["digest"]?.text
        else { return nil }
        self.init(number: number, atSeconds: at, who: who, reason: reason, digest: digest)
    }
}

/// The last versions.
public struct ConfigurationHistory: Sendable, Equatable {
    /// How many versions are kept: with texts of 100 kB 3 MB of Redis.
    public static let limit = 32
    /// The longest name of who applied one, and the longest reason, in bytes.
    public static let (whoLimit, reasonLimit) = (64, 256)

    /// Oldest first.
    public private(set) var versions: [ConfigurationVersion] = []

    /// No version.
    public init() {}

    /// The one that was applied last.
    public var last: ConfigurationVersion? { versions.last }

    /// The version of this number; nil when it is not kept.
    public func version(_ number: Int64) -> ConfigurationVersion? { versions.first { $0.number == number } }

    /// Adds a version behind the last one; returns its number, and that of the one which is kept no longer.
    public mutating func add(
        digest: String, who: String, reason: String, atSeconds: Int64
    ) -> (number: Int64, dropped: Int64?) {
        precondition(
            who.utf8.count <= Self.whoLimit && reason.utf8.count <= Self.reasonLimit, "who and why are checked before")
        let number = (last?.number ?? 0) + 1
        versions.append(
            ConfigurationVersion(number: number, atSeconds: atSeconds, who: who, reason: reason, digest: digest))
        guard versions.count > ConfigurationHistory.limit else { return (number, nil) }
        return (number, versions.removeFirst().number)
    }

    /// As it is kept.
    public var encoded: [UInt8] { Array(JSONValue.array(versions.map(\.json)).json.utf8) }

    /// Reads what `encoded` gave; nil when it is something else.
    public static func decode(_ bytes: [UInt8]) -> ConfigurationHistory? {
        guard let elements = (try? JSONValue.parse(bytes, limits: JSONLimits(depth: 4, size: 1 << 20)))?.elements,
            elements.count <= limit
        else { return nil }
        var history = ConfigurationHistory()
        for element in elements {
            guard let version = ConfigurationVersion(element), version.number > history.last?.number ?? 0 else {
                return nil
            }
            history.versions.append(version)
        }
        return history
    }
}
