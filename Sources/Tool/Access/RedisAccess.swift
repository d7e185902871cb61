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
        let plan = try plan(configuration.redis, beside: file)
        let place = "Redis at \(configuration.redis.address)"
        Program.onLane { lane in
            let redis = plan.open(on: lane, seed: Host.randomSeed())
            let reader = LedgerReader(redis)
            var hasBegun = false
            func begin() {
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
            redis.onReady = { _ in if !redis.isImpaired { begin() } }
            redis.start()
            lane.schedule(after: .seconds(5)) {
                guard !hasBegun else { return }
                // Of a cluster, what can be read without one of its primaries is read.
                if redis.primaries.contains(where: \.isReady) { return begin() }
                let reason = redis.lastFailure ?? "does not answer"
                Program.fail(
                    ExitCode.unavailable, "\(place): \(reason)",
                    hint: "run this where the nodes reach Redis; \(file) says how")
            }
        }
    }

    private static func plan(
        _ redis: ClusterConfiguration.Redis, beside file: String
    ) throws(UsageProblem) -> RedisPlan {
        do {
            return try RedisPlan(redis, in: FileAccess.folder(of: file), as: .coordinator)
        } catch {
            throw UsageProblem(text: error.description, hint: "see [redis] in \(file)")
        }
    }
}
