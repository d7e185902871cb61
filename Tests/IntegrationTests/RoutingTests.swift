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
            // Numbers of providers follow their names: other, sim.
            #expect(await provider(ads, "chat") == 1)
            #expect(await provider(ads, "mail") == 1)
            #expect(await provider(ads, "else") == 2)
            #expect(await provider(search, "chat") == 2)
            #expect(await provider(search, "", .batch) == 1)
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
}
