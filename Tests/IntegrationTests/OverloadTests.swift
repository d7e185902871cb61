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

    /// Stops the node and lets it go again, so that each of its turns comes 300 ms late.
    private func hinder(_ node: Child) async throws {
        for _ in 0..<8 {
            node.signal(SIGSTOP)
            try await Task.sleep(for: .milliseconds(300))
            node.signal(SIGCONT)
            try await Task.sleep(for: .milliseconds(15))
        }
    }

    /// A route with a cheaper target, at a provider of its own, for when a node has too much to do.
    private static func sparing(_ port: Int) -> String {
        """
        [price tiny]
        input = $0.01 / 1M tokens
        output = $0.05 / 1M tokens
        [provider cheap]
        kind = openai
        base-url = http://127.0.0.1:\(port)/v1
        allow-plain-http = yes
        [route spared]
        target = sim/gpt-6-luna
        target = cheap/tiny group overload
        """
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
                try await hinder(node)
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

    @Test
    func
        `a route's target for overload answers while the node is late, at its own price, and no more when it is calm`()
        async throws
    {
        try await withSecondProvider(Self.sparing, nodes: "lanes = 1\nlag-limit = 100ms", org: "limit = $5 / day") {
            cluster, _ in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            let spared: @Sendable (inout RequestHead) -> Void = { $0.model = "spared" }
            let calm = await caller.ask("hi", spared)
            #expect(calm.end?.provider == 2, "providers are numbered by name: sim; \(calm.result)")
            let node = try cluster.child("node-1")
            var late: Caller.Outcome?
            try await cluster.wait("the cheaper one to answer", seconds: 60) {
                try await hinder(node)
                late = await caller.ask("hi", spared)
                return late?.end?.provider == 1
            }
            // Billed by its own price, a tenth of the other's, and held by the dearer one's before.
            let (first, second) = (try #require(calm.end), try #require(late?.end))
            #expect(second.attempts == 1 && second.costMicroUSD * 5 < first.costMicroUSD, "\(first) \(second)")
            try await cluster.waitForLine(
                with: #""gen_ai.provider.name":"cheap","gen_ai.response.model":"tiny""#, of: "node-1")
            try await cluster.wait("calm", seconds: 30) { await self.metric(cluster, "sluice_rung") == 0 }
            #expect(await caller.ask("hi", spared).end?.provider == 2)
            try await cluster.wait("nothing held") { try await cluster.held("q:{acme}") == (0, 0) }
            let said = try await cluster.tool([
                "explain", "--key", String(cluster.key.split(separator: "_")[1]), "--model", "spared",
            ])
            #expect(said.output.contains("then cheap/tiny (first under overload)"), "\(said.output) \(said.error)")
        }
    }

    @Test func `a request that waits for its place when the node falls behind goes to the target for overload`()
        async throws
    {
        let nodes = "lanes = 1\nlag-limit = 100ms\nbackground-wait = 60s"
        try await withSecondProvider(Self.sparing, nodes: nodes, provider: "max-concurrency = 1") { cluster, _ in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            // Four seconds, and more when the node is stopped meanwhile.
            let first = Task { await caller.ask("hi\nsim: tokens=80 pace=50ms", timeout: .seconds(60)) }
            try await cluster.wait("the first to run") { await cluster.simulator()["open"]?.integer == 1 }
            let second = Task {
                await caller.ask("hi", timeout: .seconds(60)) { ($0.model, $0.priority) = ("spared", .background) }
            }
            try await cluster.wait("the second to wait") {
                await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
                    .contains(/sluice_queue_waiting\{[^}]*"sim"[^}]*background[^}]*\} 1/)
            }
            let node = try cluster.child("node-1")
            let hindering = Task { while !Task.isCancelled { try await hinder(node) } }
            let (long, moved) = (await first.value, await second.value)
            hindering.cancel()
            _ = await hindering.result
            node.signal(SIGCONT)
            #expect(long.end?.provider == 2, "\(long.result)")
            #expect(moved.end?.provider == 1 && moved.end?.attempts == 1, "\(moved.result)")
            try await cluster.wait("nothing held") { try await cluster.held("q:{acme}").requests == 0 }
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
            // Newcomers that are not established yet go first; when there is none, accepting rests.
            try await cluster.wait("descriptors to be short") {
                let refused = await self.metric(cluster, #"sluice_connections_refused_total{reason="descriptors"}"#)
                return (refused ?? 0) > 0
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
