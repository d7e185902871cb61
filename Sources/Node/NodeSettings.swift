// What a node needs to start, taken from cluster.conf and the command line, with paths and ports resolved.
import Core
import Net
import Policy
import Store
import Telemetry

/// A node's own settings; immutable for its life.
struct NodeSettings: Sendable {
    let index: Int
    let configuration: ClusterConfiguration
    /// The folder of the configuration file; relative paths begin here.
    let folder: String
    let listen: SocketAddress
    let admin: SocketAddress
    let lanes: Int
    let logLevel: LogLevel
    /// Open descriptors that the system allows this process.
    let descriptorLimit: Int
    /// Of these, for clients and what the node opens for itself; the last fifth is for connections to providers.
    var acceptedDescriptors: Int { descriptorLimit * 8 / 10 }

    /// Resident bytes at which the node serves nobody any more: as configured, or four fifths of what the machine or its control group has.
    let memoryLimit: Int?

    var requestTimeout: Duration { configuration.nodes.requestTimeout }
    var drainLimit: Duration { configuration.nodes.drainLimit }

    /// Why a node cannot start with these settings.
    struct Problem: Error { let text: String }

    init(_ options: NodeOptions, _ configuration: ClusterConfiguration, descriptorLimit: Int) throws(Problem) {
        self.descriptorLimit = descriptorLimit
        index = options.index
        self.configuration = configuration
        folder = FileAccess.folder(of: options.configurationPath)
        memoryLimit = configuration.nodes.memoryLimit ?? Memory.limit().map { $0 / 5 * 4 }
        let nodes = configuration.nodes
        listen = try NodeSettings.address(options.listen ?? "\(nodes.listen):\(nodes.basePort + options.index)")
        admin = try NodeSettings.address(options.admin ?? "\(nodes.adminListen):\(nodes.adminBasePort + options.index)")
        let wanted = options.lanes ?? nodes.lanes
        lanes = wanted == 0 ? Host.processors : wanted
        logLevel = LogLevel(name: nodes.logLevel) ?? .info
    }

    private static func address(_ text: String) throws(Problem) -> SocketAddress {
        guard let address = SocketAddress.parse(text) else {
            throw Problem(text: "'\(text)' is not a numeric address such as 127.0.0.1:7501")
        }
        return address
    }

    /// A path of the configuration, made absolute or relative to where the program runs.
    func path(_ text: String) -> String { FileAccess.path(text, in: folder) }

    /// The secret that `/config` asks for; nil when none is configured.
    ///
    /// - Throws: when it is configured and cannot be read, or is short.
    func adminSecret() throws(Problem) -> Secret? {
        guard let reference = configuration.nodes.adminSecret else { return nil }
        let secret: Secret
        do throws(SecretProblem) {
            secret = try self.secret(reference)
        } catch {
            throw Problem(text: "the admin secret of [nodes] at \(reference) cannot be read: \(error)")
        }
        guard secret.count >= 16 else {
            throw Problem(text: "the admin secret of [nodes] at \(reference) has less than 16 characters")
        }
        return secret
    }

    /// What a reference to a secret stands for.
    func secret(_ reference: SecretReference) throws(SecretProblem) -> Secret {
        try SecretFile.read(reference, in: folder)
    }
}
