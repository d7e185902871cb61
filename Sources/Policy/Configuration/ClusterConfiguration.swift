// The whole of `cluster.conf`, typed: what each program needs to start, and what the coordinator publishes.
import Core

/// A cluster as its file describes it. Made only without any problem.
public struct ClusterConfiguration: Sendable, Equatable {
    /// How to reach Redis.
    public struct Redis: Sendable, Equatable {
        /// How many servers there are, and who knows which one to use.
        public enum Shape: Sendable, Equatable {
            /// One server.
            case single
            /// A primary with replicas; the addresses are of the sentinels that watch it under this name.
            case sentinel(primary: String)
            /// A Redis Cluster; the addresses are of some of its servers.
            case cluster
        }

        /// One server, unless told.
        public var shape = Shape.single
        /// `host:port`, or `unix:path` for a single server.
        public var addresses: [String] = []
        /// All addresses, for people.
        public var address: String { addresses.joined(separator: " ") }
        /// The ACL user of the sentinels.
        public var sentinelUser: String?
        /// Where the sentinels' password is kept.
        public var sentinelPassword: SecretReference?
        /// The ACL user: of nodes, and of coordinators too where they have none of their own.
        public var user: String?
        /// Where the password is kept.
        public var password: SecretReference?
        /// The ACL user of coordinators and of the tool, who may change keys, lease and configuration.
        public var coordinatorUser: String?
        /// Where their password is kept.
        public var coordinatorPassword: SecretReference?
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
        /// Certificates that are good no more, though they have not expired: lists of revoked certificates of the CA.
        public var crl: String?
        /// Whether clients are asked for certificates: `off`, `optional` or `required`.
        public var clientCertificates = "off"
    }

    /// One coordinator.
    public struct Coordinator: Sendable, Equatable {
        /// Its name.
        public internal(set) var name: String
        /// Where nodes subscribe.
        public var listen = "127.0.0.1:7400"
        /// Its admin interface.
        public var admin = "127.0.0.1:7401"
        /// Where the secret of the admin interface is kept.
        public var adminSecret = SecretReference.file("state/admin.secret")
        /// Whether that speaks plain HTTP; nil: on a loopback address only.
        public var adminPlainHTTP: Bool?
        /// Its certificate, for nodes and on the admin port.
        public var certificate = ""
        /// Its key.
        public var key = ""

        /// True when the admin port speaks plain HTTP: by word, or because nobody but this machine reaches it.
        public var adminIsPlain: Bool {
            adminPlainHTTP ?? (admin.hasPrefix("127.") || admin.hasPrefix("[::1]") || admin.hasPrefix("unix:"))
        }
        /// Where tools reach it.
        public var adminURL: String { "\(adminIsPlain ? "http" : "https")://\(admin)" }

        /// The least bytes of the admin secret: who can try it must not find it.
        public static let leastSecretBytes = 32

        /// Why a secret of so many bytes is none; nil when it is long enough.
        public func problem(ofSecretWith count: Int) -> String? {
            guard count < Coordinator.leastSecretBytes else { return nil }
            return "[coordinator \(name)] admin-secret: \(adminSecret) has \(count) bytes, "
                + "at least \(Coordinator.leastSecretBytes) are needed; make one with: openssl rand -hex 32"
        }
    }

    /// What nodes have in common.
    public struct Nodes: Sendable, Equatable {
        /// The host part of their addresses.
        public var listen = "127.0.0.1"
        /// Node N serves clients on this port + N.
        public var basePort = 7500
        /// The host part of their admin ports' addresses.
        public var adminListen = "127.0.0.1"
        /// Node N has its admin port on this + N.
        public var adminBasePort = 7600
        /// Where the secret is kept that `/config` of an admin port asks for; nil: it is not served.
        public var adminSecret: SecretReference?
        /// Whose connections begin with a PROXY header that names the real client.
        public var balancerAddresses: [Network] = []
        /// Event loops of a node; 0 for one a processor.
        public var lanes = 0
        /// Client connections of a lane.
        public var maximumConnections = 10_000
        /// The part of them, in per cent, that one key may have.
        public var keyConnectionsPercent = 25
        /// The part of them, in per cent, that one org may have.
        public var orgConnectionsPercent = 50
        /// Body bytes of requests that one key may hold on a lane.
        public var keyBodyBytes = 64 << 20
        /// Body bytes of requests that one org may hold on a lane.
        public var orgBodyBytes = 128 << 20
        /// How long a draining node still accepts, so that the balancer notices first.
        public var drainNotice = Duration.seconds(10)
        /// The longest that a drain waits for running requests.
        public var drainLimit = Duration.seconds(620)
        /// A client connection older than this is sent elsewhere.
        public var maximumAge = Duration.seconds(1_800)
        /// The standard time limit of a request that names none.
        public var requestTimeout = Duration.seconds(120)
        /// Requests that wait for one provider on one lane.
        public var queueLimit = 1_024
        /// The longest waits of interactive, background and batch requests; the first also at most a tenth of their time.
        public var queueWaits = [Duration.seconds(1), .seconds(10), .seconds(120)]
        /// What each class can count on when all of them wait.
        public var classFloors = ClassFloors.standard
        /// A key that makes more requests a second than this on one lane takes blocks of quota; 0: never.
        public var leaseRate = 50
        /// How long an answer is kept for a client whose connection broke, where it asked for that; zero: never.
        public var resumeTime = Duration.seconds(10)
        /// Response bytes kept of one such answer; a client's window must fit.
        public var resumeBuffer = 128 << 10
        /// Memory for all such answers of a lane.
        public var resumeMemory = 64 << 20
        /// A node that starts does not obey a saved snapshot that no coordinator confirmed for this long.
        public var snapshotMaximumAge = Duration.seconds(7 * 86_400)
        /// Resident memory of a node at which it serves nobody any more; nil: four fifths of what there is.
        public var memoryLimit: Int?
        /// How late a lane may be before it serves interactive requests only.
        public var lagLimit = Duration.milliseconds(100)
        /// Output tokens of a request while the node has too much to do.
        public var overloadMaximumOutput = 1_024
        /// The least grave lines that are written: `debug`, `info`, `warning` or `error`.
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
    /// How long the ledger keeps what.
    public var ledger = LedgerRetention.standard
    /// The address of the balancer in front, for tools.
    public var balancer: String?
    /// A price list in CSV; its models are published when a route uses them.
    public var priceList: String?
    /// Where the list is named.
    var priceListPosition = ConfigurationPosition(line: 1, column: 1)
    /// What is published to nodes; `parse` leaves out the prices of the list, and keys made at run time are in Redis.
    public var published = ClusterSnapshot()
    /// Where each target is named, to report one without a price at its place.
    var targetPlaces: [TargetPlace] = []

