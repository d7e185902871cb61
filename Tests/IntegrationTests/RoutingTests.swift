// Which target a request goes to: by whom and what it is for, by how its prompt begins.
import Core
import Foundation
import Testing
import Wire

@Suite struct RoutingTests {
    private static func sections(_ base: Int) -> String {
        """
        [team acme/ads]
        [provider other]
        kind = openai
        base-url = http://127.0.0.1:\(base)/v1
        allow-plain-http = yes
        [route split]
        target = other/gpt-6-luna team acme/ads feature chat feature mail
        target = other/gpt-6-sol priority batch
        target = sim/gpt-6-luna group 2
        [route closed]
        target = sim/gpt-6-luna team acme/ads
        [route mirrored]
        mirror = other/gpt-6-sol 100%
        target = sim/gpt-6-luna
        [team acme/tight]
        limit = 150 input tokens / minute fixed-window
        [route hedged]
        hedge = interactive
        target = other/gpt-6-luna
        target = sim/gpt-6-luna group 2
        [provider paid]
        kind = openai
        base-url = http://127.0.0.1:\(base)/v1
        allow-plain-http = yes
        on-cancel = drain 500 tokens 5s
        [provider short]
        kind = openai
        base-url = http://127.0.0.1:\(base)/v1
        allow-plain-http = yes
        on-cancel = drain 10 tokens 5s
        [provider brief]
        kind = openai
        base-url = http://127.0.0.1:\(base)/v1
        allow-plain-http = yes
        on-cancel = drain 500 tokens 300ms
        [route paid]
        target = paid/gpt-6-luna
        [route short]
        target = short/gpt-6-luna
        [route brief]
        target = brief/gpt-6-luna
        [route near]
        affinity = 256
        target = other/gpt-6-luna
        target = sim/gpt-6-luna
        """
    }

    @Test func `conditions decide who goes where`() async throws {
        try await withSecondProvider(RoutingTests.sections) { cluster, _ in
            let search = try Caller(cluster, node: 1)
            let ads = try Caller(cluster, key: try await cluster.createKey(team: "ads"), node: 1)
            func provider(_ caller: Caller, _ feature: String, _ priority: Priority = .interactive) async -> UInt16? {
                await caller.ask("hi") {
                    ($0.model, $0.feature, $0.priority) = ("split", feature, priority)
                }.end?.provider
            }
            // Numbers of providers follow their names: brief, other, paid, short, sim.
            #expect(await provider(ads, "chat") == 2)
            #expect(await provider(ads, "mail") == 2)
            #expect(await provider(ads, "else") == 5)
            #expect(await provider(search, "chat") == 5)
            #expect(await provider(search, "", .batch) == 2)
            #expect(await ads.ask("hi") { $0.model = "closed" }.end != nil)
            #expect(await search.ask("hi") { $0.model = "closed" }.refusal?.code == .noRoute)
        }
    }

