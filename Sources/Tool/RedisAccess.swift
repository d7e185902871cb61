// The cluster's Redis, reached as cluster.conf says, for commands that read accounts.
import Core
import Net
import Policy
import Store

enum RedisAccess {
    static let options = AdminCall.options
    static let help = """
          --config FILE        the cluster's description (or SLUICE_CONFIG; default: cluster.conf);
                               its [redis] section says where the accounts are

        """

    /// Reads with `body` on a lane and ends the program with the code that it returns.
    static func read(
        _ arguments: Arguments,
        _ body: @escaping @Sendable (LedgerReader, ClusterConfiguration) async throws(StoreError) -> Int32
    ) throws(UsageProblem) {
        let file = AdminCall.file(arguments)
        let configuration = try ConfigurationFile.read(file)
        let (endpoint, tls, settings) = try access(configuration.redis, beside: file)
        let place = "Redis at \(configuration.redis.address)"
        Program.onLane { lane in
            let redis = RedisConnection(
                lane: lane, endpoint: endpoint, tls: tls, configuration: settings, seed: Host.randomSeed())
            let reader = LedgerReader(redis)
            var hasBegun = false
            redis.onReady = { _ in
                guard !hasBegun else { return }
                hasBegun = true
                lane.spawn {
                    do throws(StoreError) {
                        Host.exit(try await body(reader, configuration))
                    } catch {
                        Program.fail(ExitCode.unavailable, "\(place): \(error)")
                    }
                }
            }
            redis.start()
            lane.schedule(after: .seconds(5)) {
                guard !hasBegun else { return }
                let reason = redis.lastFailure ?? "does not answer"
                Program.fail(
                    ExitCode.unavailable, "\(place): \(reason)",
                    hint: "run this where the nodes reach Redis; \(file) says how")
            }
        }
    }

    private static func access(
        _ redis: ClusterConfiguration.Redis, beside file: String
    ) throws(UsageProblem) -> (Endpoint, TLSContext?, RedisConfiguration) {
        let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
        func path(_ text: String) -> String { text.hasPrefix("/") ? text : folder + text }
        let isPath = redis.address.hasPrefix("unix:")
        guard let endpoint = Endpoint.parse(isPath ? "unix:" + path(String(redis.address.dropFirst(5))) : redis.address)
        else { throw UsageProblem(text: "'\(redis.address)' in \(file) is not an address") }
        var settings = RedisConfiguration(user: redis.user)
        if let reference = redis.password {
            guard let password = ConfigurationFile.secret(reference, beside: file) else {
                throw UsageProblem(text: "the Redis password at \(reference) cannot be read", hint: "\(file) names it")
            }
            settings.password = password
        }
        guard let ca = redis.ca else { return (endpoint, nil, settings) }
        do {
            return (endpoint, try .client(trust: .file(path(ca)), protocols: [], allowsTLS12: true), settings)
        } catch {
            throw UsageProblem(text: "\(error)", hint: "\(file) names the CA of Redis")
        }
    }
}
