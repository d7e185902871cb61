// The Redis of a test's cluster: one server, or a set of servers that a proof's script runs.
import Core
import Foundation
import TestSupport

extension TestCluster {
    /// One server on a Unix socket, or real sets of servers: three primaries with a replica each; a primary, two replicas, three sentinels.
    enum RedisKind: String { case single, sentinel, cluster }

    /// How cluster.conf names it.
    var redisLines: String {
        switch redisKind {
        case .single where hasRedisUsers:
            """
            address = unix:state/redis.sock
            user = sluice-node
            password = file:state/redis-node.password
            coordinator-user = sluice-coordinator
            coordinator-password = file:state/redis-coordinator.password
            """
        case .single: "address = unix:state/redis.sock"
        case .cluster: "shape = cluster\naddress = 127.0.0.1:\(redisPort)\naddress = 127.0.0.1:\(redisPort + 1)"
        case .sentinel:
            "shape = sentinel\nprimary = quota\n"
                + (3...5).map { "address = 127.0.0.1:\(redisPort + $0)" }.joined(separator: "\n")
        }
    }

    /// The first of six ports; a cluster's bus has the six that begin ten later.
    private var redisPort: Int { place.base + 4 }

    var redisCommand: [String] {
        switch redisKind {
        case .single:
            RedisCommand.words(
                socket: path("state/redis.sock"), folder: path("state"), isKept: true,
                hasRedisUsers ? ["--aclfile", path("state/users.acl")] : [])
        case .sentinel, .cluster:
            [
                TestCluster.root.appending(path: "Scripts/lib/redis-shape").path, redisKind.rawValue,
                path("state/redis"), "\(redisPort)",
            ]
        }
    }

    var isRedisReady: Bool {
        redisKind == .single
            ? FileManager.default.fileExists(atPath: path("state/redis.sock")) : log("redis").hasSuffix("ready\n")
    }

    /// Asks Redis; in a set of servers the one that has the key.
    func redis(_ command: [String]) async throws -> String {
        let place: [String]
        switch redisKind {
        case .single: place = ["-s", path("state/redis.sock")]
        case .cluster: place = ["-c", "-p", "\(try await livingServer())"]
        case .sentinel: place = ["-p", "\(try await redisOwner(of: ""))"]
        }
        return try await run(["/usr/bin/redis-cli"] + place + command).output
    }

    /// The port of the primary that has a key.
    func redisOwner(of key: String) async throws -> Int {
        if redisKind == .sentinel {
            let words = ["-p", "\(redisPort + 3)", "sentinel", "get-master-addr-by-name", "quota"]
            let lines = try await run(["/usr/bin/redis-cli"] + words).output.split(separator: "\n")
            return lines.last.flatMap { Int($0) } ?? 0
        }
        let server = "\(try await livingServer())"
        let slot = try await run(["/usr/bin/redis-cli", "-p", server, "cluster", "keyslot", key]).output
        guard let slot = Int(slot.trimmingCharacters(in: .newlines)) else { return 0 }
        let nodes = try await run(["/usr/bin/redis-cli", "-p", server, "cluster", "nodes"]).output
        for line in nodes.split(separator: "\n") where line.contains("master") && !line.contains("fail") {
            let words = line.split(separator: " ")
            let isOwner = words.dropFirst(8).contains { range in
                let ends = range.split(separator: "-").compactMap { Int($0) }
                return (ends.first ?? .max) <= slot && slot <= (ends.last ?? -1)
            }
            // `127.0.0.1:7000@17000`, and perhaps a host name.
            guard isOwner, let port = words[1].split(separator: ":").last?.split(separator: "@").first else { continue }
            return Int(port) ?? 0
        }
        throw ClusterFailure(description: "nobody has '\(key)'")
    }

    private func livingServer() async throws -> Int {
        for port in redisPort...redisPort + 5 {
            if try await run(["/usr/bin/redis-cli", "-p", "\(port)", "ping"]).output == "PONG\n" { return port }
        }
        throw ClusterFailure(description: "no Redis answers")
    }

    /// kill -9 to the server on a port.
    func killRedis(_ port: Int) throws {
        for line in log("redis").split(separator: "\n") where line.hasPrefix("server \(port) ") {
            guard let pid = line.split(separator: " ").last.flatMap({ Int32($0) }) else { continue }
            _ = Foundation.kill(pid, SIGKILL)
            return
        }
        throw ClusterFailure(description: "no server has port \(port)")
    }
}
