// Answers that go on over another connection: what the client library does, against servers that break at given places.
import Client
import Core
import Net
import Synchronization
import TestSupport
import Testing
import Wire

@Suite struct ResumeTests {
    static let id = Identifier128(high: 7, low: 9)

    static var limits: WireLimits {
        var limits = WireLimits()
        limits.refusedResumes = 4
        return limits
    }

    static func grant(_ milliseconds: UInt32 = 5_000) -> Accepted {
        Accepted(resumption: ResumeGrant(id: id, keptMilliseconds: milliseconds))
    }

    /// Says `text`, then breaks the connection when the client has read it.
    static func begin(_ request: ServedRequest, _ text: String, kept: UInt32 = 5_000) {
        request.connection.say {
            $0.sendAccepted(stream: request.stream, grant(kept))
            $0.sendAccepted(stream: request.stream, Accepted(provider: 1))
            $0.sendDelta(stream: request.stream, choice: 0, kind: .text, bytes: Array(text.utf8).span.raw)
        }
    }

    private static func goOn(_ connection: ServedConnection, _ stream: UInt32, _ text: String) {
        connection.say {
            $0.sendAccepted(stream: stream, grant())
            $0.sendDelta(stream: stream, choice: 0, kind: .text, bytes: Array(text.utf8).span.raw)
            $0.end(stream: stream, End(outputTokens: 3))
            $0.release(stream: stream)
        }
    }

    @Test func theReaderDoesNotNoticeThatItsConnectionBroke() async throws {
        let server = try ScriptedServer(
            limits: Self.limits,
            onResume: { connection, stream, _ in Self.goOn(connection, stream, "ß, world") },
            onRequest: { Self.begin($0, "Hello ") })
        let client = try SluiceClient(try options(server) { $0.continuesStreams = true })
        let stream = try await client.chat(ask())
        var text = ""
        var accepted = 0
        for try await event in stream {
            switch event {
            case .text(let piece, _):
                text += piece
                if text == "Hello " { server.onLive { for connection in $0 { connection.channel.abort() } } }
            case .accepted: accepted += 1
            default: break
            }
        }
        #expect(text == "Hello ß, world" && accepted == 1)
        #expect(server.seen.resumes == [Resume(id: Self.id, received: 7, credit: 65_543 - 6)], "\(server.seen.resumes)")
        #expect(server.seen.requests.count == 1 && server.seen.requests[0].flags == [.stream, .resumable])
        await client.close()
    }

    @Test func withoutTheOptionNothingIsAskedFor() async throws {
        let server = try ScriptedServer(limits: Self.limits) { request in
            request.connection.say {
                $0.sendDelta(stream: request.stream, choice: 0, kind: .text, bytes: Array("x".utf8).span.raw)
            }
        }
        let client = try SluiceClient(try options(server))
        let stream = try await client.chat(ask())
        server.onLive { for connection in $0 { connection.channel.abort() } }
        let (_, failure) = await events(stream)
        guard case .connectionLost? = failure else { throw TestFailure("\(String(describing: failure))") }
        #expect(server.seen.requests[0].flags == .stream)
        #expect(server.seen.hellos.allSatisfy { !$0.capabilities.contains(.resume) })
        await client.close()
    }

    @Test func aNodeThatKeptNothingEndsTheAnswerAsLost() async throws {
        let server = try ScriptedServer(limits: Self.limits, onRequest: { Self.begin($0, "x") })
        let client = try SluiceClient(try options(server) { $0.continuesStreams = true })
        let stream = try await client.chat(ask())
        server.onLive { for connection in $0 { connection.channel.abort() } }
        let (_, failure) = await events(stream)
        guard case .connectionLost(let reason)? = failure else {
            throw TestFailure("\(String(describing: failure))")
        }
        #expect(reason.contains("not kept") && failure?.retry == .unsafe)
        #expect(server.seen.resumes.count == 1)
        await client.close()
    }

    @Test func theRightNodeIsLookedForBehindABalancer() async throws {
        // The first three connections after the break lead to another node.
        let number = Atomic<UInt32>(0)
        let server = try ScriptedServer(
            limits: Self.limits,
            onHello: { connection, _ in
                let count = number.add(1, ordering: .relaxed).newValue
                let node: UInt32 = (2...4).contains(count) ? 2 : 1
                connection.say { $0.accept(HelloOK(session: 1, node: node), at: connection.channel.lane.now) }
            },
            onResume: { connection, stream, _ in Self.goOn(connection, stream, "y") },
            onRequest: { Self.begin($0, "x") })
        let client = try SluiceClient(try options(server) { $0.continuesStreams = true })
        let stream = try await client.chat(ask())
        server.onLive { for connection in $0 { connection.channel.abort() } }
        let (found, failure) = await events(stream)
        #expect(failure == nil)
        #expect(found.contains(.text("x", choice: 0)) && found.contains(.text("y", choice: 0)))
        #expect(server.seen.resumes.count == 1, "only the node that has it is asked")
        try await server.wait("the searching connections are closed") { $0.closed >= 3 }
        await client.close()
    }

    @Test func whoFindsNobodyInTimeHearsItOnce() async throws {
        let number = Atomic<UInt32>(0)
        let server = try ScriptedServer(
            limits: Self.limits,
            onHello: { connection, _ in
                let node = number.add(1, ordering: .relaxed).newValue
                connection.say { $0.accept(HelloOK(session: 1, node: node), at: connection.channel.lane.now) }
            }, onRequest: { Self.begin($0, "x", kept: 700) })
        let client = try SluiceClient(
            try options(server) {
                $0.continuesStreams = true
                $0.searches = 3
            })
        let stream = try await client.chat(ask())
        let began = ContinuousClock.now
        server.onLive { for connection in $0 { connection.channel.abort() } }
        let (_, failure) = await events(stream)
        guard case .connectionLost? = failure else { throw TestFailure("\(String(describing: failure))") }
        #expect(ContinuousClock.now - began >= .milliseconds(600))
        #expect(server.seen.resumes.isEmpty)
        #expect(server.seen.hellos.count <= 1 + 1 + 3, "one connection in its place, three searches")
        await client.close()
    }

    @Test func whoGivesUpMeanwhileStopsTheNodeWhenItIsFound() async throws {
        let gate = Gate()
        let server = try ScriptedServer(
            limits: Self.limits,
            onHello: { connection, _ in
                if connection.number == 1 || gate.isOpen { connection.accept() } else { connection.channel.abort() }
            }, onResume: { _, _, _ in }, onRequest: { Self.begin($0, "x") })
        let client = try SluiceClient(try options(server) { $0.continuesStreams = true })
        do {
            let stream = try await client.chat(ask())
            server.onLive { for connection in $0 { connection.channel.abort() } }
            try await server.wait("a connection that came too early") { $0.closed >= 2 }
            _ = stream
        }
        gate.open()
        try await server.wait("CANCEL behind RESUME") { $0.resumes.count == 1 && $0.cancels == [.unwanted] }
        await client.close()
    }

    @Test func aClientThatIsClosedSaysSo() async throws {
        let server = try ScriptedServer(limits: Self.limits, onRequest: { Self.begin($0, "x") })
        let client = try SluiceClient(try options(server) { $0.continuesStreams = true })
        let stream = try await client.chat(ask())
        await client.close()
        guard case .connectionLost? = await events(stream).failure else { throw TestFailure("not lost") }
        try await server.wait("nobody comes back") { $0.cancels == [.shutdown] }
    }
}
