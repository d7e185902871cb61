// A real cluster of real processes for one test: Redis, coordinator, simulator, two nodes, HAProxy.
import Core
import Foundation
import TestSupport
import Testing

/// Why a cluster did not come up; names the log.
struct ClusterFailure: Error, CustomStringConvertible {
    let description: String
}

/// Runs `body` with a fresh cluster that is gone afterwards. `teams` are further lines of cluster.conf.
func withCluster(
    _ teams: String = "", org: String = "", provider: String = "", nodes: String = "lanes = 1",
    redis: TestCluster.RedisKind = .single, redisUsers: Bool = false,
    prepare: (TestCluster) throws -> Void = { _ in }, _ body: (TestCluster) async throws -> Void
) async throws {
    await Gate.shared.enter()
    do {
        let cluster = try TestCluster(
            teams: teams, org: org, provider: provider, nodes: nodes, redis: redis, users: redisUsers)
        do {
            try prepare(cluster)
            try await cluster.start()
            try await body(cluster)
        } catch {
            let words = ["sim", "coordinator", "node-1"].map { "\($0) said: \(cluster.log($0).suffix(800))" }
            Issue.record(error, "\(words.joined(separator: "\n"))")
        }
        await cluster.stop()
    } catch {
        Issue.record(error)
    }
    await Gate.shared.leave()
}

/// At most two clusters at once, so that each has its share of the machine.
private actor Gate {
    static let shared = Gate()
    private var free = 2
    private var waiters: [CheckedContinuation<Void, Never>] = []

    func enter() async {
        if free > 0 { return free -= 1 }
        await withCheckedContinuation { waiters.append($0) }
    }

    func leave() { if waiters.isEmpty { free += 1 } else { waiters.removeFirst().resume() } }
}

/// Processes and files in a place of their own.
final class TestCluster: @unchecked Sendable {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    let place: Place
    /// The shape of its Redis.
    let redisKind: RedisKind
    /// Whether nodes and coordinator have users of their own there, as the operators' guide has them.
    let hasRedisUsers: Bool
    private let lock = NSLock()
    private var children: [String: Child] = [:]
    private var count = 0
    private(set) var key = ""

    /// Where the built programs are: beside the tests themselves.
    static let products =
        Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL.deletingLastPathComponent()
        ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()

    init(teams: String, org: String, provider: String, nodes: String, redis: RedisKind, users: Bool = false) throws {
        place = try Place()
        redisKind = redis
        hasRedisUsers = users
        try write(
            "cluster.conf",
            """
            [cluster test]
            state-directory = state
            [redis main]
            \(redisLines)
            command-timeout = \(redisKind == .single ? "250ms" : "1s")
            [tls cluster]
            ca = state/pki/ca.pem
            certificate = state/pki/node.pem
            key = state/pki/node.key
            [coordinator a]
            listen = 127.0.0.1:\(at("coordinator"))
            admin = 127.0.0.1:\(at("admin"))
            admin-secret = file:state/admin.secret
            certificate = state/pki/coordinator.pem
            key = state/pki/coordinator.key
            [nodes edge]
            balancer-addresses = 127.0.0.2
            base-port = \(at("node"))
            admin-base-port = \(at("nodeAdmin"))
            admin-secret = file:state/node-admin.secret
            \(nodes)
            \(nodes.contains("lag-limit") ? "" : "lag-limit = 10s")
            drain-notice = 2s
            drain-limit = 10s
            [balancer main]
            listen = 127.0.0.1:\(at("balancer"))
            [provider sim]
            kind = openai
            base-url = http://127.0.0.1:\(at("sim"))/v1
            allow-plain-http = yes
            api-key = file:state/provider.key
            \(provider)
            [price gpt-6-luna]
            input = $0.10 / 1M tokens
            output = $0.50 / 1M tokens
            [route chat-default]
            target = sim/gpt-6-luna
            max-output = 1000000
            [org acme]
            limit = 1M requests / minute
            \(org)
            [team acme/search]
            \(teams)

            """)
        try write("state/admin.secret", "admin-canary-7f3a9c-0123456789abcdef\n")
        try write("state/node-admin.secret", "node-canary-31c0aa52\n")
        try write("state/provider.key", "provider-canary-51be20\n")
    }

    // MARK: - Files and ports

