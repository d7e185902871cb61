// What is bounded: time, waiting, memory, repetitions; and that each request ends once.
import Client
import Core
import Foundation
import Net
import Synchronization
import TestSupport
import Testing
import Wire

@Suite struct BoundTests {
    // MARK: - Cancelling and deadlines

    @Test func aCancelledTaskEndsAtOnceAndCancelIsOnTheWire() async throws {
        let server = try ScriptedServer { request in
            request.accepted()
            request.text("one")
        }
        let client = try SluiceClient(try options(server))
        let first = Gate()
        let task = Task { () -> ClientFailure? in
            do throws(ClientFailure) {
                var iterator = try await client.chat(ask()).makeAsyncIterator()
                while let event = try await iterator.next() { if event == .text("one", choice: 0) { first.open() } }
                return nil
            } catch {
                return error
            }
        }
        while !first.isOpen { try await Task.sleep(for: .milliseconds(2)) }
        let began = ContinuousClock.now
        task.cancel()
        #expect(await task.value == .cancelled)
        try await server.wait("CANCEL") { $0.cancels == [.unwanted] }
        #expect(ContinuousClock.now - began < .seconds(8), "long before the deadline of 20 s")
        await client.close()
    }

    @Test func aTaskThatIsCancelledBeforeTheFirstEventEndsToo() async throws {
        let server = try ScriptedServer { _ in }
        let client = try SluiceClient(try options(server))
        let task = Task { await failure { () async throws(ClientFailure) in try await client.chat(ask()) } }
        try await server.wait("the request") { $0.requests.count == 1 }
        task.cancel()
        #expect(await task.value == .cancelled)
        try await server.wait("CANCEL") { $0.cancels == [.unwanted] }
        await client.close()
    }

    @Test func leavingTheLoopCancels() async throws {
        let server = try ScriptedServer { request in
            request.text("one")
        }
        let client = try SluiceClient(try options(server))
        for try await _ in try await client.chat(ask()) { break }
        try await server.wait("CANCEL") { $0.cancels == [.unwanted] }
        await client.close()
    }

    @Test func askingToCancelTellsWhatWasUsed() async throws {
        let server = try ScriptedServer { request in
            request.text("one")
        }
        let client = try SluiceClient(try options(server))
        let stream = try await client.chat(ask())
        stream.cancel()
        guard case .refused(let error)? = await events(stream).failure else {
            throw TestFailure("no word")
        }
        #expect(error.code == .cancelled && error.inputTokens == 7)
        await client.close()
    }

    @Test func aServerThatNeverAnswersMeetsTheDeadline() async throws {
        let server = try ScriptedServer(onRequest: { _ in })
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        let began = ContinuousClock.now
        let found = await failure { () async throws(ClientFailure) in
            try await client.answer(ask(deadline: .milliseconds(200)))
        }
        #expect(found?.code == .deadline, "\(String(describing: found))")
        #expect((Duration.milliseconds(190)...Duration.seconds(10)).contains(ContinuousClock.now - began))
        try await server.wait("CANCEL") { $0.cancels == [.deadline] }
        await client.close()
    }

    @Test func aServerThatDoesNotEvenAnswerCancelMeetsTheDeadline() async throws {
        // Nothing is read any more, so nothing can be answered.
        let server = try ScriptedServer { $0.connection.channel.pauseReading() }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        let found = await failure { () async throws(ClientFailure) in
            try await client.answer(ask(deadline: .milliseconds(200)))
        }
        #expect(found == .deadline(wasSent: true) && found?.retry == .unsafe)
        await client.close()
    }

    // MARK: - Back-pressure

