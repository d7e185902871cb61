// The two users of Redis: the rules of the operators' guide are enough for a whole cluster, and keep a node from what is a coordinator's.
import Core
import Foundation
import Testing

@Suite struct RedisUserTests {
    private static let nodePassword = "node-password-0123456789abcdef"
    private static let coordinatorPassword = "coordinator-password-0123456789ab"

    /// The rules as operators read them, with passwords.
    private static func rules() throws -> [String] {
        let guide = try String(contentsOf: TestCluster.root.appending(path: "Docs/operating.md"), encoding: .utf8)
        return guide.split(separator: "\n").filter { $0.hasPrefix("user sluice-") }.map {
            $0.replacingOccurrences(of: "NODE-PASSWORD", with: nodePassword)
                .replacingOccurrences(of: "COORDINATOR-PASSWORD", with: coordinatorPassword)
        }
    }

    private func prepare(_ cluster: TestCluster) throws {
        // The test itself looks at everything.
        let lines = try RedisUserTests.rules() + ["user default on nopass ~* &* +@all"]
        try cluster.write("state/users.acl", lines.joined(separator: "\n") + "\n")
        try cluster.write("state/redis-node.password", RedisUserTests.nodePassword + "\n")
        try cluster.write("state/redis-coordinator.password", RedisUserTests.coordinatorPassword + "\n")
    }

    @Test func `a cluster runs whole with the two users, and no command of it is refused`() async throws {
        try await withCluster(
            "limit = 1000 requests / minute\nlimit = $50 / month\nlimit = 50 concurrent",
            nodes: "lanes = 1\nlease-rate = 2", redisUsers: true, prepare: prepare
        ) { cluster in
            let users = try await cluster.redis(["client", "list"])
            #expect(users.contains("user=sluice-node") && users.contains("user=sluice-coordinator"))
            // Reservations, settlements, blocks of a key that is hot, an order about a breaker, and what reads and changes keys and accounts.
            for _ in 0..<3 {
                for _ in 0..<12 { #expect(try await cluster.chat("hi", node: 1).status == 0) }
            }
            let commands = [
                ["keys", "list"], ["keys", "show", String(cluster.key.split(separator: "_")[1])], ["usage"],
                ["config", "history"], ["breaker", "open", "sim/gpt-6-luna", "--for", "5s", "--reason", "test"],
                ["breaker", "list"], ["canary", "status"],
                ["explain", "--key", String(cluster.key.split(separator: "_")[1]), "--model", "chat-default"],
                ["keys", "revoke", String(cluster.key.split(separator: "_")[1])],
            ]
            for command in commands {
                let words = [cluster.program("sluice")] + command + ["--config", cluster.path("cluster.conf")]
                let answer = try await cluster.run(words)
                #expect(!answer.error.contains("NOPERM"), "\(command): \(answer.error)")
            }
            try await cluster.wait("the settlements") {
                let length = try await cluster.redis(["xlen", "q:{acme}:l"])
                return (Int(length.trimmingCharacters(in: .newlines)) ?? 0) >= 36
            }
            // Once more from nothing: scripts are loaded, keys written back.
            _ = try await cluster.redis(["script", "flush"])
            _ = try await cluster.redis(["flushall"])
            try await cluster.wait("the keys", seconds: 30) {
                try await cluster.redis(["hlen", "meta:{keys}:keys"]) != "0\n"
            }
            #expect(try await cluster.redis(["acl", "log"]).trimmingCharacters(in: .newlines).isEmpty)
            for name in ["coordinator", "node-1", "node-2"] { #expect(!cluster.log(name).contains("NOPERM")) }

            // What a node's password is good for.
            let refused = [
                ["set", "coord:{lead}:x", "1"], ["hset", "coord:{lead}:lease", "holder", "me"],
                ["hset", "meta:{keys}:keys", "k", "v"], ["hget", "meta:{keys}:keys", "k"],
                ["unlink", "meta:{keys}:keys"],
                ["eval", "return redis.call('HSET', KEYS[1], 'a', 'b')", "1", "coord:{lead}:kept"],
                ["eval", "return redis.call('HSET', 'meta:{keys}:keys', 'a', 'b')", "1", "q:{acme}"],
                ["flushall"], ["config", "get", "*"], ["keys", "*"], ["scan", "0"], ["acl", "whoami"], ["shutdown"],
                ["script", "flush"], ["replicaof", "127.0.0.1", "1"],
            ]
            let node = ["--user", "sluice-node", "--pass", RedisUserTests.nodePassword, "--no-auth-warning"]
            for command in refused {
                let words = ["/usr/bin/redis-cli", "-s", cluster.path("state/redis.sock")] + node + command
                let answer = try await cluster.run(words)
                // The second is what a script hears that touches another key than it named.
                let isRefused = ["NOPERM", "can't access at least one"].contains { answer.output.contains($0) }
                #expect(isRefused, "\(command): \(answer.output)")
            }
        }
    }

    @Test func `the guide's rules name every command of the scripts`() throws {
        let rules = try RedisUserTests.rules()
        #expect(rules.count == 2)
        let folder = TestCluster.root.appending(path: "Sources/Store/Scripts")
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.path) where file.hasSuffix(".lua") {
            let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
            // Coordinators lead, keep and replace; nodes do the rest; both look.
            let users = ["lead.lua", "keep.lua", "replace.lua"].contains(file) ? [1] : [0]
            for match in text.matches(of: /call\('([A-Z]+)'/) {
                for user in users {
                    #expect(
                        rules[user].contains("+\(match.output.1.lowercased()) ")
                            || rules[user].hasSuffix("+\(match.output.1.lowercased())"),
                        "\(file): \(match.output.1) of \(rules[user].prefix(30))")
                }
            }
        }
    }
}
