// A route with two providers of which one fails in every way: the other answers, unseen, and only before the first piece.
import Core
import Foundation
import Testing
import Wire

@Suite struct FailoverTests {
    /// A second route: its first group is a provider that fails, its second the one that works.
    private static func sections(_ base: Int) -> String {
        let storms = (0..<5).map { number in
            "[route storm-\(number)]\ntarget = broken/storm-\(number)\ntarget = sim/gpt-6-luna group 2\n"
        }
        return storms.joined() + """
            [provider broken]
            kind = openai
            base-url = http://127.0.0.1:\(base)/v1
            allow-plain-http = yes
            connect-timeout = 500ms
            [provider keyless]
            kind = openai
            base-url = http://127.0.0.1:\(base)/v1
            allow-plain-http = yes
            api-key = file:state/no-such.key
            [route two]
            target = broken/gpt-6-luna
            target = sim/gpt-6-luna group 2
            [provider silent]
            kind = openai
            base-url = http://127.0.0.1:\(base)/v1
            allow-plain-http = yes
            [route silent]
            first-event-timeout = 500ms
            idle-timeout = 700ms
            target = silent/gpt-6-luna
            target = sim/gpt-6-luna group 2
            [route silent-alone]
            first-event-timeout = 500ms
            idle-timeout = 700ms
            target = silent/gpt-6-luna
            [team acme/tight]
            limit = 150 input tokens / minute fixed-window
            [route keyless]
            target = keyless/gpt-6-luna
            target = sim/gpt-6-luna group 2
            [route keyless-alone]
            target = keyless/gpt-6-luna
            """
    }

    @Test func `what fails before the first piece is answered by the next group, within a tenth more attempts`()
        async throws
    {
        try await withSecondProvider(FailoverTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            for fault in ["500", "503", "not-http", "content-type", "429", "quota"] {
                try await set("error=\(fault)")
                let outcome = await caller.ask("hi", timeout: .seconds(20)) { $0.model = "two" }
                #expect(outcome.end != nil, "\(fault): \(outcome.result)")
                // The budget in quiet times: one more attempt a second.
                try await Task.sleep(for: .milliseconds(1_100))
            }
            let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
            #expect(page.contains("sluice_attempts_total"))
            try await cluster.wait("the holds to be given back") { try await cluster.held("q:{acme}").requests == 0 }
        }
    }

    @Test("d3, d4: what fails behind the first piece is told, and not tried elsewhere") func failureBehindFirstPiece()
        async throws
    {
        try await withSecondProvider(FailoverTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            try await set("error=cut-after=3 tokens=20")
            let outcome = await caller.ask("hi", timeout: .seconds(20)) { $0.model = "two" }
            #expect(outcome.refusal?.code == .upstreamTruncated, "\(outcome.result)")
            #expect(outcome.refusal?.flags.contains(.partialOutput) == true)
        }
    }

    @Test func `a storm of failures rests the target: nearly all requests are answered, with few attempts more`()
        async throws
    {
        try await withSecondProvider(FailoverTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            let storms = ["error=500", "error=503", "error=429", "error=429 retry-after=2s", "error=cut-after=0"]
            for (number, storm) in storms.enumerated() {
                try await set("retry-after=none \(storm)")
                var answered = 0
                var attempts = 0
                for _ in 0..<300 {
                    let outcome = await caller.ask("hi", timeout: .seconds(20)) { $0.model = "storm-\(number)" }
                    if outcome.end != nil { answered += 1 }
                    attempts += outcome.end.map { Int($0.attempts) } ?? 1
                }
                // Before it rests, the budget covers three of its five failures.
                #expect(answered >= 297, "\(storm): \(answered)")
                #expect(attempts <= 330, "\(storm): \(attempts)")
            }
        }
    }

    @Test func `a provider that this node cannot use is left out, and missed only where there is no other`()
        async throws
    {
        try await withSecondProvider(FailoverTests.sections) { cluster, _ in
            let caller = try Caller(cluster, node: 1)
            let outcome = await caller.ask("hi") { $0.model = "keyless" }
            #expect(outcome.end?.attempts == 1, "\(outcome.result)")
            let alone = await caller.ask("hi") { $0.model = "keyless-alone" }
            #expect(alone.refusal?.code == .noRoute, "\(alone.result)")
            func told() -> Int { cluster.log("node-1").components(separatedBy: "provider_unusable").count - 1 }
            try await cluster.wait("a line of the log") { told() > 0 }
            #expect(told() == 1, "the log says it once, not with each request")
            // The key comes: nothing has to be started again.
            try cluster.write("state/no-such.key", "provider-canary-51be20\n")
            try await cluster.wait("the provider to be used") {
                await caller.ask("hi") { $0.model = "keyless-alone" }.end != nil
            }
        }
    }

    @Test func `what may cost something is tried elsewhere when quota covers both, and both are in the ledger`()
        async throws
    {
        try await withSecondProvider(FailoverTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            try await set("error=hang")
            let outcome = await caller.ask("hi\nsim: tokens=20") {
                $0.model = "silent"
                $0.feature = "both"
            }
            let end = try #require(outcome.end, "\(outcome.result)")
            try await cluster.wait("the settlement") { try await cluster.held("q:{acme}").requests == 0 }
            let records = try await cluster.ledger().filter { $0.feature == "both" }
            #expect(records.map { "\($0.provider) \($0.outcome)" } == ["silent UPSTREAM_STALLED", "sim OK"])
            #expect(records.map(\.provenance) == [4, 1] && end.attempts == 2 && end.outputTokens == 20)
            #expect(records.reduce(0) { $0 + $1.money } == Int(end.costMicroUSD))
            #expect(records.reduce(0) { $0 + $1.input } == Int(end.inputTokens))
            #expect(try await cluster.tool(["ledger", "verify"]).status == 0)

            // About a hundred tokens fit the limit once, not twice.
            let tight = try Caller(cluster, key: try await cluster.createKey(team: "tight"), node: 1)
            let refused = await tight.ask(String(repeating: "word ", count: 80)) { $0.model = "silent" }
            #expect(refused.refusal?.code == .upstreamStalled && refused.refusal?.flags.contains(.billed) == true)
            let whole = await tight.ask("hi") { $0.model = "chat-default" }
            #expect(whole.end != nil, "what the failed one cost is all that is missing: \(whole.result)")
        }
    }

    @Test func `a route's own times count where they are shorter than the provider's`() async throws {
        try await withSecondProvider(FailoverTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            // The provider's own times are 30 s and 20 s; comments are no progress in either phase.
            for (fault, hasPart) in [("comments-after=0", false), ("comments-after=2", true)] {
                try await set("error=\(fault)")
                let outcome = await caller.ask("hi") { $0.model = "silent-alone" }
                #expect(outcome.refusal?.code == .upstreamStalled, "\(outcome.result)")
                #expect(outcome.refusal?.flags.contains(.partialOutput) == hasPart)
                #expect(outcome.time > .milliseconds(450) && outcome.time < .seconds(10), "\(outcome.time)")
            }
        }
    }
}