    @Test func `prompts that begin alike go to one target, on every node; others spread`() async throws {
        try await withSecondProvider(RoutingTests.sections) { cluster, _ in
            let callers = [try Caller(cluster, node: 1), try Caller(cluster, node: 2)]
            var chosen: [UInt16: Int] = [:]
            for number in 0..<24 {
                let system = String(repeating: "Rules of house \(number). ", count: 20)
                var found: Set<UInt16> = []
                for turn in 0..<4 {
                    let outcome = await callers[turn % 2].ask("\(system) question \(turn)") { $0.model = "near" }
                    found.insert(try #require(outcome.end, "\(outcome.result)").provider)
                }
                #expect(found.count == 1, "conversation \(number) went to \(found)")
                for provider in found { chosen[provider, default: 0] += 1 }
            }
            #expect(chosen.count == 2, "24 conversations all on one of two equal targets: 1 in 8 million by chance")
        }
    }

    @Test func `copies go to the mirror, cost nobody anything, and are compared; their faults are seen by nobody`()
        async throws
    {
        try await withSecondProvider(RoutingTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            func copies(_ served: String, _ copy: String) async -> Int {
                let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
                let line = page.split(separator: "\n").first {
                    $0.hasPrefix("sluice_mirror_requests_total") && $0.contains("served=\"\(served)\"")
                        && $0.contains("copy=\"\(copy)\"")
                }
                return line.flatMap { $0.split(separator: " ").last }.flatMap { Int($0) } ?? 0
            }
            for isStream in [true, false] {
                for _ in 0..<5 {
                    let outcome = await caller.ask("hi\nsim: tokens=12") {
                        $0.model = "mirrored"
                        $0.feature = "mirrored"
                        if !isStream { $0.flags.remove(.stream) }
                    }
                    #expect(outcome.end?.outputTokens == 12 && outcome.end?.attempts == 1, "\(outcome.result)")
                }
            }
            try await cluster.wait("ten comparisons") { await copies("ok", "ok") == 10 }
            let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
            for side in ["served", "copy"] {
                let tokens = page.split(separator: "\n").first {
                    $0.hasPrefix("sluice_mirror_output_tokens_total") && $0.contains("side=\"\(side)\"")
                }
                #expect(tokens?.hasSuffix(" 120") == true, "\(String(describing: tokens))")
                let times = page.split(separator: "\n").first {
                    $0.hasPrefix("sluice_mirror_first_token_seconds_count") && $0.contains("side=\"\(side)\"")
                }
                #expect(times?.hasSuffix(" 5") == true, "\(String(describing: times))")
            }
            try await cluster.wait("the settlements") { try await cluster.held("q:{acme}").requests == 0 }
            let records = try await cluster.ledger().filter { $0.feature == "mirrored" }
            #expect(records.count == 10 && records.allSatisfy { $0.provider == "sim" })

            try await set("error=500")
            #expect(await caller.ask("hi") { $0.model = "mirrored" }.end != nil)
            try await cluster.wait("a failed copy") { await copies("ok", "failed") == 1 }
            try await set("error=hang")
            // More than may be under way at once: the rest is left out, nobody waits.
            let many = await withTaskGroup(of: Caller.Outcome.self) { group in
                for _ in 0..<40 {
                    group.addTask { await caller.ask("hi", timeout: .seconds(10)) { $0.model = "mirrored" } }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(many.allSatisfy { $0.end != nil && $0.time < .seconds(9) })
            #expect(await copies("any", "skipped") == 8)
        }
    }

    @Test func `a cancelled answer is read on where its provider bills it anyway, within its bounds`() async throws {
        try await withSecondProvider(RoutingTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            try await set("tokens=60 pace=10ms")
            let whole = await caller.askAndCancel("hi", model: "paid").outcome
            #expect(whole.refusal?.code == .cancelled && whole.refusal?.outputTokens == 60, "\(whole.result)")
            let short = await caller.askAndCancel("hi", model: "short").outcome
            let few = try #require(short.refusal).outputTokens
            #expect(short.refusal?.code == .cancelled && few >= 10 && few < 60, "\(short.result)")
            try await set("tokens=400 pace=100ms")
            let brief = await caller.askAndCancel("hi", model: "brief").outcome
            #expect(brief.refusal?.code == .cancelled && brief.time < .seconds(10), "\(brief.result)")
            #expect(try #require(brief.refusal).outputTokens < 100)
            try await cluster.wait("the settlements") { try await cluster.held("q:{acme}").requests == 0 }
            let records = try await cluster.ledger().filter { ["paid", "short", "brief"].contains($0.provider) }
            #expect(
                records.map { "\($0.provider) \($0.provenance) \($0.outcome)" } == [
                    "paid 1 CANCELLED", "short 3 CANCELLED", "brief 3 CANCELLED",
                ])
            #expect(records.first?.output == 60, "the provider's own figures")
        }
    }

    @Test("c10: a first token that is late is asked for elsewhere, too; the slower attempt is cancelled and settled")
    func lateFirstToken() async throws {
        try await withSecondProvider(RoutingTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            func ask(_ prompt: String, _ edit: @escaping @Sendable (inout RequestHead) -> Void = { _ in }) async
                -> Caller.Outcome
            {
                await caller.ask(prompt) {
                    ($0.model, $0.feature) = ("hedged", "hedged")
                    edit(&$0)
                }
            }
            // What is usual has to be known first: after twenty streams, of which none can be hedged itself.
            for _ in 0..<20 { #expect(await ask("hi").end != nil) }
            func records() async throws -> [RawRecord] { try await cluster.ledger().filter { $0.feature == "hedged" } }
            try await cluster.wait("the first settlements") { try await records().count == 20 }
            try await set("first-token=4s")
            for _ in 0..<3 {
                let outcome = await ask("hi\nsim: tokens=9")
                let end = try #require(outcome.end, "\(outcome.result)")
                #expect(end.attempts == 2 && end.outputTokens == 9 && outcome.time < .seconds(4), "\(outcome)")
            }
            // Neither what can wait nor what comes whole is asked for twice.
            #expect(await ask("hi") { $0.priority = .background }.end?.attempts == 1)
            #expect(await ask("hi") { $0.flags.remove(.stream) }.end?.attempts == 1)
            // These tokens fit the limit once, not twice.
            let tight = try Caller(cluster, key: try await cluster.createKey(team: "tight"), node: 1)
            let once = await tight.ask(String(repeating: "word ", count: 45)) { $0.model = "hedged" }
            #expect(once.end?.attempts == 1, "\(once.result)")
            try await cluster.wait("the settlements") { try await records().count == 28 }
            let hedged = try await records().dropFirst(20)
            let lost = hedged.filter { $0.outcome == "CANCELLED" }
            #expect(
                lost.count == 3 && lost.allSatisfy { $0.provider == "other" && $0.provenance == 4 && $0.output == 0 })
            #expect(hedged.count { $0.provider == "sim" } == 3, "\(hedged)")
            #expect(try await cluster.tool(["ledger", "verify"]).status == 0)
            #expect(await cluster.simulator()["cancelled"]?.integer == 0)
        }
    }

    @Test func `while the other attempt runs a failure of one of them is seen by nobody`() async throws {
        try await withSecondProvider(RoutingTests.sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            for _ in 0..<20 { #expect(await caller.ask("hi") { $0.model = "hedged" }.end != nil) }
            // The first attempt fails while the second, slower one is under way.
            try await set("first-token=600ms error=500")
            let slow = await caller.ask("hi\nsim: first-token=1500ms") { $0.model = "hedged" }
            #expect(slow.end != nil, "\(slow.result)")
            // The second fails; the first answers in its time.
            try await set("first-token=600ms error=none")
            _ = try await cluster.run([
                "/usr/bin/curl", "-sf", "-d", "error=500", "http://127.0.0.1:\(cluster.at("sim"))/sim/faults",
            ])
            let first = await caller.ask("hi") { $0.model = "hedged" }
            #expect(first.end?.attempts == 2, "\(first.result)")
            try await cluster.wait("the holds to be given back") { try await cluster.held("q:{acme}").requests == 0 }
        }
    }
}
