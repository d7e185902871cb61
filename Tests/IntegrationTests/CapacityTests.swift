// A provider's capacity is one for all nodes: it is split by demand, and never passed.
import Core
import Foundation
import Testing

@Suite struct CapacityTests {
    @Test func `the nodes together never call more than the capacity, and whoever needs more gets more`() async throws {
        try await withCluster(provider: "capacity = 12") { cluster in
            func load(_ node: Int, seconds: Int) async throws -> TestCluster.Running {
                try await cluster.beginTool(
                    [
                        "bench", "--stream", "--tokens", "5", "--pace", "40ms", "--concurrency", "30", "--requests",
                        "\(seconds * 40)", "--warmup", "0", "--json",
                    ], node: node)
            }
            func capacity(_ node: Int) async throws -> Double {
                let page = await cluster.http(cluster.at("nodeAdmin") + node, "/metrics").body
                let line = page.split(separator: "\n").first { $0.hasPrefix("sluice_concurrency_limit{") }
                // A node that was asked for nothing yet has no queue.
                return line?.split(separator: " ").last.flatMap { Double($0) } ?? 0
            }
            let one = try await load(1, seconds: 20)
            try await cluster.wait("most of it for the node that needs it") { try await capacity(1) >= 9 }
            #expect(try await capacity(2) <= 3)
            let two = try await load(2, seconds: 8)
            try await cluster.wait("halves for two that need it") {
                let (first, second) = (try await capacity(1), try await capacity(2))
                return abs(first - second) <= 2 && first + second <= 12
            }
            for running in [one, two] { await running.child.end() }
            let most = await cluster.simulator()["max_open"]?.integer ?? 99
            #expect(most <= 12, "\(most) at once")
        }
    }
}
