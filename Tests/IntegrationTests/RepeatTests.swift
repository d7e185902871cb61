// A client repeats what failed in a way that is safe to repeat, under the same id; what ran is not run again.
import Core
import Foundation
import Testing
import Wire

@Suite struct RepeatTests {
    @Test func `an id of which nothing came runs when it is asked for again, and then never more`() async throws {
        try await withCluster(org: "limit = 100 concurrent\nlimit = $100 / month") { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            let other = try Caller(cluster, node: 2)
            try await other.connected()
            var chance = Chance(seed: 11)

            // What may have run stays taken.
            let broken = chance.identifier()
            let cut = await caller.ask("hi\nsim: tokens=20 error=cut-after=3") { $0.idempotencyKey = broken }
            #expect(cut.refusal != nil && cut.refusal?.retry == .unsafe, "\(cut.result)")
            #expect(await other.ask("hi") { $0.idempotencyKey = broken }.refusal?.code == .duplicate)

            // The provider is not there: nothing is sent.
            try await cluster.kill("sim")
            let unsent = chance.identifier()
            let refused = await caller.ask("hi") { $0.idempotencyKey = unsent }
            #expect(refused.refusal?.code == .upstreamConnect && refused.refusal?.retry == .safeElsewhere)
            try await cluster.launch("sim")
            try await again(unsent, on: other, cluster)

            // The provider refuses: nothing comes of what was sent.
            let failed = chance.identifier()
            let throttled = await caller.ask("hi\nsim: error=503") { $0.idempotencyKey = failed }
            #expect(throttled.refusal?.code == .upstreamFailed && throttled.refusal?.retry == .safeElsewhere)
            try await again(failed, on: other, cluster)
            try await cluster.wait("holds") { try await cluster.held("q:{acme}") == (0, 0) }
        }
    }

    /// Asks until it is answered, and once more.
    private func again(_ id: Identifier128, on caller: Caller, _ cluster: TestCluster) async throws {
        try await cluster.wait("an answer", seconds: 30) {
            let outcome = await caller.ask("hi") { $0.idempotencyKey = id }
            #expect(outcome.refusal?.code != .duplicate, "\(outcome.result)")
            return outcome.end != nil
        }
        #expect(await caller.ask("hi") { $0.idempotencyKey = id }.refusal?.code == .duplicate)
    }
}
