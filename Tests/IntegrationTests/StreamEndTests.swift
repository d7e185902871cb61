// Streams that end early: by their deadline, by their caller, by a caller that does not read.
import Core
import Foundation
import Testing
import Wire

@Suite struct StreamEndTests {
    @Test func `a deadline ends the request and closes the provider's connection within a second`() async throws {
        try await withCluster(org: "limit = 64 concurrent") { cluster in
            let caller = try Caller(cluster)
            try await caller.connected()
            let outcome = await caller.ask("slow\nsim: tokens=1000 pace=20ms", timeout: .milliseconds(700))
            let refusal = try #require(outcome.refusal)
            #expect(refusal.code == .deadline && refusal.retry == .unsafe)
            #expect(refusal.flags.isSuperset(of: [.upstreamStarted, .partialOutput]))
            #expect(refusal.outputTokens > 0 && refusal.outputTokens < 100)
            #expect(outcome.time > .milliseconds(650) && outcome.time < .seconds(10), "half of the stream")
            try await cluster.wait("the end of the provider's stream", seconds: 1) {
                await cluster.simulator()["streams_open"]?.integer == 0
            }
            try await cluster.wait("the settlement") { try await cluster.held("q:{acme}").requests == 0 }
        }
    }

    @Test("c10: a caller that cancels stops the provider within a second") func cancel() async throws {
        try await withCluster { cluster in
            let running = try await cluster.beginTool(["chat", "long\nsim: tokens=2000 pace=20ms"])
            try await cluster.wait("the stream") { await cluster.simulator()["streams_open"]?.integer == 1 }
            let cancelledAt = Date().timeIntervalSince1970
            running.child.signal(SIGINT)
            let answer = try await running.answer()
            #expect(answer.status == 130, "\(answer.error)")
            try await cluster.wait("the end of the provider's stream", seconds: 1) {
                await cluster.simulator()["streams_open"]?.integer == 0
            }
            let closed = await cluster.simulator()["cancellations"]?.elements?.last?["closed_at_us"]?.integer ?? 0
            #expect(Double(closed) / 1e6 - cancelledAt < 1 && Double(closed) / 1e6 > cancelledAt)
        }
    }

    @Test("h1: a caller that goes away stops the provider within a second") func callerGone() async throws {
        try await withCluster { cluster in
            let running = try await cluster.beginTool(["chat", "long\nsim: tokens=2000 pace=20ms"])
            try await cluster.wait("the stream") { await cluster.simulator()["streams_open"]?.integer == 1 }
            await running.child.end()
            try await cluster.wait("the end of the provider's stream", seconds: 1) {
                await cluster.simulator()["streams_open"]?.integer == 0
            }
        }
    }

    @Test func `callers that do not read cost little memory, hurt nobody, and are settled`() async throws {
        try await withCluster(org: "limit = 64 concurrent") { cluster in
            let before = try await cluster.metric("process_resident_memory_bytes", node: 1)
            // Large events: it is bytes that count here, and a debug build is slow with many small ones.
            _ = try await cluster.run([
                "/usr/bin/curl", "-s", "-d", "chunk=50", "127.0.0.1:\(cluster.at("sim"))/sim/faults",
            ])
            // Answers of 600 KB where 64 KiB of credit are given. A stream without credit ends after 30 s; a connection whose socket takes
            // nothing ends after 20 s. Which of the two comes first for eight streams on one connection is the kernel's buffers' choice.
            func reader(connections: Int) async throws -> TestCluster.Running {
                try await cluster.beginTool(
                    [
                        "bench", "--stream", "--tokens", "100000", "--concurrency", "16", "--connections",
                        "\(connections)", "--requests", "16", "--warmup", "0", "--json",
                    ], node: 1)
            }
            let (many, few) = (try await reader(connections: 16), try await reader(connections: 2))
            try await cluster.wait("32 streams") {
                try await cluster.metric("sluice_requests_under_way", node: 1) == 32
            }
            for reader in [many, few] { reader.child.signal(SIGSTOP) }
            let stopped = ContinuousClock.now
            let neighbour = try Caller(cluster, node: 1)
            try await neighbour.connected()
            var largest = before
            while ContinuousClock.now - stopped < .seconds(18) {
                let outcome = await neighbour.ask("hi", timeout: .seconds(5))
                #expect(outcome.end != nil, "\(outcome.result)")
                largest = max(largest, try await cluster.metric("process_resident_memory_bytes", node: 1))
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(try await cluster.metric("sluice_requests_under_way", node: 1) == 32, "they wait")
            // A stream may hold 16 KiB of queue and what was read from its provider at once; a connection 64 KiB.
            #expect(largest - before < 12 * 1_048_576, "grew by \(Int(largest - before)) bytes")
            try await cluster.wait("the end of all", seconds: 60) {
                try await cluster.metric("sluice_requests_under_way", node: 1) == 0
            }
            try await cluster.wait("their settlement") { try await cluster.held("q:{acme}").requests == 0 }
            for reader in [many, few] { reader.child.signal(SIGCONT) }
            let slow = try await many.answer().json["error_codes"]
            #expect(slow?["SLOW_CONSUMER"]?.integer == 16, "\(slow?.json ?? "")")
            #expect(try await few.answer().json["errors"]?.integer == 16)
        }
    }
}