    @Test func aSlowReaderHoldsBackTheServer() async throws {
        let sent = Atomic<Int>(0)
        let server = try ScriptedServer { request in
            let piece = [UInt8](repeating: 0x61, count: 1_000)
            @Sendable func go(_ request: ServedRequest) {
                while sent.load(ordering: .relaxed) < 4_000_000 {
                    sent.add(1_000, ordering: .relaxed)
                    if !request.bytes(piece) { return }
                }
                request.end()
            }
            request.connection.onWritable = { _ in go(request) }
            go(request)
        }
        let client = try SluiceClient(try options(server))
        let stream = try await client.chat(ask())
        let ahead = try await atRest("the sender waits") { sent.load(ordering: .relaxed) }
        // The window of 64 KiB, and what the server keeps for itself before it stops producing.
        #expect(ahead <= 64 * 1024 + 16 * 1024 + 4_096, "\(ahead) bytes while nobody read")
        var read = 0
        for try await event in stream { if case .text(let text, _) = event { read += text.utf8.count } }
        #expect(read == 4_000_000, "all of it came once somebody read")
        await client.close()
    }

    @Test func eventsWithoutEndForAReaderThatDoesNotReadEndTheStream() async throws {
        let server = try ScriptedServer { request in
            for _ in 0..<600 { request.event(.citation(choice: 0, json: [UInt8](repeating: 0x20, count: 4_000))) }
        }
        let client = try SluiceClient(try options(server))
        let stream = try await client.chat(ask())
        try await server.wait("CANCEL") { !$0.cancels.isEmpty }
        #expect(await events(stream).failure?.code == .slowConsumer)
        await client.close()
    }

    // MARK: - Waiting

    @Test func requestsBeyondTheStreamCreditWaitAndAreBounded() async throws {
        var limits = WireLimits()
        limits.openStreams = 4
        let held = Held()
        let server = try ScriptedServer(limits: limits) { held.add($0) }
        let client = try SluiceClient(try options(server) { $0.waiting = 8 })
        try await client.ready(1)
        let results = await withTaskGroup(of: String.self) { group in
            for _ in 0..<20 { group.addTask { await outcome(client, ask()) } }
            try? await server.wait("credit is used up") { $0.requests.count == 4 }
            try? await Task.sleep(for: .milliseconds(100))
            #expect(server.seen.requests.count == 4, "no more than the credit is sent")
            server.onLive { _ in held.endAll() }
            return await group.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
        }
        #expect(results == ["": 12, "\(ClientFailure.full)": 8])
        await client.close()
    }

    @Test func whatWaitsIsBoundedInBytesToo() async throws {
        let server = try ScriptedServer(onHello: { _, _ in }, onRequest: { $0.end() })
        let client = try SluiceClient(
            try options(server) {
                $0.waitingBytes = 10_000
                $0.patience = .milliseconds(300)
            })
        let big = ask(String(repeating: "x", count: 6_000))
        async let first = outcome(client, big)
        async let second = outcome(client, big)
        let both = await [first, second]
        #expect(both.filter { $0 == "\(ClientFailure.full)" }.count == 1)
        #expect(both.filter { $0.hasPrefix("the cluster cannot be reached") }.count == 1)
        await client.close()
    }

    @Test func cancelledRequestsGiveTheirPlacesToOthers() async throws {
        let server = try ScriptedServer(onHello: { _, _ in }, onRequest: { $0.end() })
        let client = try SluiceClient(
            try options(server) {
                $0.waiting = 100
                $0.patience = .seconds(60)
            })
        for _ in 0..<5 {
            let tasks = (0..<100).map { _ in Task { await outcome(client, ask()) } }
            // A place is taken or refused on the lane; a later question is answered behind all of them.
            for _ in 0..<3 { _ = await client.readyConnections() }
            for task in tasks { task.cancel() }
            for task in tasks { #expect(await task.value == "\(ClientFailure.cancelled)") }
        }
        await client.close()
    }

    @Test func aBodyBeyondTheServersLimitIsRefusedHere() async throws {
        let server = try ScriptedServer { $0.end() }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        let big = ask(String(repeating: "x", count: 1 << 20))
        let found = await failure { () async throws(ClientFailure) in try await client.answer(big) }
        #expect(found?.code == .tooLarge && found?.retry == .never)
        #expect(server.seen.requests.isEmpty)
        await client.close()
    }

    @Test func aNodeThatEndsNothingIsReplaced() async throws {
        let answers = Gate()
        let server = try ScriptedServer { request in
            if answers.isOpen { return request.end() }
            request.connection.channel.pauseReading()
        }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<70 {
                group.addTask { _ = await outcome(client, ask(deadline: .milliseconds(100))) }
            }
        }
        try await server.wait("another connection") { $0.hellos.count == 2 }
        answers.open()
        _ = try await client.answer(ask())
        #expect(server.seen.connections.last == 2)
        await client.close()
    }

