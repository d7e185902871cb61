// A node is added to two that are busy: their clients move to it within seconds, and no request notices.
import Core
import Foundation
import Testing

@Suite struct RebalanceTests {
    @Test func `connections spread over a node that was added, long before they are old, and no request fails`()
        async throws
    {
        try await withCluster(nodes: "lanes = 2") { cluster in
            let load = try await cluster.beginTool([
                "bench", "--stream", "--tokens", "10", "--pace", "20ms", "--concurrency", "24", "--connections", "60",
                "--requests", "4500", "--warmup", "0", "--json",
            ])
            func connections() async throws -> [Double] {
                var found: [Double] = []
                for node in [1, 2, 3] { found.append(try await cluster.metric("sluice_connections", node: node)) }
                return found
            }
            try await cluster.wait("all connections") {
                let first = try await cluster.metric("sluice_connections", node: 1)
                return first + (try await cluster.metric("sluice_connections", node: 2)) >= 60
            }
            try await cluster.launch("node-3")
            try await cluster.waitReady(3)
            let order = "set server nodes/node3 state ready; enable health nodes/node3; enable server nodes/node3"
            let told = try await cluster.run([
                "/bin/sh", "-c", "echo '\(order)' | socat - UNIX-CONNECT:\(cluster.path("state/haproxy.sock"))",
            ])
            #expect(told.status == 0, "\(told.error)")
            try await cluster.wait("a third for each", seconds: 60) {
                let found = try await connections()
                return found.allSatisfy { (16...24).contains($0) } && found.reduce(0, +) <= 64
            }
            var asked = 0.0
            for node in [1, 2] { asked += try await cluster.metric("sluice_rebalance_hints_total", node: node) }
            #expect((16...60).contains(asked), "\(asked) asked to move")
            #expect(try await cluster.metric("sluice_rebalance_hints_total", node: 3) == 0)
            try await cluster.waitForLine(with: "connections are uneven", of: "coordinator")
            let answer = try await load.answer()
            #expect(answer.status == 0, "\(answer.error)")
            let errors = try #require(answer.json["errors"]?.integer)
            #expect(errors == 0, "\(answer.output) \(answer.error)")
        }
    }
}
