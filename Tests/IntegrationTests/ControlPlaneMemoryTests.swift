// What connections hold of the cluster's state: nothing that a snapshot replaced.
import Core
import Foundation
import Testing

@Suite(.serialized) struct ControlPlaneMemoryTests {
    /// Many keys, for `Scripts/prove control-plane`; else fewer, so that all tests together stay quick.
    private static let isProof = ProcessInfo.processInfo.environment["SLUICE_PROVE_CONTROL_PLANE"] != nil

    @Test func `connections hold no snapshot of their beginning`() async throws {
        try await withCluster { cluster in
            let (keys, connections) = Self.isProof ? (20_000, 60) : (2_000, 12)
            try await fill(cluster, keys: keys)
            try await cluster.wait("all keys at node 1", seconds: 120) {
                await cluster.configuration(node: 1).contains("[key k\(99_999 + keys)]")
            }
            // What a change costs for a moment is paid before.
            for _ in 0..<5 { _ = try await cluster.createKey(team: "search") }
            let before = try await cluster.metric("process_resident_memory_bytes", node: 1)
            var callers: [Caller] = []
            for _ in 0..<connections {
                let caller = try Caller(cluster, node: 1)
                // A debug build takes seconds for a change among so many keys, and handshakes wait for it.
                try await cluster.wait("a connection", seconds: 60) { await caller.readyConnections() > 0 }
                callers.append(caller)
                _ = try await cluster.createKey(team: "search")
            }
            let after = try await cluster.metric("process_resident_memory_bytes", node: 1)
            let grown = max(0, Int((after - before) / 1_048_576))
            if Self.isProof {
                print("control-plane.sixty_connections_mib \(grown) 10 \(grown <= 10 ? "ok" : "SHORT")")
            }
            #expect(grown <= 10)
            #expect(callers.count == connections)
        }
    }

    /// Keys straight into Redis, as a coordinator writes them.
    private func fill(_ cluster: TestCluster, keys count: Int) async throws {
        let hash = String(repeating: "0f", count: 32)
        let lines = (0..<count).map { number in
            #"HSET meta:{keys}:keys k\#(number + 100_000) "hash = \#(hash)\norg = acme\nteam = search\nmodel = *""#
        }
        try cluster.write("keys.redis", lines.joined(separator: "\n") + "\nDEL meta:{keys}:version\n")
        let answer = try await cluster.run([
            "/bin/sh", "-c",
            "/usr/bin/redis-cli -s \(cluster.path("state/redis.sock")) < \(cluster.path("keys.redis")) >/dev/null",
        ])
        guard answer.status == 0 else { throw ClusterFailure(description: "no keys: \(answer.error)") }
    }
}
