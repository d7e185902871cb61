// Where the cluster is and how to prove who asks: options, then the environment, then the local cluster's files.
import Client
import Core
import Net
import Policy
import Wire

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
            throw UsageProblem(
                text: "'\(address)' is not an address such as 127.0.0.1:7443", hint: "set --address or SLUICE_ADDRESS")
        }
        var options = ClientOptions(
            endpoint: endpoint, tls: try tls(arguments, protocols: ["sluice/1"]),
            serverName: arguments.value("--server-name") ?? "localhost", apiKey: try key(arguments))
        options.name = "sluice \(Program.version)"
        // A person waits: three seconds without any connection are enough to tell.
        options.patience = .seconds(3)
        return options
    }

    /// What a person can do about a failure.
    static func hint(_ failure: ClientFailure) -> String? {
        switch failure {
        case .unreachable(let reason) where reason.contains("certificate"):
            return "name the CA that signed the cluster's certificate with --ca, the name in it with --server-name"
        case .unreachable: return "is the cluster running? name its address with --address or SLUICE_ADDRESS"
        case .connectionLost: return "ask again: it may have run, and then it was counted"
        case .full, .closed, .cancelled, .deadline: return nil
        case .refused(let error):
            switch error.code {
            case .authFailed: return "make a key with: sluice keys create; name it with --key-file or SLUICE_KEY"
            case .forbidden, .unknownModel:
                return "sluice keys list tells what each key may name; --model names the route"
            case .deadline: return "allow more time with --deadline"
            case .budgetExhausted, .quotaTokens, .quotaRequests, .quotaConcurrency:
                return "the limit stands in cluster.conf"
            default: return nil
            }
        }
    }

    static func tls(_ arguments: Arguments, protocols: [String]) throws(UsageProblem) -> TLSContext {
        let ca = arguments.value("--ca") ?? Host.environment("SLUICE_CA") ?? "state/pki/ca.pem"
        do {
            return try .client(trust: .file(ca), protocols: protocols, allowsTLS12: false)
        } catch {
            throw UsageProblem(text: "\(error)", hint: "name the cluster's CA with --ca or SLUICE_CA")
        }
    }

    private static func key(_ arguments: Arguments) throws(UsageProblem) -> [UInt8] {
        if arguments.value("--key-file") == nil, let key = Host.environment("SLUICE_KEY") {
            return try checked(Array(key.utf8), "SLUICE_KEY")
        }
        let file = arguments.value("--key-file") ?? "state/demo.key"
        let secret: Secret
        do throws(SecretProblem) {
            secret = try SecretFile.read(.file(file), in: ".")
        } catch {
            throw UsageProblem(
                text: "no API key: '\(file)' cannot be read: \(error)",
                hint: "set SLUICE_KEY, or name a file with --key-file")
        }
        return try checked(secret.withBytes { $0 }, "'\(file)'")
    }

    private static func checked(_ key: [UInt8], _ place: String) throws(UsageProblem) -> [UInt8] {
        guard (1...Hello.maximumKeyLength).contains(key.count) else {
            throw UsageProblem(
                text: "\(place) holds no API key: a key has 1 to \(Hello.maximumKeyLength) bytes, found \(key.count)",
                hint: "make a key with: sluice keys create")
        }
        return key
    }
}
