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

    /// Who connects: each is an ACL user of its own, where the configuration has two.
    public enum Program: Sendable {
        /// Counts, reserves and settles; trips breakers.
        case node
        /// Keeps keys, lease and configuration; reads accounts. The tool counts as one.
        case coordinator
    }

    private let place: RedisPlace
    private let tls: TLSContext?
    private let configuration: RedisConfiguration

    /// Reads what the section refers to; relative paths begin at `folder`.
    public init(
        _ redis: ClusterConfiguration.Redis, in folder: String, as program: Program
    ) throws(Problem) {
        func path(_ text: String) -> String { FileAccess.path(text, in: folder) }
        func password(_ reference: SecretReference?) throws(Problem) -> Secret? {
            guard let reference else { return nil }
            do throws(SecretProblem) {
                return try SecretFile.read(reference, in: folder)
            } catch {
                throw Problem(description: "the Redis password at \(reference) cannot be read: \(error)")
            }
        }
        var endpoints: [Endpoint] = []
        for text in redis.addresses {
            let resolved = text.hasPrefix("unix:") ? "unix:" + path(String(text.dropFirst(5))) : text
            guard let endpoint = Endpoint.parse(resolved) else {
                throw Problem(description: "the Redis address '\(text)' is not an address")
            }
            endpoints.append(endpoint)
        }
        guard let first = endpoints.first else { throw Problem(description: "Redis has no address") }
        let isApart = program == .coordinator && redis.coordinatorPassword != nil
        var configuration = RedisConfiguration(
            user: isApart ? redis.coordinatorUser : redis.user,
            password: try password(isApart ? redis.coordinatorPassword : redis.password))
        configuration.commandTimeout = redis.commandTimeout
        self.configuration = configuration
        switch redis.shape {
        case .single: place = .single(first)
        case .cluster: place = .cluster(endpoints)
        case .sentinel(let primary):
            let access = RedisConfiguration(user: redis.sentinelUser, password: try password(redis.sentinelPassword))
            place = .sentinel(endpoints, primary: primary, access)
        }
        do {
            tls = try redis.ca.map { ca throws(TLSFailure) in
                try TLSContext.client("redis", trust: .file(path(ca)), protocols: [], allowsTLS12: true)
            }
        } catch {
            throw Problem(description: "the CA of Redis: \(error)")
        }
    }

    /// Redis as `lane` sees it; not started. `seed` spreads the pauses of many nodes.
    public func open(on lane: Lane, seed: UInt64) -> Redis {
        Redis(place, network: LaneNetwork(lane: lane, tls: tls), configuration: configuration, seed: seed)
    }
}
