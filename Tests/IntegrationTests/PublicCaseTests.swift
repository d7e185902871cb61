// Failures of other gateways that threads in public tell of, on real processes; each with the right value.
import Core
import Foundation
import Testing
import Wire

@Suite struct PublicCaseTests {
    @Test("c4: a place under a limit is free again after a cancel and after a provider's 504")
    func placesComeBack() async throws {
        try await withCluster("limit = 1 concurrent") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            let (cancelled, _) = await caller.askAndCancel("long\nsim: tokens=2000 pace=20ms")
            #expect(cancelled.end == nil)
            let next = await caller.ask("hi")
            #expect(next.end != nil, "\(next.result)")
            let failed = await caller.ask("hi\nsim: error=504")
            #expect(failed.refusal != nil && failed.refusal?.code != .quotaConcurrency, "\(failed.result)")
            let last = await caller.ask("hi")
            #expect(last.end != nil, "\(last.result)")
            try await cluster.wait("no hold") { try await cluster.held("q:{acme}:t:search").requests == 0 }
        }
    }

    private static func sections(_ base: Int) -> String {
        """
        [provider broken]
        kind = openai
        base-url = http://127.0.0.1:\(base)/v1
        allow-plain-http = yes
        [route chain]
        target = broken/a
        target = broken/b group 2
        target = sim/gpt-6-luna group 3
        [route dead]
        target = broken/a
        target = broken/b group 2
        target = broken/c group 3
        target = broken/d group 4
        [route first]
        target = sim/m1
        [route second]
        target = sim/m2
        """
    }

    @Test(
        "c11, d6: a request with three attempts is one request, billed once, and never has more attempts than its route says"
    )
    func attemptsAreNoRequests() async throws {
        try await withSecondProvider(Self.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            try await set("error=500")
            let repaired = await caller.ask("hi\nsim: tokens=40") { $0.model = "chain" }
            #expect(repaired.end?.attempts == 3 && repaired.end?.outputTokens == 40, "\(repaired.result)")
            let dead = await caller.ask("hi") { $0.model = "dead" }
            #expect(dead.refusal?.code == .upstreamFailed, "\(dead.result)")
            try await cluster.waitForLine(with: #""outcome":"UPSTREAM_5XX""#, of: "node-1")
            try await cluster.waitForLine(with: #""attempts":3,"outcome":"OK""#, of: "node-1")
            let usage = try await cluster.tool(["usage", "--org", "acme", "--by", "model", "--format", "csv"])
            #expect(usage.status == 0, "\(usage.error)")
            #expect(!usage.output.contains("broken"), "nobody bills a 500: \(usage.output)")
        }
    }

    @Test("d5: what a provider says of one model, or of the caller's own fault, closes off nothing for others")
    func blastRadius() async throws {
        try await withSecondProvider(Self.sections) { cluster, _ in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            for status in [404, 401, 400, 413] {
                for _ in 0..<20 {
                    let refused = await caller.ask("hi\nsim: error=\(status)") { $0.model = "first" }
                    #expect(refused.refusal?.code == .upstreamRejected, "\(refused.result)")
                    #expect(refused.refusal?.providerStatus == UInt16(status))
                }
                #expect(await caller.ask("hi") { $0.model = "second" }.end != nil, "another model, after \(status)")
                #expect(await caller.ask("hi") { $0.model = "first" }.end != nil, "the model itself, after \(status)")
            }
            #expect(try await cluster.redis(["keys", "brk:{breakers}:*"]).split(separator: "\n").isEmpty)
        }
    }
}