    func write(_ name: String, _ text: String) throws {
        let file = place.folder.appending(path: name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }

    func read(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

    func at(_ name: String) -> Int {
        let offsets = [
            "balancer": 0, "coordinator": 1, "admin": 2, "sim": 3, "node": 10, "nodeAdmin": 20,
        ]
        return place.base + (offsets[name] ?? 0)
    }

    func path(_ name: String) -> String { place.folder.appending(path: name).path }
    func log(_ name: String) -> String { (try? String(contentsOfFile: path("\(name).log"), encoding: .utf8)) ?? "" }

    /// A file of the test's own that no other call has.
    func fresh(_ name: String) -> String {
        lock.withLock {
            count += 1
            return path("\(name).\(count)")
        }
    }

    // MARK: - Processes

    func start() async throws {
        try await script("certificates", [path("state")])
        try await script("haproxy", ["1", "2"])
        try await launch("redis")
        try await launch("sim")
        // Before the nodes: a provider that is not there yet would open their breakers.
        try await wait("the simulator", seconds: 60) {
            await self.http(self.at("sim"), "/v1/models").status == 200
        } otherwise: {
            self.log("sim")
        }
        try await wait("Redis", seconds: 60) { self.isRedisReady }
        for name in ["coordinator", "node-1", "node-2"] { try await launch(name) }
        try await waitReady(1, 2)
        // After the nodes: its first checks find them, and no client's first connection meets a balancer without servers.
        try await launch("haproxy")
        key = try await createKey(team: "search")
        for node in [1, 2, nil] {
            var last: Answer?
            try await wait("a first answer from \(node.map { "node \($0)" } ?? "the balancer")", seconds: 60) {
                last = try await self.chat("hi", node: node)
                return last?.status == 0
            } otherwise: {
                "\(last?.error ?? "")"
            }
        }
    }

    private func script(_ name: String, _ arguments: [String]) async throws {
        let answer = try await run([TestCluster.root.appending(path: "Scripts/lib/\(name)").path] + arguments)
        guard answer.status == 0 else { throw ClusterFailure(description: "Scripts/lib/\(name): \(answer.error)") }
    }

    /// Starts one of the cluster's processes, for the first time or again; its log goes to `output`, a file of its own when that is nil.
    func launch(_ name: String, output: String? = nil) async throws {
        let command: [String]
        switch name {
        case "redis": command = redisCommand
        // Loads its data slowly enough to be seen loading.
        case "redis-slowly": command = redisCommand + ["--key-load-delay", "200"]
        // A script that does not end by itself.
        case "redis-script":
            command = ["/usr/bin/redis-cli", "-s", path("state/redis.sock"), "eval", "while true do end", "0"]
        case "sim": command = [program("sluice-provider-sim"), "--listen", "127.0.0.1:\(at("sim"))"]
        case "coordinator": command = [program("sluice-coordinator"), "--config", path("cluster.conf")]
        case "haproxy": command = ["/usr/sbin/haproxy", "-db", "-f", path("state/haproxy.cfg")]
        default:
            let number = String(name.split(separator: "-").last ?? "")
            command = [program("sluice-node"), "--config", path("cluster.conf"), "--index", number]
        }
        let file = path("\(name).log")
        let child = try await Child.start(command, in: place.folder.path, output: output ?? file, error: file)
        lock.withLock { children[name] = child }
    }

    /// Starts a node that the system gives no more than `limit` descriptors.
    func launchWithDescriptors(_ limit: Int, node: Int) async throws {
        let file = path("node-\(node).log")
        let command = ["/usr/bin/prlimit", "--nofile=\(limit):\(limit)", program("sluice-node")]
        let child = try await Child.start(
            command + ["--config", path("cluster.conf"), "--index", "\(node)"], in: place.folder.path, output: file,
            error: file)
        lock.withLock { children["node-\(node)"] = child }
    }

    func program(_ name: String) -> String { TestCluster.products.appending(path: name).path }

    /// The process of that name.
    func child(_ name: String) throws -> Child {
        guard let child = lock.withLock({ children[name] }) else {
            throw ClusterFailure(description: "\(name) was never started")
        }
        return child
    }

    /// kill -9, and its end.
    func kill(_ name: String) async throws { await (try child(name)).end() }

    func waitReady(_ nodes: Int...) async throws {
        for node in nodes {
            try await wait("node \(node)") { await self.http(self.at("nodeAdmin") + node, "/readyz").status == 200 }
        }
    }

    func stop() async {
        let all = lock.withLock { Array(children.values) }
        for child in all { child.signal(SIGKILL) }
        for child in all { _ = await child.exit() }
        // Only programs that were built with a sanitizer say so.
        for name in lock.withLock({ children.keys.sorted() }) where log(name).contains("WARNING: ThreadSanitizer") {
            Issue.record("\(name): \(log(name).components(separatedBy: "WARNING: ThreadSanitizer")[1].prefix(3_000))")
        }
        place.leave()
    }

    /// Waits until the condition holds.
    func wait(
        _ what: String, seconds: Double = 20, _ condition: () async throws -> Bool, otherwise: () -> String = { "" }
    ) async throws {
        try await eventually(what, seconds: seconds, pause: .milliseconds(20), condition, otherwise: otherwise)
    }
}
