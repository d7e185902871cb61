// Where the cluster is and how to prove who asks: options, then the environment, then the local cluster's files.
import Client
import Core
import Net
import Policy

/// Finds a cluster for the commands that speak its wire protocol.
enum ClusterAccess {
    static let options: Set<String> = ["--address", "--key-file", "--ca", "--server-name"]

    static let help = """
          --address HOST:PORT  the cluster (or SLUICE_ADDRESS; default 127.0.0.1:7443)
          --key-file FILE      a file with the API key (or SLUICE_KEY; default state/demo.key)
          --ca FILE            the CA that signed the cluster's certificate (or SLUICE_CA; default state/pki/ca.pem)
          --server-name NAME   the name in that certificate (default: localhost)

        """

    static func client(_ arguments: Arguments) throws(UsageProblem) -> ClientOptions {
        let address = arguments.value("--address") ?? Host.environment("SLUICE_ADDRESS") ?? "127.0.0.1:7443"
        guard let endpoint = Endpoint.parse(address) else {
            throw UsageProblem(text: "'\(address)' is not an address such as 127.0.0.1:7443")
        }
        return ClientOptions(
            endpoint: endpoint, tls: try tls(arguments, protocols: ["sluice/1"]),
            serverName: arguments.value("--server-name") ?? "localhost", apiKey: try key(arguments))
    }

    static func tls(_ arguments: Arguments, protocols: [String]) throws(UsageProblem) -> TLSContext {
        let ca = arguments.value("--ca") ?? Host.environment("SLUICE_CA") ?? "state/pki/ca.pem"
        do {
            return try .client(trust: .file(ca), protocols: protocols, allowsTLS12: false)
        } catch {
            throw UsageProblem(text: "\(error); name the cluster's CA with --ca or SLUICE_CA")
        }
    }

    private static func key(_ arguments: Arguments) throws(UsageProblem) -> [UInt8] {
        if arguments.value("--key-file") == nil, let key = Host.environment("SLUICE_KEY") { return Array(key.utf8) }
        let file = arguments.value("--key-file") ?? "state/demo.key"
        guard let bytes = try? FileAccess.read(file, limit: 1_024) else {
            throw UsageProblem(
                text: "no API key: set SLUICE_KEY, or name a file with --key-file ('\(file)' cannot be read)")
        }
        return bytes.filter { $0 > 0x20 }
    }
}
