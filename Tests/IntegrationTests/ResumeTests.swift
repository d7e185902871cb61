// Streams that go on over another connection to the same node: whole, once, for their own key, within bounds.
import Core
import Foundation
import TestSupport
import Testing
import Wire

@Suite struct ResumeTests {
    private static func id(_ number: UInt64) -> Identifier128 { Identifier128(high: 0x5E5, low: number) }

    /// What the simulator answers to a prompt.
    private static func whole(_ prompt: String, _ cluster: TestCluster) async throws -> String {
        let caller = try Caller(cluster, node: 2)
        let outcome = await caller.ask(prompt, timeout: .seconds(60))
        #expect(outcome.end != nil, "\(outcome.result)")
        return outcome.text
    }

    /// A connection of a stream that is continued: the text and the place from all before.
    private static func text(_ connections: [RawConnection]) -> String {
        String(decoding: connections.flatMap { $0.now.bytes }, as: UTF8.self)
    }

    private static func settled(_ cluster: TestCluster, requests: Int) async throws {
        try await cluster.wait("the settlement") { try await cluster.held("q:{acme}").requests == 0 }
        try await cluster.wait("nothing runs") {
            try await cluster.metric("sluice_requests_under_way", node: 1) == 0
        }
        let records = try await cluster.ledger().filter { $0.id.hasPrefix("00000000000005e5") }
        #expect(Set(records.map(\.id)).count == requests && records.count == requests, "one record each")
    }

    @Test func `a stream goes on over connection after connection, on every lane, whole`() async throws {
        try await withCluster(org: "limit = 64 concurrent", nodes: "lanes = 2\nresume-time = 4s") { cluster in
            let prompt = "go on\nsim: tokens=400 pace=10ms"
            let wanted = try await Self.whole(prompt, cluster)
            var used = [try await RawConnection(cluster)]
            await used[0].ask(prompt, id: Self.id(1))
            var lanes: Set<Bool> = []
            var stream: UInt32 = 1
            for turn in 1...8 {
                let last = used[used.count - 1]
                try await cluster.wait("some of the text") { last.now.bytes.count > 60 }
                let grant = try #require(used[0].now.grant)
                let place = await last.cut(stream)
                #expect(place.received > 0)
                let next = try await RawConnection(cluster)
                lanes.insert(next.nodesLane == used[0].nodesLane)
                // Even turns come behind another stream, so that the number of the stream differs, too.
                if turn % 2 == 0 { await next.ask("hi", id: Self.id(UInt64(100 + turn)), model: "none") }
                stream = try #require(await next.resume(grant.id, place))
                used.append(next)
                try await cluster.wait("the answer to RESUME") { next.now.grant == grant }
                // Until both lanes had it.
                if turn >= 4, lanes.count == 2 { break }
            }
            let last = used[used.count - 1]
            try await cluster.wait("the end", seconds: 30) {
                last.now.end != nil && Self.text(used).count >= wanted.count
            }
            // Not printed when they differ: they are long.
            let isWhole = Self.text(used) == wanted
            #expect(isWhole)
            #expect(used.allSatisfy { $0.now.afterEnd == 0 })
            var line: [Substring] = []
            try await cluster.wait("its line in the log") {
                line = cluster.log("node-1").split(separator: "\n").filter { $0.contains(Self.id(1).hex) }
                return !line.isEmpty
            }
            #expect(line.count == 1 && line[0].contains("\"resumes\":\(used.count - 1)"), "\(line)")
            #expect(try await cluster.metric("sluice_resumes_total", node: 1) == Double(used.count - 1))
            try await cluster.wait("nothing is kept for ever", seconds: 30) {
                try await cluster.metric("sluice_resume_kept_bytes", node: 1) == 0
            }
        }
    }

