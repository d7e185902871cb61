// An answer as the caller sees it: events in order, whole characters, one end.
import Client
import Core
import Foundation
import Net
import TestSupport
import Testing
import Wire

@Suite struct AnswerTests {
    @Test func everythingOfAnAnswerComesInOrderAndOnce() async throws {
        let server = try ScriptedServer { request in
            request.accepted()
            request.text("because ", kind: .reasoning)
            request.text("It is ")
            request.event(.toolCallStart(choice: 0, index: 0, id: "call_1", name: "sum"))
            request.text("{\"a\":", kind: .toolArguments)
            request.event(.toolCallStart(choice: 0, index: 1, id: "call_2", name: "mul"))
            request.text("{}", kind: .toolArguments)
            request.event(.toolCallResume(choice: 0, index: 0))
            request.text("1}", kind: .toolArguments)
            request.event(.citation(choice: 0, json: Array("{}".utf8)))
            request.event(.usage(inputTokens: 1, outputTokens: 2, cachedTokens: 0))
            request.text("blue.")
            request.end(End(finish: .toolCalls, inputTokens: 11, outputTokens: 22, costMicroUSD: 33))
        }
        let client = try SluiceClient(try options(server))
        let found = await events(try await client.chat(ask()))
        #expect(found.failure == nil)
        #expect(
            found.events == [
                .accepted(Accepted(provider: 1)), .reasoning("because ", choice: 0), .text("It is ", choice: 0),
                .toolCallStart(id: "call_1", name: "sum", index: 0, choice: 0),
                .toolCallArguments("{\"a\":", index: 0, choice: 0),
                .toolCallStart(id: "call_2", name: "mul", index: 1, choice: 0),
                .toolCallArguments("{}", index: 1, choice: 0), .toolCallArguments("1}", index: 0, choice: 0),
                .citation(Array("{}".utf8), choice: 0), .usage(inputTokens: 1, outputTokens: 2, cachedTokens: 0),
                .text("blue.", choice: 0),
                .end(End(finish: .toolCalls, inputTokens: 11, outputTokens: 22, costMicroUSD: 33)),
            ])
        let answer = try await client.answer(ask())
        #expect(answer.text == "It is blue.")
        #expect(answer.choices[0].reasoning == "because ")
        #expect(answer.toolCalls.map(\.arguments) == ["{\"a\":1}", "{}"])
        #expect(answer.toolCalls.map(\.name) == ["sum", "mul"])
        #expect(answer.end.costMicroUSD == 33)
        await client.close()
    }

    @Test func charactersAreWholeWhereverTheFramesEnd() async throws {
        let text = "aé€😀z"
        let server = try ScriptedServer { request in
            // Another kind in between ends each frame behind one byte.
            for byte in Array(text.utf8) {
                request.bytes([byte])
                request.event(.usage(inputTokens: 0, outputTokens: 0, cachedTokens: 0))
            }
            request.end()
        }
        let client = try SluiceClient(try options(server))
        let found = await events(try await client.chat(ask()))
        let texts = found.events.compactMap { if case .text(let text, 0) = $0 { text } else { nil } }
        #expect(texts == ["a", "é", "€", "😀", "z"])
        await client.close()
    }

    @Test func aRestartVoidsWhatWasSaidOnItsChoice() async throws {
        let server = try ScriptedServer { request in
            request.text("wrong", choice: 0)
            request.text("kept", choice: 1)
            request.event(.restart(choice: 0, attempt: 2))
            request.text("right", choice: 0)
            request.event(.choiceEnd(choice: 1, finish: .length))
            request.end()
        }
        let client = try SluiceClient(try options(server))
        let answer = try await client.answer(ask())
        #expect(answer.choices.map(\.text) == ["right", "kept"])
        #expect(answer.choices.map(\.finish) == [nil, .length])
        await client.close()
    }

    @Test func theRequestArrivesAsItWasWritten() async throws {
        let server = try ScriptedServer { $0.end() }
        let client = try SluiceClient(try options(server))
        var request = ChatRequest(model: "fast") { $0.message(.user, String(repeating: "long ", count: 60_000)) }
        request.deadline = .seconds(30)
        request.firstOutputTime = .seconds(4)
        request.priority = .batch
        request.feature = "search"
        request.maxOutputTokens = 77
        request.isStreaming = false
        request.cancelPolicy = .drain
        request.idempotencyKey = Identifier128(high: 1, low: 2)
        request.traceID = Identifier128(high: 3, low: 4)
        request.spanID = 5
        _ = try await client.answer(request)
        let head = try #require(server.seen.requests.first)
        #expect(head.model == "fast" && head.feature == "search" && head.priority == .batch)
        #expect(head.idempotencyKey == Identifier128(high: 1, low: 2))
        #expect(head.traceID == Identifier128(high: 3, low: 4) && head.spanID == 5)
        #expect(head.maxOutputTokens == 77 && head.flags == [] && head.timeToFirstTokenMilliseconds == 4_000)
        #expect(head.cancelPolicy == .drain)
        #expect((25_000...30_000).contains(head.timeoutMilliseconds))
        #expect(Int(head.bodyLength) == request.body.count && request.body.count > 300_000)
        await client.close()
    }

    @Test(arguments: [
        ("model", ""), ("model", String(repeating: "m", count: 129)), ("feature", String(repeating: "f", count: 65)),
        ("deadline", "0"), ("deadline", "601"),
    ])
    func aRequestThatCannotTravelIsRefusedWithItsField(_ field: String, _ value: String) async throws {
        let server = try ScriptedServer { $0.end() }
        let client = try SluiceClient(try options(server))
        var request = ask()
        switch field {
        case "model": request.model = value
        case "feature": request.feature = value
        default: request.deadline = .seconds(Int(value) ?? 0)
        }
        guard
            case .refused(let error)? = await failure({ () async throws(ClientFailure) in
                try await client.answer(request)
            })
        else { throw TestFailure("it was sent") }
        #expect(error.code == .invalidRequest && error.field == field)
        #expect(server.seen.requests.isEmpty)
        await client.close()
    }

    @Test func anErrorTellsCodeClassTimeScopeAndLimit() async throws {
        let limit = StreamError.BindingLimit(scope: "team acme/search", unit: "requests", amount: 10, remaining: 0)
        let server = try ScriptedServer { request in
            request.fail(StreamError(code: .quotaRequests, retryAfterMilliseconds: 61_000, limit: limit))
        }
        let client = try SluiceClient(try options(server))
        let found = await failure { () async throws(ClientFailure) in try await client.chat(ask()) }
        #expect(found?.code == .quotaRequests && found?.retry == .safeHere && found?.scope == .stream)
        #expect(found?.retryAfter == .milliseconds(61_000) && found?.limit == limit)
        #expect(
            found?.description
                == "QUOTA_RPM (team acme/search limit of 10 requests), try again in 61000 ms")
        #expect(server.seen.requests.count == 1, "a pause of a minute is the caller's to make")
        await client.close()
    }

    @Test func aFailureBehindTheFirstEventEndsTheSequenceAndIsNotRepeated() async throws {
        let server = try ScriptedServer { request in
            request.accepted()
            request.text("half")
            request.fail(StreamError(code: .overloaded))
        }
        let client = try SluiceClient(try options(server))
        let found = await events(try await client.chat(ask()))
        #expect(found.events.prefix(1) == [.accepted(Accepted(provider: 1))])
        #expect(found.failure?.code == .overloaded)
        #expect(server.seen.requests.count == 1)
        await client.close()
    }

    @Test func oneThousandStreamsAtOnceOverFourConnectionsAllEnd() async throws {
        let server = try ScriptedServer { request in
            request.accepted()
            request.text("number \(request.head.feature)")
            request.connection.channel.lane.schedule(after: .milliseconds(200)) {
                request.text(", done")
                request.end()
            }
        }
        let client = try SluiceClient(try options(server, connections: 4))
        try await client.ready(4)
        let texts = await withTaskGroup(of: String.self) { group in
            for number in 0..<1_000 {
                group.addTask {
                    var request = ask()
                    request.feature = "\(number)"
                    return (try? await client.answer(request).text) ?? "failed"
                }
            }
            return await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(texts == Set((0..<1_000).map { "number \($0), done" }))
        #expect(Set(server.seen.connections) == [1, 2, 3, 4], "all connections carry a share")
        #expect(Set(server.seen.requests.map(\.idempotencyKey)).count == 1_000)
        #expect(Set(server.seen.hellos.map(\.instance)).count == 1, "one program, one instance")
        await client.close()
    }

    @Test func anEndThatCrossesTheDeadlinesCancelIsNoWholeAnswer() async throws {
        let server = try ScriptedServer(answersCancel: false) { $0.text("the first half") }
        let client = try SluiceClient(try options(server))
        let stream = try await client.chat(ask(deadline: .milliseconds(300)))
        let (_, failure) = await events(stream)
        guard case .refused(let error)? = failure else {
            throw TestFailure("\(String(describing: failure))")
        }
        #expect(error.code == .deadline && error.retry == .unsafe && error.outputTokens == 9)
        await client.close()
    }
}
