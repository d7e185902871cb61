// A route with two providers of which one fails in every way: the other answers, unseen, and only before the first piece.
import Core
import Foundation
import Testing
import Wire

@Suite struct FailoverTests {
    /// A second route: its first group is a provider that fails, its second the one that works.
    private static func sections(_ base: Int) -> String {
        """
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

    @Test func `what fails behind the first piece is told, and not tried elsewhere`() async throws {
        try await withSecondProvider(FailoverTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            try await set("error=cut-after=3 tokens=20")
            let outcome = await caller.ask("hi", timeout: .seconds(20)) { $0.model = "two" }
            #expect(outcome.refusal?.code == .upstreamTruncated, "\(outcome.result)")
            #expect(outcome.refusal?.flags.contains(.partialOutput) == true)
        }
    }

    @Test func `a provider that fails always rests: nearly all requests are answered, with few attempts more`()
        async throws
    {
        try await withSecondProvider(FailoverTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            try await set("error=500")
            var answered = 0
            for _ in 0..<300 {
                let outcome = await caller.ask("hi", timeout: .seconds(20)) { $0.model = "two" }
                if outcome.end != nil { answered += 1 }
            }
            // Before it rests, the budget covers three of its five failures.
            #expect(answered >= 297, "\(answered)")
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
}