    @Test func `only the key itself goes on, from a true place, and one connection has the stream`() async throws {
        try await withCluster(org: "limit = 64 concurrent") { cluster in
            let prompt = "mine\nsim: tokens=300 pace=10ms"
            let wanted = try await Self.whole(prompt, cluster)
            let other = try await cluster.createKey(team: "search")
            let first = try await RawConnection(cluster)
            await first.ask(prompt, id: Self.id(1))
            try await cluster.wait("some of the text") { first.now.bytes.count > 60 }
            let grant = try #require(first.now.grant)
            #expect(grant.keptMilliseconds == 10_000)

            try await cluster.wait("the other key is known") {
                try await RawConnection(cluster, key: other).now.answer != nil
            }
            let thief = try await RawConnection(cluster, key: other)
            await thief.resume(grant.id, await first.place())
            try await cluster.wait("the refusal") { thief.now.errors.count == 1 }
            #expect(thief.now.errors[0].code == .resumeUnknown && thief.now.errors[0].retry == .unsafe)
            let guess = try await RawConnection(cluster)
            let near = Identifier128(high: grant.id.high, low: grant.id.low ^ 1)
            let foreign = Identifier128(high: grant.id.high | 0xFF << 56, low: grant.id.low)
            for id in [near, foreign] { await guess.resume(id, .init(received: 0, consumed: 0)) }
            // A place in the middle of a frame, and one that was never sent.
            for received in [1, 1 << 20] as [UInt32] {
                await guess.resume(grant.id, .init(received: received, consumed: received))
            }
            try await cluster.wait("the refusals") { guess.now.errors.count == 4 }
            #expect(guess.now.errors.allSatisfy { $0.code == .resumeUnknown && $0.text == thief.now.errors[0].text })

            // The first connection lives on, as far as the node can tell; its client knows better.
            let place = await first.place()
            let second = try await RawConnection(cluster)
            await second.resume(grant.id, place)
            try await cluster.wait("the end", seconds: 30) { second.now.end != nil }
            #expect(first.now.errors.map(\.code) == [.moved] && first.now.end == nil && first.now.afterEnd == 0)
            let heard = first.now.bytes.prefix(wanted.utf8.count - second.now.bytes.count)
            let isWhole = String(decoding: heard + second.now.bytes, as: UTF8.self) == wanted
            #expect(isWhole)
            #expect(second.now.bytes.count < wanted.utf8.count)
            try await Self.settled(cluster, requests: 1)

            // The terminal frame may not have arrived: it is kept as well.
            let third = try await RawConnection(cluster)
            await third.resume(grant.id, await second.place())
            try await cluster.wait("an answer") { third.now.end != nil || third.now.errors.count == 1 }
            #expect(
                third.now.errors.first?.code == .resumeUnknown, "the place of a stream that ended is not known here")
            let again = try await RawConnection(cluster)
            await again.resume(grant.id, place)
            try await cluster.wait("the end again") { again.now.end != nil }
            #expect(again.now.bytes == second.now.bytes && again.now.end == second.now.end)
            try await Self.settled(cluster, requests: 1)
        }
    }

    @Test func `who comes too late is refused, and the request was settled once`() async throws {
        try await withCluster(org: "limit = 64 concurrent", nodes: "lanes = 1\nresume-time = 1s") { cluster in
            let first = try await RawConnection(cluster)
            await first.ask("late\nsim: tokens=2000 pace=20ms", id: Self.id(1))
            try await cluster.wait("some of the text") { first.now.bytes.count > 20 }
            let grant = try #require(first.now.grant)
            let place = await first.cut()
            let cutAt = ContinuousClock.now
            try await cluster.wait("the end of the provider's stream") {
                await cluster.simulator()["streams_open"]?.integer == 0
            }
            #expect(ContinuousClock.now - cutAt > .milliseconds(800), "it was read on for a while")
            try await Self.settled(cluster, requests: 1)
            let second = try await RawConnection(cluster)
            await second.resume(grant.id, place)
            try await cluster.wait("the refusal") { second.now.errors.map(\.code) == [.resumeUnknown] }
            #expect(try await cluster.metric("sluice_resumes_expired_total", node: 1) == 1)
            #expect(try await cluster.metric("sluice_resume_kept_bytes", node: 1) == 0)
            try await Self.settled(cluster, requests: 1)
        }
    }

    @Test func `waits, wishes and rights mean on a continued stream what they always mean`() async throws {
        try await withCluster(org: "limit = 64 concurrent") { cluster in
            // Nothing was said yet.
            let prompt = "patience\nsim: tokens=30 first-token=2s pace=5ms"
            let wanted = try await Self.whole(prompt, cluster)
            let early = try await RawConnection(cluster)
            await early.ask(prompt, id: Self.id(1))
            try await cluster.wait("the id") { early.now.grant != nil }
            let start = await early.cut()
            #expect(start.received == 0)
            let later = try await RawConnection(cluster)
            await later.resume(try #require(early.now.grant).id, start)
            try await cluster.wait("the end") { later.now.end != nil }
            #expect(later.now.text == wanted)

            // CANCEL reaches the provider from the connection that has the stream.
            let first = try await RawConnection(cluster)
            await first.ask("long\nsim: tokens=2000 pace=20ms", id: Self.id(2))
            try await cluster.wait("some of the text") { first.now.bytes.count > 20 }
            let place = await first.cut()
            let second = try await RawConnection(cluster)
            await second.resume(try #require(first.now.grant).id, place)
            try await cluster.wait("more of the text") { second.now.bytes.count > 20 }
            _ = await second.say { machine, _ in machine.cancel(stream: 1) }
            try await cluster.wait("its last word") { second.now.errors.count == 1 }
            let last = second.now.errors[0]
            #expect(last.code == .cancelled && last.outputTokens > 0 && last.flags.contains(.partialOutput))
            try await cluster.wait("the end of the provider's stream", seconds: 2) {
                await cluster.simulator()["streams_open"]?.integer == 0
            }

            // A key that is revoked ends what nobody has at the moment, too.
            let other = try await cluster.createKey(team: "search")
            var third = try await RawConnection(cluster, key: other)
            try await cluster.wait("the other key is known") {
                if third.now.answer == nil { third = try await RawConnection(cluster, key: other) }
                return third.now.answer != nil
            }
            await third.ask("long\nsim: tokens=2000 pace=20ms", id: Self.id(3))
            try await cluster.wait("some of the text") { third.now.bytes.count > 20 }
            _ = await third.cut()
            try await cluster.wait("nobody has it") {
                try await cluster.metric("sluice_resumable_away", node: 1) == 1
            }
            let id = other.split(separator: "_")[1]
            let revoked = try await cluster.tool(["keys", "revoke", String(id)])
            #expect(revoked.status == 0, "\(revoked.error)")
            try await cluster.wait("its line in the log") {
                cluster.log("node-1").split(separator: "\n").contains {
                    $0.contains(Self.id(3).hex) && $0.contains("FORBIDDEN")
                }
            }
            try await Self.settled(cluster, requests: 3)
        }
    }

    @Test func `what is kept stays within its bound, then the provider waits`() async throws {
        try await withCluster(org: "limit = 64 concurrent", nodes: "lanes = 1\nresume-buffer = 64KiB") { cluster in
            let prompt = "much\nsim: tokens=60000 pace=0ms chunk=20"
            let wanted = try await Self.whole(prompt, cluster)
            #expect(wanted.utf8.count > 256 << 10)
            // Nothing is given back for what comes, so the node has a window on its way and waits.
            let first = try await RawConnection(cluster, credit: .manual)
            await first.ask(prompt, id: Self.id(1))
            try await cluster.wait("a part of the text") { first.now.bytes.count > 16 << 10 }
            let grant = try #require(first.now.grant)
            let place = await first.cut()
            let heard = first.now.bytes
            try await cluster.wait("nobody has it") {
                try await cluster.metric("sluice_resumable_away", node: 1) == 1
            }
            let most = try await atRest("the provider waits", above: 65_536) {
                Int(try await cluster.metric("sluice_resume_kept_bytes", node: 1))
            }
            // Its provider's reads may pass the bound by one piece of input each; memory grows by doubling.
            #expect(most <= 524_288)
            #expect(try await cluster.metric("sluice_requests_under_way", node: 1) == 1, "it waits, and has not ended")
            let second = try await RawConnection(cluster)
            await second.resume(grant.id, place)
            try await cluster.wait("the end", seconds: 60) { second.now.end != nil }
            let isWhole = String(decoding: heard + second.now.bytes, as: UTF8.self) == wanted
            #expect(isWhole)
            try await Self.settled(cluster, requests: 1)
        }
    }

    @Test func `when memory is short the oldest answers go, and no connection notices`() async throws {
        let settings = "lanes = 1\nresume-memory = 1MiB\nresume-buffer = 64KiB"
        try await withCluster(org: "limit = 64 concurrent", nodes: settings) { cluster in
            let prompt = "long\nsim: tokens=20000 chunk=50"
            let wanted = try await Self.whole(prompt, cluster)
            // Answers that are over: what their clients have not confirmed is kept a while, 32 KiB and more of each.
            let caller = try Caller(cluster, node: 1, continuesStreams: true)
            let outcomes = await caller.ask(40, prompt, timeout: .seconds(60))
            let whole = outcomes.count { $0.text == wanted }
            #expect(whole == 40)
            let kept = try await cluster.metric("sluice_resume_kept_bytes", node: 1)
            #expect(kept > 0 && kept <= 1_048_576, "\(kept)")
            #expect(try await cluster.metric("sluice_resumes_given_up_total", node: 1) > 0)
            // Answers that run, and whose clients confirm nothing: a window of each is kept, until there is no room for it. They are so
            // long that none of them ends behind its window, whatever the node reads of it ahead.
            let reader = try await RawConnection(cluster, credit: .manual)
            let longer = "longer\nsim: tokens=200000 chunk=50"
            for number in 0..<30 as Range<UInt64> { await reader.ask(longer, id: Self.id(number)) }
            try await cluster.wait("a window of each") { reader.now.bytes.count > 30 * 60_000 }
            let most = try await cluster.metric("sluice_resume_kept_bytes", node: 1)
            #expect(most <= 1_048_576, "\(most)")
            _ = await reader.cut()
            // Those that cannot be continued end with their connection, the others wait.
            try await cluster.wait("who was given up ends") {
                let running = try await cluster.metric("sluice_requests_under_way", node: 1)
                let away = try await cluster.metric("sluice_resumable_away", node: 1)
                return running == away && away > 0 && away < 30
            }
            try await cluster.wait("the others, too, when nobody comes", seconds: 30) {
                try await cluster.metric("sluice_requests_under_way", node: 1) == 0
            }
            try await cluster.wait("what was kept to be let go", seconds: 60) {
                try await cluster.metric("sluice_resume_kept_bytes", node: 1) == 0
            }
            try await Self.settled(cluster, requests: 30)
        }
    }

    @Test func `behind a balancer the library finds the node, and its reader notices nothing`() async throws {
        try await withCluster(org: "limit = 64 concurrent", nodes: "lanes = 2") { cluster in
            let prompt = "far\nsim: tokens=300 pace=20ms"
            let wanted = try await Self.whole(prompt, cluster)
            let caller = try Caller(cluster, connections: 2, continuesStreams: true)
            try await caller.connected(2)
            async let outcomes = withTaskGroup(of: Caller.Outcome.self) { group in
                for _ in 0..<20 { group.addTask { await caller.ask(prompt, timeout: .seconds(60)) } }
                return await group.reduce(into: [Caller.Outcome]()) { $0.append($1) }
            }
            try await cluster.wait("the streams") { await cluster.simulator()["streams_open"]?.integer == 20 }
            for _ in 0..<3 {
                try await Task.sleep(for: .milliseconds(700))
                for node in 1...2 {
                    _ = try await cluster.run([
                        "/bin/sh", "-c",
                        "echo 'shutdown sessions server nodes/node\(node)' | socat - UNIX-CONNECT:state/haproxy.sock",
                    ])
                }
            }
            let all = await outcomes
            #expect(all.allSatisfy { $0.end != nil }, "\(all.compactMap { $0.end == nil ? $0.result : nil })")
            let whole = all.count { $0.text == wanted }
            #expect(whole == 20)
            let resumes =
                try await cluster.metric("sluice_resumes_total", node: 1)
                + (try await cluster.metric("sluice_resumes_total", node: 2))
            #expect(resumes >= 20, "\(resumes)")
            try await cluster.wait("the settlement") { try await cluster.held("q:{acme}").requests == 0 }
        }
    }

    @Test func `guesses are counted, whichever lane they name`() async throws {
        try await withCluster { cluster in
            let connection = try await RawConnection(cluster)
            for high: UInt64 in [0, 0xFF << 56] {
                let guess = Identifier128(high: high, low: 0x1234)
                _ = try #require(await connection.resume(guess, .init(received: 0, consumed: 0)))
            }
            try await cluster.wait("both answers") { connection.now.errors.count == 2 }
            #expect(connection.now.errors.allSatisfy { $0.code == .resumeUnknown })
            #expect(try await cluster.metric("sluice_resumes_refused_total", node: 1) == 2)
        }
    }

    @Test func `a secret that stops ends the answer of a client that is away`() async throws {
        try await withCluster { cluster in
            let key = try await cluster.createKey(team: "search")
            let id = String(try #require(key.split(separator: "_").dropFirst().first))
            let connection = try await RawConnection(cluster, key: key)
            await connection.ask("away\nsim: tokens=4000 pace=10ms", id: Self.id(9))
            try await cluster.wait("some of the text") { connection.now.bytes.count > 60 }
            _ = await connection.cut()
            try await cluster.wait("nobody has it") { try await cluster.metric("sluice_resumable_away", node: 1) == 1 }
            let cut = ContinuousClock.now
            let rotated = try await cluster.tool(["keys", "rotate", id, "--overlap", "0s", "--json"])
            #expect(rotated.status == 0, "\(rotated.error)")
            try await cluster.wait("its end") { try await cluster.metric("sluice_requests_under_way", node: 1) == 0 }
            #expect(ContinuousClock.now - cut < .seconds(9), "resume-time is 10 s")
            #expect(cluster.log("node-1").contains("FORBIDDEN"))
        }
    }
    @Test func `a key that expires ends the answer of a client that is away`() async throws {
        // Long enough that it is not the time to come back that ends it.
        try await withCluster(nodes: "resume-time = 5m") { cluster in
            let made = try await cluster.tool([
                "keys", "create", "--org", "acme", "--team", "search", "--model", "*", "--expires", "6s", "--json",
            ])
            let connection = try await RawConnection(cluster, key: try #require(made.json["key"]?.text))
            await connection.ask("away\nsim: tokens=20000 pace=10ms", id: Self.id(11))
            try await cluster.wait("some of the text") { connection.now.bytes.count > 60 }
            _ = await connection.cut()
            try await cluster.wait("nobody has it") { try await cluster.metric("sluice_resumable_away", node: 1) == 1 }
            try await cluster.wait("its line in the log", seconds: 30) {
                cluster.log("node-1").split(separator: "\n").contains {
                    $0.contains(Self.id(11).hex) && $0.contains("FORBIDDEN")
                }
            }
            try await cluster.wait("its end") { try await cluster.metric("sluice_requests_under_way", node: 1) == 0 }
        }
    }
}
