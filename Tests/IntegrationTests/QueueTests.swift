// A provider that takes few calls at once: who waits, who goes first, who is told to come later.
import Core
import Foundation
import Testing
import Wire

@Suite struct QueueTests {
    @Test func `beyond a provider's calls requests wait, teams take turns, and the provider never has more`()
        async throws
    {
        let teams = "[team acme/loud]\n[team acme/quiet]"
        try await withCluster(teams, provider: "max-concurrency = 2") { cluster in
            let loud = try Caller(cluster, key: try await cluster.createKey(team: "loud"), node: 1)
            let quiet = try Caller(cluster, key: try await cluster.createKey(team: "quiet"), node: 1)
            for caller in [loud, quiet] { try await caller.connected() }
            let prompt = "hi\nsim: tokens=10 pace=5ms"
            async let many = loud.ask(24, prompt, timeout: .seconds(60))
            try await cluster.wait("a queue", seconds: 5) {
                await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
                    .contains(/sluice_queue_waiting\{[^}]*interactive[^}]*\} 1[0-9]/)
            }
            let began = ContinuousClock.now
            let one = await quiet.ask(prompt, timeout: .seconds(60))
            let time = ContinuousClock.now - began
            #expect(one.end != nil, "\(one.result)")
            let all = await many
            #expect(all.allSatisfy { $0.end != nil })
            // 24 calls of about 60 ms, two at once: the loud team's last one ends after 700 ms, the quiet one's turn comes at once.
            let last = try #require(all.map(\.time).max())
            #expect(time < last / 2, "\(time) of \(last)")
            let simulator = await cluster.simulator()
            #expect((simulator["max_open"]?.integer ?? 9) <= 2)
        }
    }

    @Test func `a request whose turn would come too late is refused at once, with the time to come again`() async throws
    {
        try await withCluster(provider: "max-concurrency = 1") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            // One answer takes half a second: of twelve with two seconds each, those that would wait longer than 200 ms are refused.
            let outcomes = await caller.ask(12, "hi\nsim: tokens=50 pace=10ms", timeout: .seconds(2))
            let refusals = outcomes.compactMap(\.refusal)
            #expect(refusals.count >= 10)
            #expect(outcomes.contains { $0.end != nil })
            for refusal in refusals {
                #expect(refusal.code == .overloaded && refusal.retry == .safeElsewhere)
                #expect(refusal.retryAfterMilliseconds > 0 && !refusal.flags.contains(.upstreamStarted))
            }
            try await cluster.wait("nothing to be held", seconds: 2) {
                try await cluster.held("q:{acme}").requests == 0
            }
        }
    }

    @Test func `streams that nobody reads give their places up when another team wants one`() async throws {
        let teams = "[team acme/loud]\n[team acme/quiet]"
        try await withCluster(teams, provider: "max-concurrency = 4") { cluster in
            let key = try await cluster.createKey(team: "loud")
            let loud = try await RawConnection(cluster, key: key, credit: .manual)
            let quiet = try Caller(cluster, key: try await cluster.createKey(team: "quiet"), node: 1)
            try await quiet.connected()
            for number in 1...4 {
                await loud.ask(
                    "much\nsim: tokens=200000 pace=0ms", id: Identifier128(high: 0x57A11, low: UInt64(number)))
            }
            // All four have what their windows hold, and no more is taken.
            // Of 64 KiB, what is no text is the frames' own.
            try await cluster.wait("four windows") { loud.now.bytes.count >= 4 * 52_000 }
            let answers = await quiet.ask(4, "hi", timeout: .seconds(20))
            #expect(answers.allSatisfy { $0.end != nil }, "\(answers.map(\.result))")
            try await cluster.wait("the word to those that were not read") { !loud.now.errors.isEmpty }
            #expect(loud.now.errors.allSatisfy { $0.code == .slowConsumer })
            #expect(try await cluster.metric("sluice_stalled_calls_ended_total", node: 1) >= 1)
            // Nobody wants the places of those that are left.
            let left = 4 - loud.now.errors.count
            try await Task.sleep(for: .milliseconds(600))
            #expect(4 - loud.now.errors.count == left)
        }
    }
}
