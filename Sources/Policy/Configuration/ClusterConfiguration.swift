// The whole of `cluster.conf`, typed: what each program needs to start, and what the coordinator publishes.
import Core

/// A cluster as its file describes it. Made only without any problem.
public struct ClusterConfiguration: Sendable, Equatable {
    /// How to reach Redis.
    public struct Redis: Sendable, Equatable {
        /// `host:port` or `unix:path`.
        public var address = "127.0.0.1:7379"
        /// The ACL user.
        public var user: String?
        /// Where the password is kept.
        public var password: SecretReference?
        /// A CA file; when set, the connection is TLS.
        public var ca: String?
        /// The deadline of a command.
        public var commandTimeout = Duration.milliseconds(50)
    }

    /// The cluster's own certificates.
    public struct TLS: Sendable, Equatable {
        /// The CA that signed them.
        public var ca = ""
        /// A node's certificate towards clients and the coordinator.
        public var certificate = ""
        /// Its key.
        public var key = ""
        /// Whether clients are asked for certificates: `off`, `optional` or `required`.
        public var clientCertificates = "off"
    }

    /// One coordinator.
    public struct Coordinator: Sendable, Equatable {
        /// Its name.
        public let name: String
        /// Where nodes subscribe.
        public var listen = "127.0.0.1:7400"
        /// Its admin interface.
        public var admin = "127.0.0.1:7401"
        /// Where the secret of the admin interface is kept.
        public var adminSecret = SecretReference.file("state/admin.secret")
        /// Its certificate.
        public var certificate = ""
        /// Its key.
        public var key = ""
    }

    /// What nodes have in common.
    public struct Nodes: Sendable, Equatable {
        /// The host part of their addresses.
        public var listen = "127.0.0.1"
        /// Node N serves clients on this port + N.
        public var basePort = 7500
        /// Node N has its admin port on this + N.
        public var adminBasePort = 7600
        /// Event loops of a node; 0 for one a processor.
        public var lanes = 0
        /// Client connections of a lane.
        public var maximumConnections = 10_000
        /// How long a draining node still accepts, so that the balancer notices first.
        public var drainNotice = Duration.seconds(10)
        /// The longest that a drain waits for running requests.
        public var drainLimit = Duration.seconds(620)
        /// A client connection older than this is sent elsewhere.
        public var maximumAge = Duration.seconds(1_800)
        /// The standard time limit of a request that names none.
        public var requestTimeout = Duration.seconds(120)
        /// `debug`, `info`, `warning` or `error`.
        public var logLevel = "info"
    }

    /// The cluster's name.
    public var name = ""
    /// Where programs keep what must survive a restart; relative paths begin at the file's folder.
    public var stateDirectory = "state"
    /// How to reach Redis.
    public var redis = Redis()
    /// Certificates.
    public var tls = TLS()
    /// Coordinators, in the order of the file.
    public var coordinators: [Coordinator] = []
    /// What nodes have in common.
    public var nodes = Nodes()
    /// The address of the balancer in front, for tools.
    public var balancer: String?
    /// A price list in CSV; its models are published when a route uses them.
    public var priceList: String?
    /// What is published to nodes; without prices from the list and without keys from Redis.
    public var published = ClusterSnapshot()

    /// Every problem of a file.
    public struct Problems: Error, Sendable, Equatable, CustomStringConvertible {
        /// In the order of the file.
        public let list: [ConfigurationProblem]
        /// One line each.
        public var description: String { list.map(\.description).joined(separator: "\n") }
    }

    /// Reads a file's text.
    ///
    /// - Throws: all problems at once.
    public static func parse(_ text: String, file: String) throws(Problems) -> ClusterConfiguration {
        let (document, syntax) = ConfigurationDocument.parse(text, file: file)
        var reader = ClusterReader(file: file)
        for section in document.sections { reader.read(section) }
        reader.finish()
        let all = (syntax + reader.problems).sorted { ($0.line, $0.column) < ($1.line, $1.column) }
        guard all.isEmpty else { throw Problems(list: all) }
        return reader.configuration
    }
}

/// Reads the sections one after another.
private struct ClusterReader {
    let file: String
    var configuration = ClusterConfiguration()
    var problems: [ConfigurationProblem] = []
    private var published: SnapshotReader
    private var seen: Set<String> = []

    init(file: String) {
        self.file = file
        published = SnapshotReader(file: file)
    }

