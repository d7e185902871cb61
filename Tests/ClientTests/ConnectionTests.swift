// Connections: refused, cut, replaced; what each means for the requests on them.
import Client
import Core
import Foundation
import Net
import TestSupport
import Testing
import Wire

@Suite struct ConnectionTests {
    // MARK: - Greetings

    @Test func aRefusedKeyIsToldAtOnceAndNotRepeated() async throws {
        let server = try ScriptedServer(onHello: { connection, _ in connection.reject(.authFailed) }) { $0.end() }
        let client = try SluiceClient(try options(server, connections: 2))
        let began = ContinuousClock.now
        for _ in 0..<3 {
            let found = await failure { () async throws(ClientFailure) in try await client.answer(ask()) }
            #expect(found?.code == .authFailed && found?.retry == .never && found?.scope == .connection)
            #expect(found?.description == "AUTH_FAILED: the API key was refused")
        }
        #expect(ContinuousClock.now - began < .seconds(15), "nobody waits for the deadline of 20 s")
        await client.close()
    }

    @Test func aKeyThatIsTakenLaterIsUsed() async throws {
        let gate = Gate()
        let server = try ScriptedServer(
            onHello: { connection, _ in gate.isOpen ? connection.accept() : connection.reject(.authFailed) },
            onRequest: { $0.end() })
        let client = try SluiceClient(try options(server))
        #expect(await failure { () async throws(ClientFailure) in try await client.answer(ask()) }?.code == .authFailed)
        gate.open()
        try await client.ready(1)
        _ = try await client.answer(ask())
        await client.close()
    }

    @Test func aCertificateOfAnotherAuthorityIsNotTalkedTo() async throws {
        let server = try ScriptedServer { $0.end() }
        let client = try SluiceClient(
            try options(server) {
                $0.tls = (try? TestAuthority.shared.client(trusting: "other")) ?? $0.tls
                $0.patience = .milliseconds(300)
            })
        let found = await failure { () async throws(ClientFailure) in try await client.answer(ask()) }
        guard case .unreachable(let reason)? = found else {
            throw TestFailure("\(String(describing: found))")
        }
        #expect(reason.contains("certificate"), "\(reason)")
        #expect(found?.retry == .safeElsewhere)
        #expect(server.seen.hellos.isEmpty, "the key stayed here")
        await client.close()
    }

    @Test func aServerThatNeverAnswersTheGreetingIsUnreachable() async throws {
        let server = try ScriptedServer(onHello: { _, _ in }, onRequest: { $0.end() })
        let client = try SluiceClient(try options(server) { $0.patience = .milliseconds(300) })
        let began = ContinuousClock.now
        let found = await failure { () async throws(ClientFailure) in try await client.answer(ask()) }
        guard case .unreachable? = found else { throw TestFailure("\(String(describing: found))") }
        #expect(ContinuousClock.now - began < .seconds(15), "nobody waits for the deadline of 20 s")
        await client.close()
    }

    @Test func nobodyListensAndTheReasonIsTold() async throws {
        let client = try SluiceClient(try options(port: try closedPort()) { $0.patience = .milliseconds(200) })
        let found = await failure { () async throws(ClientFailure) in try await client.answer(ask()) }
        guard case .unreachable(let reason)? = found else {
            throw TestFailure("\(String(describing: found))")
        }
        #expect(reason.lowercased().contains("refused"), "\(reason)")
        await client.close()
    }

    /// A port on which nobody listens any more.
    private func closedPort() throws -> UInt16 {
        let server = try ScriptedServer { $0.end() }
        return server.port
    }

    @Test func connectionsComeBackWithPausesThatGrow() async throws {
        let server = try ScriptedServer(onHello: { connection, _ in connection.reject(.calm) }, onRequest: { $0.end() })
        let client = try SluiceClient(try options(server))
        try await Task.sleep(for: .seconds(2))
        // Pauses below 100, 200, 400, 800 and 1,600 ms: a server that always refuses is not hammered.
        #expect((1...40).contains(server.seen.hellos.count), "\(server.seen.hellos.count) attempts in two seconds")
        await client.close()
    }

    // MARK: - GOAWAY

