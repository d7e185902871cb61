// A route with two providers of which one fails in every way: the other answers, unseen, and only before the first piece.
import Core
import Foundation
import Testing
import Wire

@Suite struct FailoverTests {
    /// A second route: its first group is a provider that fails, its second the one that works.
    private static let sections = """
        [provider broken]
        kind = openai
        base-url = http://127.0.0.1:PORT/v1
        allow-plain-http = yes
        connect-timeout = 500ms
        [route two]
        target = broken/gpt-6-luna
        target = sim/gpt-6-luna group 2
        """

    @Test func `what fails before the first piece is answered by the next group, within a tenth more attempts`()
        async throws
    {
        try await withFailingProvider { cluster, set in
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
        try await withFailingProvider { cluster, set in
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
        try await withFailingProvider { cluster, set in
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

    private func withFailingProvider(
        _ body: (TestCluster, (String) async throws -> Void) async throws -> Void
    ) async throws {
        let place = try Place()
        defer { place.leave() }
        let sections = FailoverTests.sections.replacingOccurrences(of: "PORT", with: "\(place.base)")
        try await withCluster(sections) { cluster in
            let file = cluster.path("broken.log")
            let child = try await Child.start(
                [cluster.program("sluice-provider-sim"), "--listen", "127.0.0.1:\(place.base)"],
                in: cluster.place.folder.path, output: file, error: file)
            try await cluster.wait("the failing provider") {
                await cluster.http(place.base, "/sim/stats").status == 200
            }
            do {
                try await body(cluster) { settings in
                    let answer = try await cluster.run([
                        "/usr/bin/curl", "-sf", "-d", settings, "http://127.0.0.1:\(place.base)/sim/faults",
                    ])
                    #expect(answer.status == 0, "\(answer.output)")
                }
            } catch {
                await child.end()
                throw error
            }
            await child.end()
        }
    }
}
