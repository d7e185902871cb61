// Health from the traffic of real nodes: each attempt is reported once, whatever lane it ran on, and weights follow what was seen.
import Core
import Foundation
import Testing
import Wire

@Suite struct HealthTests {
    private static func sections(_ base: Int) -> String {
        """
        [provider second]
        kind = openai
        base-url = http://127.0.0.1:\(base)/v1
        allow-plain-http = yes
        breaker = no
        [route alone]
        target = second/gpt-6-luna
        attempts = 1
        [route both]
        target = second/gpt-6-luna weight 50
        target = sim/gpt-6-luna weight 50
        """
    }

    private static func target(_ cluster: TestCluster, _ name: String) async throws -> JSONValue {
        let status = try await cluster.tool(["status", "--json"])
        let all = status.json["targets"]?.elements ?? []
        return all.first { $0["target"]?.text == name } ?? .null
    }

    private static func counts(_ cluster: TestCluster) async throws -> [Int64] {
        let target = try await target(cluster, "second/gpt-6-luna")
        return ["answered_last_minute", "failed_last_minute", "throttled_last_minute"].map { target[$0]?.integer ?? -1 }
    }

    @Test func `every attempt of every lane is counted once, and a target that fails loses its weight`() async throws {
        try await withSecondProvider(HealthTests.sections, nodes: "lanes = 2") { cluster, set in
            // Connections of their own, so that both lanes of both nodes have some.
            let callers = try [1, 2].flatMap { node in
                try (0..<4).map { _ in try Caller(cluster, node: node) }
            }
            func ask(_ count: Int, _ model: String) async {
                await withTaskGroup(of: Void.self) { group in
                    for caller in callers {
                        group.addTask {
                            for _ in 0..<count { _ = await caller.ask("hi") { $0.model = model } }
                        }
                    }
                }
            }
            await ask(5, "alone")
            try await cluster.wait("forty answers") { try await Self.counts(cluster) == [40, 0, 0] }
            let asked = ContinuousClock.now
            try await set("error=429")
            await ask(1, "alone")
            try await cluster.wait("eight refusals") { try await Self.counts(cluster)[2] == 8 }
            // Three more reports of each node tell nothing twice.
            let then = ContinuousClock.now + .seconds(3)
            try await cluster.wait("three more reports") {
                let counts = try await Self.counts(cluster)
                if ContinuousClock.now - asked < .seconds(45) { #expect(counts == [40, 0, 8]) }
                return ContinuousClock.now >= then
            }
            try await set("error=500")
            await ask(12, "alone")
            await ask(1, "chat-default")
            try await cluster.wait("the verdicts") {
                let (bad, good) = (
                    try await Self.target(cluster, "second/gpt-6-luna"),
                    try await Self.target(cluster, "sim/gpt-6-luna")
                )
                return bad["health"]?.text == "failing" && good["health"]?.text == "healthy"
            }
            for node in [1, 2] {
                try await cluster.wait("the weights at node \(node)", seconds: 5) {
                    let page = await cluster.configuration(node: node)
                    return page.contains("target = second/gpt-6-luna weight 50\n")
                        && page.contains("target = sim/gpt-6-luna weight 5000\n")
                }
            }
            // Nobody else serves this route: there its weight is what it was.
            let page = await cluster.configuration(node: 1)
            #expect(page.contains("target = second/gpt-6-luna weight 100\n"))
            let ready = await cluster.http(cluster.at("admin"), "/readyz").body
            #expect(ready.contains("no target of route alone works"), "\(ready)")
            let table = try await cluster.tool(["status"]).output
            #expect(table.contains("PROVIDER") && table.contains("second/gpt-6-luna  FAILING"), "\(table)")
        }
    }

    @Test func `an open breaker is told at once, and requests alone bring a target back, by degrees`() async throws {
        func sections(_ base: Int) -> String {
            HealthTests.sections(base).replacingOccurrences(of: "breaker = no\n", with: "")
        }
        try await withSecondProvider(sections) { cluster, set in
            let callers = try [1, 2].flatMap { node in try (0..<2).map { _ in try Caller(cluster, node: node) } }
            func askSome() async {
                await withTaskGroup(of: Void.self) { group in
                    for caller in callers {
                        group.addTask { for _ in 0..<50 { _ = await caller.ask("hi") { $0.model = "both" } } }
                    }
                }
            }
            func health() async throws -> JSONValue { try await Self.target(cluster, "second/gpt-6-luna") }
            try await cluster.wait("a verdict") {
                await askSome()
                return try await health()["health"]?.text == "healthy"
            }
            try await set("error=500")
            try await cluster.wait("the breaker's word", seconds: 30) {
                await askSome()
                // Where little is asked, the share of failures may be seen first.
                let why = try await health()["why"]?.text ?? ""
                return why == "its circuit breaker is open" || why.hasSuffix("requests failed")
            }
            try await set("error=none")
            var parts: Set<Int64> = []
            try await cluster.wait("all of its weight", seconds: 120) {
                await askSome()
                let found = try await health()
                if let part = found["weight_percent"]?.integer { parts.insert(part) }
                return found["health"]?.text == "healthy" && found["weight_percent"]?.integer == 100
            }
            #expect(parts.isSuperset(of: [1, 100]) && parts.count >= 3, "\(parts)")
            for node in [1, 2] {
                try await cluster.wait("the weights at node \(node)", seconds: 5) {
                    await cluster.configuration(node: node)
                        .contains("target = second/gpt-6-luna weight 50\ntarget = sim/gpt-6-luna weight 50\n")
                }
            }
        }
    }
}
