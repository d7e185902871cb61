// Canaries on a real cluster under load: a failing target goes back by itself, a good one takes over, and no client notices.
import Core
import Foundation
import Synchronization
import Testing

/// When a load ends.
private final class LoadEnd: Sendable {
    private let value = Atomic(false)
    var isThere: Bool { value.load(ordering: .relaxed) }
    func come() { value.store(true, ordering: .relaxed) }
}

@Suite struct CanaryTests {
    private static func sections(_ base: Int) -> String {
        """
        [provider second]
        kind = openai
        base-url = http://127.0.0.1:\(base)/v1
        allow-plain-http = yes
        [route trial]
        target = sim/gpt-6-luna
        """
    }

    private static func canary(_ cluster: TestCluster) async throws -> JSONValue? {
        let answer = try await cluster.tool(["canary", "status", "--json"])
        return answer.json["canaries"]?.elements?.last
    }

    /// Asks without a pause over both nodes until `isOver`; requests and those that failed.
    private static func load(
        _ cluster: TestCluster, _ isOver: (JSONValue?) async throws -> Bool
    ) async throws -> (requests: Int, failed: [String]) {
        let callers = try [Caller(cluster, node: 1), Caller(cluster, node: 2)]
        for caller in callers { try await caller.connected() }
        let end = LoadEnd()
        return try await withThrowingTaskGroup(of: (Int, [String]).self) { group in
            for place in 0..<8 {
                let caller = callers[place % 2]
                group.addTask {
                    var (requests, failed) = (0, [String]())
                    while !end.isThere {
                        let outcome = await caller.ask("hi") {
                            $0.model = "trial"
                            $0.flags.insert(.stream)
                        }
                        requests += 1
                        if outcome.end == nil { failed.append("\(outcome.result)") }
                    }
                    return (requests, failed)
                }
            }
            defer { end.come() }
            try await cluster.wait("the canary's change", seconds: 60) {
                try await isOver(try await canary(cluster))
            } otherwise: {
                cluster.log("coordinator").split(separator: "\n").suffix(3).joined(separator: "\n")
            }
            end.come()
            return try await group.reduce(into: (requests: 0, failed: [String]())) {
                $0.requests += $1.0
                $0.failed += $1.1
            }
        }
    }

    @Test
    func `a failing canary goes back by itself, a migration loses no request, also over a restart of the coordinator`()
        async throws
    {
        try await withSecondProvider(CanaryTests.sections) { cluster, set in
            let options = ["--hold", "1s", "--min-requests", "30", "--max-ttft-p95", "+1000%"]
            try await set("error=500 error-rate=20%")
            let started = try await cluster.tool(
                ["canary", "start", "trial", "second/gpt-6-luna", "--steps", "10,50,100"] + options)
            #expect(started.status == 0, "\(started.error)")
            let bad = try await Self.load(cluster) { $0?["state"]?.text == "rolled_back" }
            #expect(bad.failed.isEmpty && bad.requests > 50, "\(bad)")
            let page = try await cluster.tool(["canary", "status", "trial"])
            #expect(page.status == 1 && page.output.contains("ROLLED BACK: errors: "), "\(page.output)")
            try await cluster.waitForLine(with: "canary_rolled_back", of: "coordinator")
            try await set("error=none")
            let begun = try await cluster.tool(
                ["migrate", "trial", "sim/gpt-6-luna", "second/gpt-6-luna", "--steps", "10,40,100"] + options)
            #expect(begun.status == 0, "\(begun.error)")
            let first = try await Self.load(cluster) { $0?["share_bp"]?.integer == 4_000 }
            try await cluster.kill("coordinator")
            try await cluster.launch("coordinator")
            let rest = try await Self.load(cluster) { $0?["state"]?.text == "promoted" }
            #expect(first.failed.isEmpty && rest.failed.isEmpty, "\(first) \(rest)")
            let steps = try await Self.canary(cluster)?["steps"]?.elements
            #expect(steps?.map { $0["share_bp"]?.integer } == [1_000, 4_000, 10_000])
            // From now on the new target has all requests, and the old one is there for failures.
            try await cluster.wait("all requests") {
                let page = await cluster.configuration(node: 1)
                return page.contains("target = second/gpt-6-luna weight 1000000\n")
                    && page.contains("target = sim/gpt-6-luna weight 100 group 2")
            }
            let before = await cluster.simulator()["chats"]?.integer
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            for _ in 0..<20 { #expect(await caller.ask("hi") { $0.model = "trial" }.end != nil) }
            #expect(await cluster.simulator()["chats"]?.integer == before)
            try await set("error=500 error-rate=100%")
            #expect(await caller.ask("hi") { $0.model = "trial" }.end?.attempts == 2)
        }
    }
}