    mutating func read(_ section: ConfigurationDocument.Section) {
        guard !published.read(section) else { return }
        var reader = SectionReader(section, file: file)
        if section.kind != "coordinator", !seen.insert(section.kind).inserted {
            reader.report("only one [\(section.kind) …] may stand in a file", at: section.position)
        }
        switch section.kind {
        case "cluster":
            configuration.name = section.name
            configuration.stateDirectory = reader.optional("state-directory", PlainText.any) ?? "state"
        case "redis": redis(&reader)
        case "tls": tls(&reader)
        case "coordinator": coordinator(&reader)
        case "nodes": nodes(&reader)
        case "balancer": configuration.balancer = reader.required("listen", PlainText.address)
        case "prices": configuration.priceList = reader.required("file", PlainText.any)
        default:
            let kinds = ["cluster", "redis", "tls", "coordinator", "nodes", "balancer", "prices"]
            let known = (kinds + ClusterSnapshot.kinds).joined(separator: ", ")
            reader.report("unknown kind of section '\(section.kind)'; known: \(known)", at: section.position)
            return problems += reader.problems
        }
        reader.finish()
        problems += reader.problems
    }

    private mutating func redis(_ reader: inout SectionReader) {
        var redis = ClusterConfiguration.Redis()
        if let address = reader.required("address", PlainText.address) { redis.address = address }
        redis.user = reader.optional("user", PlainText.any)
        redis.password = reader.optional("password", ConfigurationValue.secret)
        redis.ca = reader.optional("tls-ca", PlainText.any)
        redis.commandTimeout = reader.optional("command-timeout", ConfigurationValue.duration) ?? redis.commandTimeout
        configuration.redis = redis
    }

    private mutating func tls(_ reader: inout SectionReader) {
        configuration.tls.ca = reader.required("ca", PlainText.any) ?? ""
        configuration.tls.certificate = reader.required("certificate", PlainText.any) ?? ""
        configuration.tls.key = reader.required("key", PlainText.any) ?? ""
        let modes = { (text: String) throws(ValueProblem) in
            guard ["off", "optional", "required"].contains(text) else {
                throw ValueProblem("expected off, optional or required, found '\(text)'")
            }
            return text
        }
        configuration.tls.clientCertificates = reader.optional("client-certificates", modes) ?? "off"
    }

    private mutating func coordinator(_ reader: inout SectionReader) {
        var coordinator = ClusterConfiguration.Coordinator(name: reader.section.name)
        if configuration.coordinators.contains(where: { $0.name == coordinator.name }) {
            reader.report("[coordinator \(coordinator.name)] stands twice", at: reader.section.position)
        }
        if let listen = reader.required("listen", PlainText.address) { coordinator.listen = listen }
        if let admin = reader.required("admin", PlainText.address) { coordinator.admin = admin }
        if let secret = reader.required("admin-secret", ConfigurationValue.secret) { coordinator.adminSecret = secret }
        coordinator.certificate = reader.required("certificate", PlainText.any) ?? ""
        coordinator.key = reader.required("key", PlainText.any) ?? ""
        configuration.coordinators.append(coordinator)
    }

    private mutating func nodes(_ reader: inout SectionReader) {
        func number(_ range: ClosedRange<Int>) -> (String) throws(ValueProblem) -> Int {
            { text throws(ValueProblem) in try ConfigurationValue.integer(text, in: range) }
        }
        var nodes = ClusterConfiguration.Nodes()
        nodes.listen = reader.optional("listen", PlainText.any) ?? nodes.listen
        nodes.basePort = reader.optional("base-port", number(1...61_000)) ?? nodes.basePort
        nodes.adminBasePort = reader.optional("admin-base-port", number(1...61_000)) ?? nodes.adminBasePort
        nodes.lanes = reader.optional("lanes", number(0...64)) ?? nodes.lanes
        nodes.maximumConnections = reader.optional("max-connections", number(1...10_000)) ?? nodes.maximumConnections
        let time = ConfigurationValue.duration
        nodes.drainNotice = reader.optional("drain-notice", time) ?? nodes.drainNotice
        nodes.drainLimit = reader.optional("drain-limit", time) ?? nodes.drainLimit
        nodes.maximumAge = reader.optional("max-age", time) ?? nodes.maximumAge
        nodes.requestTimeout = reader.optional("request-timeout", time) ?? nodes.requestTimeout
        let level = { (text: String) throws(ValueProblem) in
            guard ["debug", "info", "warning", "error"].contains(text) else {
                throw ValueProblem("expected debug, info, warning or error, found '\(text)'")
            }
            return text
        }
        nodes.logLevel = reader.optional("log-level", level) ?? nodes.logLevel
        if abs(nodes.basePort - nodes.adminBasePort) < 1 {
            reader.report("base-port and admin-base-port must differ", at: reader.section.position)
        }
        configuration.nodes = nodes
    }

    mutating func finish() {
        published.checkReferences()
        problems += published.problems
        configuration.published = published.snapshot
        for kind in ["cluster", "redis", "tls"] where !seen.contains(kind) {
            problems.append(
                ConfigurationProblem(file: file, line: 1, column: 1, message: "a section [\(kind) …] is missing"))
        }
        if configuration.coordinators.isEmpty {
            problems.append(
                ConfigurationProblem(file: file, line: 1, column: 1, message: "a section [coordinator …] is missing"))
        }
    }
}
