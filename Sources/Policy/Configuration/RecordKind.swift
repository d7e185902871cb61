// The kinds of records that are published: each declared once, with its number, its section and its place in a snapshot.
import Core

/// A kind of record. How a snapshot is written, read and changed goes over the list of them.
struct RecordKind: Sendable {
    /// Its settings.
    let section: any SectionDescription
    /// True when people may write it; the others are made by coordinators.
    let isWritten: Bool
    /// All records of the kind, in a stable order.
    let list: @Sendable (ClusterSnapshot) -> [(name: String, lines: [String])]
    /// Reads a section into the snapshot.
    let read: @Sendable (inout SectionReader, inout ClusterSnapshot) -> Void
    /// Takes a record out of the snapshot.
    let remove: @Sendable (inout ClusterSnapshot, String) -> Void
    /// Puts the records of the second snapshot into the first.
    let merge: @Sendable (inout ClusterSnapshot, ClusterSnapshot) -> Void
    /// Each setting's value, by its name in `sluice config get`.
    let values: @Sendable (ClusterSnapshot) -> [(name: String, value: String)]
    /// Where a published record that cannot be read is noted, with the reason; nil where it refuses the whole state.
    var refused: (FieldPath<ClusterSnapshot, [String: String]>)?

    /// The first word of its headings.
    var name: String { section.kind }

    /// All kinds; the place of each is its number. A number keeps its meaning for ever: nodes of the version before read it too.
    static let all: [RecordKind] = [
        .table(ProviderRecord.schema, \.providers),
        .table(RouteRecord.schema, \.routes),
        .table(TenantRecord.orgSchema, \.orgs),
        .table(TenantRecord.teamSchema, \.teams),
        .prices,
        .keys,
        .one(PublishedSections.confirmation, "routes", \.confirmedRouteCount),
        .one(PublishedSections.fleet, "nodes", \.fleet),
        .table(PublishedSections.share, \.shares, isWritten: false),
        .table(PublishedSections.canary, \.canaries, isWritten: false),
        // No provider can have this name: nodes of the version before take what they do not know for one's share.
        .one(PublishedSections.spread, "connections/nodes", \.connectionLevels),
    ]

    /// The kind of a number; nil for one of a later version.
    static func numbered(_ number: UInt8) -> RecordKind? {
        all.indices.contains(Int(number)) ? all[Int(number)] : nil
    }

    /// The number of keys, which are also kept one by one.
    static let key: UInt8 = 5

    /// A kind with many records, by their names.
    private static func table<Record: Sendable>(
        _ schema: SectionSchema<Record>, _ path: FieldPath<ClusterSnapshot, [String: Record]>,
        isWritten: Bool = true
    ) -> RecordKind {
        RecordKind(
            section: schema, isWritten: isWritten,
            list: { snapshot in
                snapshot[keyPath: path].sorted { $0.key < $1.key }.map { ($0.key, schema.lines(of: $0.value)) }
            },
            read: { reader, snapshot in
                var record = schema.initial
                schema.read(&reader, into: &record)
                snapshot[keyPath: path][reader.section.name] = record
            },
            remove: { snapshot, name in snapshot[keyPath: path][name] = nil },
            merge: { snapshot, fresh in snapshot[keyPath: path].merge(fresh[keyPath: path]) { $1 } },
            values: { snapshot in
                snapshot[keyPath: path].flatMap { schema.values(of: $0.value, named: "\(schema.kind).\($0.key)") }
            })
    }

    /// A kind with one record at most, which stands only where it says something.
    private static func one<Record: Sendable & Equatable>(
        _ schema: SectionSchema<Record>, _ name: String, _ path: FieldPath<ClusterSnapshot, Record>
    ) -> RecordKind {
        RecordKind(
            section: schema, isWritten: false,
            list: { snapshot in
                let record = snapshot[keyPath: path]
                return record == schema.initial ? [] : [(name, schema.lines(of: record))]
            },
            read: { reader, snapshot in
                var record = schema.initial
                schema.read(&reader, into: &record)
                snapshot[keyPath: path] = record
            },
            remove: { snapshot, _ in snapshot[keyPath: path] = schema.initial },
            merge: { snapshot, fresh in
                if fresh[keyPath: path] != schema.initial { snapshot[keyPath: path] = fresh[keyPath: path] }
            }, values: { schema.values(of: $0[keyPath: path], named: schema.kind) })
    }

    /// Keys: one that cannot be read, for it may come from a newer coordinator, has no rights, and the others go on.
    private static var keys: RecordKind {
        var kind = table(KeyRecord.schema, \.keys)
        kind.refused = \ClusterSnapshot.unreadableKeys
        return kind
    }

    /// Prices stand in their sections with rates that may be left out.
    private static var prices: RecordKind {
        RecordKind(
            section: PriceSection.schema, isWritten: true,
            list: { snapshot in
                snapshot.prices.sorted { $0.key < $1.key }.map {
                    ($0.key, PriceSection.schema.lines(of: PriceSection($0.value)))
                }
            },
            read: { reader, snapshot in
                var section = PriceSection()
                PriceSection.schema.read(&reader, into: &section)
                if let price = section.price { snapshot.prices[reader.section.name] = price }
            },
            remove: { snapshot, name in snapshot.prices[name] = nil },
            merge: { snapshot, fresh in snapshot.prices.merge(fresh.prices) { $1 } },
            values: { snapshot in
                snapshot.prices.flatMap {
                    PriceSection.schema.values(of: PriceSection($0.value), named: "price.\($0.key)")
                }
            })
    }
}