    @Test func aNodeThatGoesAwayLosesNothing() async throws {
        let server = try ScriptedServer { request in
            request.accepted()
            request.text("first")
            if request.head.feature == "long" {
                request.connection.channel.lane.schedule(after: .milliseconds(300)) {
                    request.text(", last")
                    request.end()
                }
            } else {
                request.end()
            }
        }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        await withTaskGroup(of: String.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    var request = ask()
                    request.feature = "long"
                    return await outcome(client, request)
                }
            }
            try? await server.wait("all are there") { $0.requests.count == 100 }
            server.onLive { $0.first?.goAway() }
            // Asked all through the change of connections.
            for _ in 0..<200 {
                group.addTask { await outcome(client, ask()) }
                try? await Task.sleep(for: .microseconds(200))
            }
            let outcomes = await group.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
            #expect(outcomes == ["first, last": 100, "first": 200])
        }
        let seen = server.seen
        #expect(Set(seen.connections) == [1, 2], "the second connection took over")
        #expect(Set(seen.requests.map(\.idempotencyKey)).count == 300, "nothing ran twice")
        try await server.wait("the old connection is left") { $0.closed == 1 }
        await client.close()
    }

    @Test func theNewConnectionIsReadyBeforeTheOldOneIsLeft() async throws {
        let gate = Gate()
        let mayGreet = Gate()
        let server = try ScriptedServer(
            onHello: { connection, _ in
                // The second greeting is answered when the test says so.
                func greet() {
                    if connection.number == 1 || mayGreet.isOpen { return connection.accept() }
                    connection.channel.lane.schedule(after: .milliseconds(5)) { greet() }
                }
                greet()
            },
            onRequest: { request in
                request.accepted()
                if gate.isOpen { return request.end() }
            })
        let client = try SluiceClient(try options(server))
        let held = try await client.chat(ask())
        server.onLive { $0.first?.goAway() }
        try await server.wait("the second greeting") { $0.hellos.count == 2 }
        #expect(server.seen.goAways == 0, "the client says goodbye to the old one later")
        mayGreet.open()
        try await server.wait("the client left the old one") { $0.goAways == 1 }
        #expect(await client.readyConnections() == 1, "and the new one is ready by then")
        gate.open()
        _ = try await client.answer(ask())
        #expect(server.seen.connections == [1, 2])
        withExtendedLifetime(held) {}
        await client.close()
    }

    @Test func serversThatDrainOneAfterAnotherAreFollowedAtOnce() async throws {
        let server = try ScriptedServer(
            onHello: { connection, _ in
                connection.accept()
                connection.channel.lane.schedule(after: .milliseconds(350)) { connection.goAway() }
            }, onRequest: { $0.end() })
        let client = try SluiceClient(try options(server))
        let began = ContinuousClock.now
        try await server.wait("a dozen connections", seconds: 30) { $0.hellos.count == 12 }
        #expect(ContinuousClock.now - began < .seconds(12), "pauses that grow would have taken 25 s")
        await client.close()
    }

    @Test func aServerThatAlwaysGoesAwayIsNotHammered() async throws {
        let server = try ScriptedServer(
            onHello: { connection, _ in
                connection.accept()
                connection.goAway()
            }, onRequest: { $0.end() })
        let client = try SluiceClient(try options(server))
        try await Task.sleep(for: .seconds(1))
        #expect((1...30).contains(server.seen.hellos.count), "\(server.seen.hellos.count) connections in a second")
        await client.close()
    }

    // MARK: - Cuts

    @Test func aCutInTheMiddleOfAnAnswerIsToldAsMayHaveRun() async throws {
        let server = try ScriptedServer { request in
            request.accepted()
            request.text("half")
            request.connection.channel.lane.schedule(after: .milliseconds(20)) { request.cut() }
        }
        let client = try SluiceClient(try options(server))
        let found = await events(try await client.chat(ask()))
        #expect(found.events == [.accepted(Accepted(provider: 1)), .text("half", choice: 0)])
        guard case .connectionLost? = found.failure else { throw TestFailure("\(found)") }
        #expect(found.failure?.retry == .unsafe && found.failure?.code == .connectionLost)
        #expect(found.failure?.scope == .connection)
        #expect(server.seen.requests.count == 1, "what was accepted is never asked again")
        await client.close()
    }

    @Test func aCutBeforeAcceptedIsAskedElsewhereWithTheSameKey() async throws {
        let gate = Gate()
        let server = try ScriptedServer { request in
            if gate.isOpen {
                request.text("here")
                return request.end()
            }
            gate.open()
            request.cut()
        }
        let client = try SluiceClient(try options(server, connections: 2))
        try await client.ready(2)
        #expect(try await client.answer(ask()).text == "here")
        let seen = server.seen
        #expect(seen.requests.count == 2 && Set(seen.requests.map(\.idempotencyKey)).count == 1)
        #expect(Set(seen.connections).count == 2, "on another connection")
        #expect(seen.requests[1].timeoutMilliseconds <= seen.requests[0].timeoutMilliseconds, "one deadline for both")
        await client.close()
    }

    @Test func aLostAttemptThatDidRunIsToldAsLost() async throws {
        let gate = Gate()
        let server = try ScriptedServer { request in
            if gate.isOpen { return request.fail(StreamError(code: .duplicate)) }
            gate.open()
            request.cut()
        }
        let client = try SluiceClient(try options(server))
        let found = await failure { () async throws(ClientFailure) in try await client.answer(ask()) }
        guard case .connectionLost? = found else { throw TestFailure("\(String(describing: found))") }
        await client.close()
    }

    @Test func bytesThatAreNoProtocolEndTheConnectionNotTheClient() async throws {
        let gate = Gate()
        let server = try ScriptedServer { request in
            if gate.isOpen {
                request.text("well")
                return request.end()
            }
            gate.open()
            request.accepted()
            request.text("half")
            request.connection.channel.lane.schedule(after: .milliseconds(20)) {
                request.connection.inject([0, 0, 0x7F, 0, 0, 0, 0, 0])
            }
        }
        let client = try SluiceClient(try options(server))
        let found = await events(try await client.chat(ask()))
        guard case .connectionLost(let reason)? = found.failure else { throw TestFailure("\(found)") }
        #expect(reason.contains("UNKNOWN_FRAME"), "\(reason)")
        #expect(try await client.answer(ask()).text == "well")
        try await server.wait("the server was told") { $0.failures.first?.code == .unknownFrame }
        await client.close()
    }

    /// Every golden mistake that a server can make on an open stream.
    static let mistakes: [(name: String, hex: String)] = {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("WireTests/Vectors/errors.txt")
        let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
        return text.components(separatedBy: "\n\n").compactMap { block in
            let entries = Dictionary(
                block.split(separator: "\n").compactMap { line in
                    line.firstIndex(of: ":").map { (String(line[..<$0]), String(line[$0...].dropFirst(2))) }
                }, uniquingKeysWith: { first, _ in first })
            guard entries["to"] == "client", entries["state"] == "request" else { return nil }
            return (entries["name"] ?? "", entries["hex"] ?? "")
        }
    }()

    @Test func everyGoldenMistakeOfAServerGivesOneOutcome() async throws {
        #expect(ConnectionTests.mistakes.count >= 10)
        let bad = Bytes()
        let server = try ScriptedServer { $0.connection.inject(bad.value) }
        for (name, hex) in ConnectionTests.mistakes {
            bad.value = FrameDump.bytes(hex: hex).bytes ?? []
            // Vectors speak of stream 1, so each one needs a connection of its own.
            let client = try SluiceClient(try options(server) { $0.attempts = 1 })
            let found = await failure { () async throws(ClientFailure) in
                try await client.answer(ask(deadline: .seconds(3)))
            }
            if !name.hasSuffix("behind-end"), !name.hasSuffix("twice") {
                #expect(found?.code == .connectionLost, "\(name): \(String(describing: found))")
            }
            await client.close()
        }
    }
}

func outcome(_ client: SluiceClient, _ request: ChatRequest) async -> String {
    do throws(ClientFailure) {
        return try await client.answer(request).text
    } catch {
        return "\(error)"
    }
}

/// A switch that a test turns once, read on any thread.
final class Gate: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false
    var isOpen: Bool { lock.withLock { value } }
    func open() { lock.withLock { value = true } }
}

/// Bytes that a test changes, read on any thread.
final class Bytes: @unchecked Sendable {
    private let lock = NSLock()
    private var bytes: [UInt8] = []
    var value: [UInt8] {
        get { lock.withLock { bytes } }
        set { lock.withLock { bytes = newValue } }
    }
}