    /// A route's target and its place in the file.
    struct TargetPlace: Sendable, Equatable {
        let route: String
        let target: RouteTarget
        let position: ConfigurationPosition
    }

    /// Every problem of a file.
    public struct Problems: Error, Sendable, Equatable, CustomStringConvertible {
        /// In the order of the file.
        public let list: [ConfigurationProblem]
        /// One line each.
        public var description: String { list.map(\.description).joined(separator: "\n") }
    }

    /// Reads a file's text, without the price list that it names.
    ///
    /// - Throws: all problems at once.
    public static func parse(_ text: String, file: String) throws(Problems) -> ClusterConfiguration {
        let (configuration, problems) = read(Array(text.utf8), file: file)
        guard problems.isEmpty else { throw Problems(list: problems) }
        return configuration
    }

    /// Reads a file and the price list that it names: what `sluice check` and the coordinator do.
    ///
    /// `read` gives the bytes of a path or says why it cannot; the path of the list begins at the file's folder.
    ///
    /// - Throws: the problems of both files at once.
    public static func load(
        _ path: String, reading read: (String) throws(ValueProblem) -> [UInt8]
    ) throws(Problems) -> ClusterConfiguration {
        let bytes: [UInt8]
        do {
            bytes = try read(path)
        } catch {
            throw Problems(list: [ConfigurationProblem(file: path, line: 1, column: 1, message: error.message)])
        }
        var (configuration, problems) = self.read(bytes, file: path)
        var prices: [String: ModelPrice]? = [:]
        if let list = configuration.priceList {
            let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
            do {
                let bytes = try read(list.hasPrefix("/") ? list : folder + list)
                let (found, complaints) = PriceList.parse(String(decoding: bytes, as: UTF8.self), file: list)
                problems += complaints
                prices = found
            } catch {
                prices = nil
                let place = configuration.priceListPosition
                problems.append(
                    ConfigurationProblem(file: path, line: place.line, column: place.column, message: error.message))
            }
        }
        if let prices { problems += configuration.take(prices, file: path) }
        guard problems.isEmpty else { throw Problems(list: problems) }
        return configuration
    }

    private static func read(_ bytes: [UInt8], file: String) -> (ClusterConfiguration, [ConfigurationProblem]) {
        let (document, syntax) = ConfigurationDocument.parse(bytes, file: file)
        var reader = ClusterReader(file: file)
        for section in document.sections { reader.read(section) }
        reader.finish()
        let all = (syntax + reader.problems).sorted { ($0.line, $0.column) < ($1.line, $1.column) }
        return (reader.configuration, all)
    }

    /// Publishes the prices of the models that routes use. With a budget anywhere, a target without a price is a problem:
    /// its requests would be refused, because what they cost would not be known.
    private mutating func take(_ list: [String: ModelPrice], file: String) -> [ConfigurationProblem] {
        let tenants = Array(published.orgs.values) + Array(published.teams.values)
        let hasBudget = tenants.contains { ($0.limits + $0.keyLimits).contains { $0.unit == .microUSD } }
        var problems: [ConfigurationProblem] = []
        for place in targetPlaces where published.prices[place.target.model] == nil {
            if let price = list[place.target.model] {
                published.prices[place.target.model] = price
            } else if hasBudget {
                let model = place.target.model
                let message = """
                    '\(model)' has no price, and there is a limit in dollars; expected it in the price list or in a \
                    section [price \(model)]
                    """
                problems.append(
                    ConfigurationProblem(
                        file: file, line: place.position.line, column: place.position.column, message: message))
            }
        }
        return problems
    }
}
