// Limits as callers meet them: exact in time, exact in number, and never charged for what was refused.
import Core
import Foundation
import Testing
import Wire

@Suite struct LimitTests {
    @Test func `the time to retry is exact: 5 ms earlier is refused, the stated time is enough`() async throws {
        try await withCluster("[team acme/paced]\nlimit = 5 requests / second burst 1") { cluster in
            let caller = try Caller(cluster, key: try await cluster.createKey(team: "paced"))
            try await caller.connected()
            var earlyTrials = 0
            for _ in 0..<300 where earlyTrials < 3 {
                // Until one is refused: the bucket is empty then.
                var refused = await caller.ask("hi")
                while refused.end != nil { refused = await caller.ask("hi") }
                let refusal = try #require(refused.refusal)
                #expect(refusal.code == .quotaRequests && refusal.retry == .safeHere)
                let pause = Duration.milliseconds(Int64(refusal.retryAfterMilliseconds))
                #expect(pause > .zero && pause <= .milliseconds(200))

                guard pause > .milliseconds(20) else { continue }
                try await Task.sleep(until: refused.sentAt + pause - .milliseconds(6), tolerance: .zero)
                let early = await caller.ask("hi")
                // Redis decided between sending and hearing: only an answer that came back 1 ms (rounding) before the first
                // moment that could be meant proves anything.
                if early.endedAt < refused.sentAt + pause - .milliseconds(1) {
                    earlyTrials += 1
                    #expect(early.refusal?.code == .quotaRequests)
                }
                let last = early.refusal.map { early.endedAt + .milliseconds(Int64($0.retryAfterMilliseconds)) }
                guard let last else { continue }
                try await Task.sleep(until: last, tolerance: .zero)
                let punctual = await caller.ask("hi")
                #expect(punctual.end != nil, "\(punctual.result)")
            }
            #expect(earlyTrials == 3, "the machine was too slow to ask 5 ms early")
        }
    }

    @Test func `what is refused is charged nothing`() async throws {
        let teams = """
            [team acme/narrow]
            limit = 2 requests / hour burst 2
            limit = 1M tokens / hour
            limit = $5 / month
            limit = 8 concurrent
            """
        try await withCluster(teams, org: "limit = 64 concurrent") { cluster in
            let key = try await cluster.createKey(team: "narrow")
            let caller = try Caller(cluster, key: key)
            for _ in 0..<2 { #expect(await caller.ask("hi").end != nil) }
            try await cluster.wait("both settlements") { try await cluster.held("q:{acme}").requests == 0 }
            let before = try await cluster.quotaState()
            #expect(before.contains("q:{acme}:t:narrow"))
            for _ in 0..<10 {
                let refusal = try #require(await caller.ask("hi").refusal)
                #expect(refusal.code == .quotaRequests)
                #expect(refusal.limit?.scope == "team")
                #expect(refusal.retryAfterMilliseconds > 0 && refusal.retryAfterMilliseconds <= 1_800_000)
                #expect(refusal.costMicroUSD == 0 && refusal.flags.isEmpty)
            }
            #expect(try await cluster.quotaState() == before)
        }
    }

    @Test("c1: two nodes and twelve writers share one limit without overshoot") func noOvershoot() async throws {
        // Full at first; in the seconds of the test not even one request refills.
        try await withCluster("[team acme/shared]\nlimit = 300 requests / day burst 300") { cluster in
            let key = try await cluster.createKey(team: "shared")
            let before = await cluster.simulator()["chats"]?.integer ?? 0
            let admitted = try await withThrowingTaskGroup(of: Int.self) { group in
                for writer in 0..<12 {
                    group.addTask {
                        let caller = try Caller(cluster, key: key, node: 1 + writer % 2)
                        var admitted = 0
                        while true {
                            let outcome = await caller.ask("hi\nsim: tokens=2")
                            guard outcome.end != nil else {
                                #expect(outcome.refusal?.code == .quotaRequests, "\(outcome.result)")
                                return admitted
                            }
                            admitted += 1
                        }
                    }
                }
                return try await group.reduce(0, +)
            }
            // A writer that was refused asks no more: of the block of a twentieth that each node may hold, some may be left.
            #expect(admitted <= 300 && admitted >= 270, "\(admitted)")
            let after = await cluster.simulator()["chats"]?.integer ?? 0
            #expect(after - before == Int64(admitted), "the provider saw exactly what was admitted")
        }
    }

    @Test func `an answer that the provider cuts is settled as far as it came`() async throws {
        try await withCluster("[team acme/cut]\nlimit = $5 / month\nlimit = 8 concurrent") { cluster in
            let caller = try Caller(cluster, key: try await cluster.createKey(team: "cut"))
            let outcome = await caller.ask("one two three four\nsim: tokens=50 error=cut-after=20")
            let refusal = try #require(outcome.refusal)
            #expect(refusal.code == .upstreamTruncated && refusal.retry == .unsafe)
            #expect(refusal.flags.isSuperset(of: [.upstreamStarted, .billed, .partialOutput]))
            // Counted on the way, because the provider's own figure never came.
            #expect((15...30).contains(refusal.outputTokens))
            #expect(refusal.inputTokens > 0 && refusal.costMicroUSD > 0)
            #expect(!outcome.text.isEmpty)
            try await cluster.wait("the settlement", seconds: 2) {
                let held = try await cluster.held("q:{acme}:t:cut")
                return held.requests == 0 && held.money == 0
            }
            // The whole budget less what was told to the client is what is left: ask for it through a refusal.
            let spent = try await cluster.spent("q:{acme}:t:cut")
            #expect(spent == Int(refusal.costMicroUSD))
        }
    }
}
