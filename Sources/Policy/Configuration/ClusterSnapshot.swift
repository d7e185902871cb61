// The part of the configuration that coordinators publish and nodes enforce, as records that travel.
import Core

/// Everything that nodes need to serve requests. Published whole; immutable.
public struct ClusterSnapshot: Sendable, Equatable {
    /// Providers by name.
    public var providers: [String: ProviderRecord] = [:]
    /// Routes by alias.
    public var routes: [String: RouteRecord] = [:]
    /// Orgs by name.
    public var orgs: [String: TenantRecord] = [:]
    /// Teams by `org/team`.
    public var teams: [String: TenantRecord] = [:]
    /// Keys by id.
    public var keys: [String: KeyRecord] = [:]
    /// Prices by model.
    public var prices: [String: ModelPrice] = [:]
    /// Identifies the content of `prices`.
    public var priceVersion: PriceVersion { PriceVersion(of: prices) }
    /// Published keys that this version cannot read, with the reason: they have no rights, the others go on.
    public internal(set) var unreadableKeys: [String: String] = [:]
    /// How many routes an operator confirmed to be left, after most of them were taken away on purpose.
    public var confirmedRouteCount: Int?

    /// How many nodes share the limits, as far as the coordinator knows; counted generously.
    public var fleet = 1

    /// Calls at once that each node may have at a provider, by provider and node's number; only of providers with a capacity.
    public var shares: [String: [UInt32: Int]] = [:]

    /// How many client connections nodes should come down to that have clearly more than their share, by their numbers.
    public var connectionLevels: [UInt32: Int] = [:]

    /// What nodes count of canaries, by route; the weights of these routes have the canary's share already.
    public var canaries: [String: RouteCanary] = [:]

    /// An empty cluster.
    public init() {}

    /// One record: a section of the configuration's own syntax, so that one parser reads both.
    public struct Record: Sendable, Equatable {
        /// The section's kind, numbered.
        public let kind: UInt8
        /// The section's name.
        public let name: String
        /// The section's lines.
        public let body: [UInt8]

        /// A record of its three parts.
        public init(kind: UInt8, name: String, body: [UInt8]) {
            self.kind = kind
            self.name = name
            self.body = body
        }
    }

    /// The largest snapshot that is read, in bytes: 100,000 keys of 300 bytes, twice. The wire carries no more either.
    public static let sizeLimit = 64 << 20

    /// All records, in a stable order.
    public var records: [Record] {
        RecordKind.all.enumerated().flatMap { number, kind in
            kind.list(self).map { name, lines in
                Record(kind: UInt8(number), name: name, body: Array(lines.joined(separator: "\n").utf8))
            }
        }
    }

    /// Reads records back; problems name the record.
    public static func decode(_ records: [Record]) -> (ClusterSnapshot, [ConfigurationProblem]) {
        read(text(of: records), file: "snapshot")
    }

    /// All records as one text in the configuration's syntax, as it is kept on disk.
    public var text: String { ClusterSnapshot.text(of: records) }

    private static func text(of records: [Record]) -> String {
        var text = ""
        for record in records {
            guard let kind = RecordKind.numbered(record.kind) else { continue }
            text += "[\(kind.name) \(record.name)]\n\(String(decoding: record.body, as: UTF8.self))\n"
        }
        return text
    }

    /// Reads what `text` wrote.
    public static func read(_ text: String, file: String) -> (ClusterSnapshot, [ConfigurationProblem]) {
        let (document, syntax) = ConfigurationDocument.parse(text, file: file, limit: sizeLimit)
        var reader = SnapshotReader(file: file, isPublished: true)
        for section in document.sections { reader.read(section) }
        return (reader.snapshot, syntax + reader.problems)
    }

    /// This snapshot with the routes of `current`, and what they need: what a guard does that holds on to its routes. Keys and
    /// tenants are the new ones, so that a right that was taken away is gone all the same.
    public func keepingRoutes(of current: ClusterSnapshot) -> ClusterSnapshot {
        var kept = self
        kept.routes = current.routes
        kept.providers = current.providers
        kept.prices = current.prices
        kept.confirmedRouteCount = current.confirmedRouteCount
        return kept
    }

    /// Takes over the changed records, and drops the removed ones: what an UPDATE says.
    ///
    /// - Returns: problems; when there are any the snapshot stays as it was.
    public mutating func apply(
        changed: [Record], removed: [(kind: UInt8, name: String)]
    ) -> [ConfigurationProblem] {
        let (fresh, problems) = ClusterSnapshot.decode(changed)
        guard problems.isEmpty else { return problems }
        for (number, name) in removed + changed.map({ ($0.kind, $0.name) }) {
            // One of a later version: what it says is not known here, and neither is its end.
            guard let kind = RecordKind.numbered(number) else { continue }
            kind.remove(&self, name)
            if let refused = kind.refused { self[keyPath: refused][name] = nil }
        }
        for kind in RecordKind.all {
            kind.merge(&self, fresh)
            if let refused = kind.refused { self[keyPath: refused].merge(fresh[keyPath: refused]) { $1 } }
        }
        return []
    }
}