    @Test func closingEndsWhatWaitsAndWhatRunsAndWhatComesLater() async throws {
        let server = try ScriptedServer { $0.accepted() }
        let client = try SluiceClient(try options(server))
        let running = try await client.chat(ask())
        await client.close()
        guard case .connectionLost? = await events(running).failure else { throw TestFailure("not lost") }
        #expect(await failure { () async throws(ClientFailure) in try await client.chat(ask()) } == .closed)
        try await server.wait("the connection is gone") { $0.closed == 1 }
    }

    // MARK: - Repetitions

    @Test func onlyTheRetryClassDecidesAboutARepetition() async throws {
        for code in ErrorCode.allCases where code.scope == .stream && code != .unrecognized {
            let server = try ScriptedServer { $0.fail(StreamError(code: code)) }
            let client = try SluiceClient(try options(server, connections: 2) { $0.attempts = 2 })
            try await client.ready(2)
            let found = await failure { () async throws(ClientFailure) in try await client.answer(ask()) }
            #expect(found?.code == code)
            let isSafe = code.retryClass == .safeHere || code.retryClass == .safeElsewhere
            let seen = server.seen
            // A node that goes away hands back without end; the moves are bounded.
            let wanted = code == .draining ? 8 + 2 : isSafe ? 2 : 1
            #expect(seen.requests.count == wanted, "\(code)")
            #expect(Set(seen.requests.map(\.idempotencyKey)).count == 1, "\(code)")
            if code.retryClass == .safeElsewhere { #expect(Set(seen.connections).count == 2, "\(code)") }
            await client.close()
        }
    }

    @Test func aTimeToRetryIsWaitedFor() async throws {
        let gate = Gate()
        let server = try ScriptedServer { request in
            if gate.isOpen { return request.end() }
            gate.open()
            request.fail(StreamError(code: .quotaRequests, retryAfterMilliseconds: 300))
        }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        let began = ContinuousClock.now
        _ = try await client.answer(ask())
        #expect(ContinuousClock.now - began >= .milliseconds(295))
        await client.close()
    }

    @Test func repetitionsStayWithinTheBudgetOfTheClient() async throws {
        let server = try ScriptedServer { $0.fail(StreamError(code: .overloaded)) }
        let client = try SluiceClient(
            try options(server) { $0.retryBudget = RetryBudget(thousandthsPerRequest: 100, perSecond: 0, limit: 5) })
        try await client.ready(1)
        for _ in 0..<100 { _ = await outcome(client, ask()) }
        // Five in store and a tenth of a hundred.
        #expect((110...115).contains(server.seen.requests.count), "\(server.seen.requests.count)")
        await client.close()
    }

    @Test func aRepetitionNeverGoesBeyondTheDeadline() async throws {
        let server = try ScriptedServer { $0.fail(StreamError(code: .quotaRequests, retryAfterMilliseconds: 1_500)) }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        let found = await failure { () async throws(ClientFailure) in
            try await client.answer(ask(deadline: .seconds(1)))
        }
        // Not DEADLINE: a pause that cannot help is not made.
        #expect(found?.code == .quotaRequests)
        await client.close()
    }
}

/// Requests that a test answers later. Touched on the server's lane.
final class Held: @unchecked Sendable {
    private var requests: [ServedRequest] = []
    private var answersAtOnce = false

    func add(_ request: ServedRequest) { answersAtOnce ? request.end() : requests.append(request) }

    func endAll() {
        answersAtOnce = true
        for request in requests { request.end() }
        requests = []
    }
}
