// A node with too much to do: what it refuses, what it still serves, and that it comes back.
import Core
import Foundation
import Testing
import Wire

@Suite struct OverloadTests {
    /// The value of a metric without labels.
    private func metric(_ cluster: TestCluster, _ name: String) async -> Int? {
        let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
        return page.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
            .flatMap { Int($0.split(separator: " ")[1]) }
    }

    @Test func `a lane that is late refuses batch requests, serves interactive ones, and is calm again by itself`()
        async throws
    {
        try await withCluster(nodes: "lanes = 1\nlag-limit = 100ms") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            let node = try cluster.child("node-1")
            var refusal: StreamError?
            try await cluster.wait("a batch request to be refused", seconds: 60) {
                // Stopped and let go again, so that each of its turns comes 300 ms late.
                for _ in 0..<8 {
                    node.signal(SIGSTOP)
                    try await Task.sleep(for: .milliseconds(300))
                    node.signal(SIGCONT)
                    try await Task.sleep(for: .milliseconds(15))
                }
                refusal = await caller.ask("hi") { $0.priority = .batch }.refusal
                return refusal != nil
            }
            #expect(refusal?.code == .overloaded && refusal?.retry == .safeElsewhere)
            #expect((500...4_000).contains(refusal?.retryAfterMilliseconds ?? 0))
            // However late the lane is, somebody who waits is served.
            let interactive = await caller.ask("hi") { $0.priority = .interactive }
            #expect(interactive.end != nil, "\(interactive.result)")
            try await cluster.wait("calm", seconds: 30) { await self.metric(cluster, "sluice_rung") == 0 }
            let batch = await caller.ask("hi") { $0.priority = .batch }
            #expect(batch.end != nil, "\(batch.result)")
            let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
            #expect(page.contains(/sluice_shed_total\{[^}]*class="batch"[^}]*\} [1-9]/))
            try await cluster.waitForLine(with: "load_rung", of: "node-1")
        }
    }

    @Test func `a node short of memory refuses batch requests, and one without any closes its door, and says so`()
        async throws
    {
        try await withCluster { cluster in
            let file = try cluster.read("cluster.conf")
            func restart(memory: Int) async throws {
                try cluster.write(
                    "cluster.conf",
                    file.replacingOccurrences(of: "drain-notice", with: "memory-limit = \(memory)KiB\ndrain-notice"))
                try await cluster.kill("node-1")
                try await cluster.launch("node-1")
                try await cluster.waitReady(1)
            }
            let resident = try #require(await metric(cluster, "process_resident_memory_bytes"))
            try await restart(memory: resident * 100 / 82 / 1_024)
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            try await cluster.wait("a batch request to be refused") {
                await caller.ask("hi") { $0.priority = .batch }.refusal?.code == .overloaded
            }
            let interactive = await caller.ask("hi")
            #expect(interactive.end != nil, "\(interactive.result)")
            // No node lives in so little.
            try await restart(memory: 1_024)
            try await cluster.wait("the top of the ladder") { await self.metric(cluster, "sluice_rung") == 5 }
            let ready = await cluster.http(cluster.at("nodeAdmin") + 1, "/readyz")
            #expect(ready.status == 200 && ready.body.contains("too much to do"))
        }
    }

    @Test func `a node with few descriptors closes connections beyond four fifths of them, and recovers`() async throws
    {
        try await withCluster { cluster in
            try await cluster.kill("node-1")
            try await cluster.launchWithDescriptors(128, node: 1)
            try await cluster.waitReady(1)
            try await cluster.waitForLine(with: "few_descriptors", of: "node-1")
            let many = try Caller(cluster, connections: 140, node: 1)
            try await cluster.wait("accepting to rest") {
                (await self.metric(cluster, "sluice_accept_pauses_total") ?? 0) > 0
            }
            let open = await metric(cluster, "process_open_fds") ?? 0
            #expect((90...110).contains(open), "\(open) of 128")
            // Those who are in are served, for the last fifth is for providers.
            let answer = await many.ask("hi")
            #expect(answer.end != nil, "\(answer.result)")
            many.close()
            try await cluster.wait("its connections to go") {
                (await self.metric(cluster, "sluice_connections") ?? 99) < 20
            }
            let later = try Caller(cluster, node: 1)
            try await later.connected()
            #expect(await later.ask("hi").end != nil)
            #expect(try cluster.child("node-1").isRunning)
        }
    }
}
