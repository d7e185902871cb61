// The kinds of sections that programs read at their start: each declared once, with its settings and its place in a configuration.
import Core

/// A kind of section that is not published.
struct StartupSection: Sendable {
    /// Its settings.
    let section: any SectionDescription
    /// True when a file must have one.
    let isNeeded: Bool
    /// True when a file may have several.
    let isRepeated: Bool
    /// Reads a section into the configuration.
    let read: @Sendable (inout SectionReader, inout ClusterConfiguration) -> Void
    /// Each setting's value, by its name in `sluice config get`.
    let values: @Sendable (ClusterConfiguration) -> [(name: String, value: String)]

    /// All kinds, in the order of the documents.
    static let all: [StartupSection] = [
        .one(ClusterConfiguration.schema, \.self, isNeeded: true),
        .one(ClusterConfiguration.Redis.schema, \.redis, isNeeded: true),
        .one(ClusterConfiguration.TLS.schema, \.tls, isNeeded: true),
        .coordinators,
        .one(ClusterConfiguration.Nodes.schema, \.nodes, isNeeded: true),
        .one(ClusterConfiguration.balancerSchema, \.self, isNeeded: false),
        .one(LedgerRetention.schema, \.ledger, isNeeded: false),
        .one(ClusterConfiguration.pricesSchema, \.self, isNeeded: false),
    ]

    /// A kind of which a file has one.
    private static func one<Record: Sendable>(
        _ schema: SectionSchema<Record>, _ path: FieldPath<ClusterConfiguration, Record>,
        isNeeded: Bool
    ) -> StartupSection {
        StartupSection(
            section: schema, isNeeded: isNeeded, isRepeated: false,
            read: { reader, configuration in schema.read(&reader, into: &configuration[keyPath: path]) },
            values: { schema.values(of: $0[keyPath: path], named: schema.kind) })
    }

    /// Coordinators stand in the order in which nodes try them.
    private static var coordinators: StartupSection {
        let schema = ClusterConfiguration.Coordinator.schema
        return StartupSection(
            section: schema, isNeeded: true, isRepeated: true,
            read: { reader, configuration in
                var coordinator = schema.initial
                schema.read(&reader, into: &coordinator)
                if configuration.coordinators.contains(where: { $0.name == coordinator.name }) {
                    reader.report("[coordinator \(coordinator.name)] stands twice", at: reader.section.position)
                }
                configuration.coordinators.append(coordinator)
            },
            values: { configuration in
                configuration.coordinators.flatMap { schema.values(of: $0, named: "\(schema.kind).\($0.name)") }
            })
    }
}
