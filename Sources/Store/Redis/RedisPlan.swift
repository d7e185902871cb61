// How the programs of a cluster reach its Redis: the [redis] section with its paths resolved and its secrets read.

import Core
import Net
import Policy

/// Everything that a lane needs to open its Redis.
public struct RedisPlan: Sendable {
    /// What an operator must repair.
    public struct Problem: Error, CustomStringConvertible {
        /// One line.
        public let description: String
    }

    private let endpoint: Endpoint
    private let tls: TLSContext?
    private let configuration: RedisConfiguration

    /// Reads what the section refers to. `path` resolves a path of the configuration, `secret` reads a secret; nil when it cannot.
    public init(
        _ redis: ClusterConfiguration.Redis, path: (String) -> String, secret: (SecretReference) -> Secret?
    ) throws(Problem) {
        let text = redis.address
        let resolved = text.hasPrefix("unix:") ? "unix:" + path(String(text.dropFirst(5))) : text
        guard let endpoint = Endpoint.parse(resolved) else {
            throw Problem(description: "the Redis address '\(text)' is not an address")
        }
        self.endpoint = endpoint
        var configuration = RedisConfiguration(user: redis.user)
        configuration.commandTimeout = redis.commandTimeout
        if let reference = redis.password {
            guard let password = secret(reference) else {
                throw Problem(description: "the Redis password at \(reference) cannot be read")
            }
            configuration.password = password
        }
        self.configuration = configuration
        do {
            tls = try redis.ca.map { ca throws(TLSFailure) in
                try TLSContext.client(trust: .file(path(ca)), protocols: [], allowsTLS12: true)
            }
        } catch {
            throw Problem(description: "the CA of Redis: \(error)")
        }
    }

    /// Redis as `lane` sees it; not started. `seed` spreads the pauses of many nodes.
    public func open(on lane: Lane, seed: UInt64) -> Redis {
        Redis(RedisConnection(lane: lane, endpoint: endpoint, tls: tls, configuration: configuration, seed: seed))
    }
}
