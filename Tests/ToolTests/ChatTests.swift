// `sluice chat` and `sluice bench` against a server whose answers the test writes, over TLS.
import Core
import Foundation
import Net
import TestSupport
import Testing
import Wire

@Suite struct ChatTests {
    /// Starts `sluice` with the server's address, its CA and a key.
    func start(_ server: ScriptedServer, _ words: [String], ca: String = "ca", input: String = "") throws -> RunningTool
    {
        let folder = try ToolFolder()
        try folder.write("key", "slk_k1_0123456789abcdef\n")
        let authority = try TestAuthority.shared.get().folder
        let environment = [
            "SLUICE_ADDRESS": "127.0.0.1:\(server.port)", "SLUICE_CA": "\(authority)/\(ca).pem",
            "SLUICE_KEY": "slk_k1_0123456789abcdef",
        ]
        return try RunningTool(words, in: folder.path, input: input, environment: environment)
    }

    @Test func anAnswerGoesToOutputAndItsCostBesideIt() async throws {
        let server = try ScriptedServer { request in
            request.accepted()
            // A character in two frames.
            request.bytes([0x62, 0x6C, 0xC3])
            request.event(.usage(inputTokens: 1, outputTokens: 1, cachedTokens: 0))
            request.bytes([0xBC])
            request.end(End(inputTokens: 3, outputTokens: 5, totalMilliseconds: 12, costMicroUSD: 1_500))
        }
        let run = try await start(server, ["chat", "why", "so", "blue?"]).end()
        #expect(run.status == 0)
        #expect(run.output == "blü\n")
        #expect(
            run.error.hasPrefix("stop: 3 tokens in, 5 out, $0.0015") && run.error.hasSuffix("12 ms in all\n"),
            "\(run.error)")
    }

    @Test func jsonHoldsTextToolsAndUsage() async throws {
        let server = try ScriptedServer { request in
            request.text("one moment")
            request.event(.toolCallStart(choice: 0, index: 0, id: "call_1", name: "sum"))
            request.text("{\"a\":1}", kind: .toolArguments)
            request.end(End(finish: .toolCalls, inputTokens: 3, outputTokens: 5))
        }
        let run = try await start(server, ["chat", "--json", "--no-stream"], input: "from standard input").end()
        #expect(run.status == 0 && run.error.isEmpty)
        let value = try JSONValue.parse(Array(run.output.utf8))
        #expect(value["text"]?.text == "one moment" && value["output_tokens"]?.integer == 5)
        #expect(value["tool_calls"]?.elements?.first?["arguments"]?.text == "{\"a\":1}")
        #expect(server.seen.requests.first?.flags == [], "--no-stream")
    }

    @Test func jsonKeepsChoicesReasoningAndRefusalApart() async throws {
        let server = try ScriptedServer { request in
            request.text("because", kind: .reasoning)
            request.text("yes")
            request.event(.toolCallStart(choice: 0, index: 0, id: "a", name: "f"))
            request.event(.toolCallStart(choice: 0, index: 1, id: "b", name: "g"))
            request.text("{}", kind: .toolArguments)
            request.event(.toolCallResume(choice: 0, index: 0))
            request.text("[]", kind: .toolArguments)
            request.text("no", choice: 2, kind: .refusal)
            request.event(.choiceEnd(choice: 2, finish: .contentFilter))
            request.end(
                End(finish: .toolCalls, outputTokens: 5, reasoningTokens: 0, cacheWriteTokens: 7, providerFinish: "eos")
            )
        }
        let run = try await start(server, ["chat", "--json", "hi"]).end()
        let value = try JSONValue.parse(Array(run.output.utf8))
        #expect(value["text"]?.text == "yes" && value["reasoning"]?.text == "because" && value["refusal"]?.text == "")
        #expect(value["finish_reason"]?.text == "tool_calls" && value["provider_finish"]?.text == "eos")
        #expect(value["tool_calls"]?.elements?.map { $0["arguments"]?.text ?? "" } == ["[]", "{}"])
        #expect(value["reasoning_tokens"]?.integer == 0 && value["cache_write_tokens"]?.integer == 7)
        let choices = value["choices"]?.elements ?? []
        #expect(choices.map { $0["index"]?.integer ?? -1 } == [0, 2])
        #expect(choices.last?["refusal"]?.text == "no" && choices.last?["finish_reason"]?.text == "content_filter")
    }

    @Test func jsonOfAFailureHasWhatCameAndWhatItCost() async throws {
        let server = try ScriptedServer { request in
            request.text("half")
            request.fail(
                StreamError(
                    code: .upstreamTruncated, flags: [.upstreamStarted, .billed], inputTokens: 3, outputTokens: 1,
                    costMicroUSD: 40, providerStatus: 200, text: "the answer ended without its end"))
        }
        let run = try await start(server, ["chat", "--json", "hi"]).end()
        #expect(run.status == 1 && run.error.hasPrefix("sluice: UPSTREAM_TRUNCATED"))
        let value = try JSONValue.parse(Array(run.output.utf8))
        #expect(value["text"]?.text == "half" && value["finish_reason"] == .null)
        #expect(value["output_tokens"]?.integer == 1 && value["cost_micro_usd"]?.integer == 40)
        #expect(value["error"]?["code"]?.text == "UPSTREAM_TRUNCATED" && value["error"]?["retry"]?.text == "unsafe")
        #expect(value["error"]?["provider_status"]?.integer == 200)
        let absent = try await start(server, ["chat", "--json", "--address", "127.0.0.1:1", "hi"]).end()
        #expect(absent.status == 69)
        #expect(try JSONValue.parse(Array(absent.output.utf8))["error"]?["retry"]?.text == "safeElsewhere")
    }

    struct Refusal: Sendable {
        let error: StreamError
        let status: Int32
        let says: String
        let hint: String
    }

    static let refusals = [
        Refusal(
            error: StreamError(code: .quotaRequests, retryAfterMilliseconds: 61_000), status: 75,
            says: "sluice: QUOTA_RPM, try again in 61000 ms\n", hint: "the limit stands in cluster.conf"),
        Refusal(
            error: StreamError(code: .forbidden, text: "this key may not name 'gpt'"), status: 77,
            says: "sluice: FORBIDDEN: this key may not name 'gpt'\n", hint: "sluice keys list"),
        Refusal(
            error: StreamError(code: .unknownModel, text: "no route 'gpt'", field: "model"), status: 1,
            says: "sluice: UNKNOWN_MODEL: no route 'gpt' (field model)\n", hint: "--model"),
        Refusal(
            error: StreamError(code: .upstreamFailed, providerStatus: 500), status: 1, says: "sluice: UPSTREAM_5XX\n",
            hint: "\n"),
    ]

    @Test(arguments: refusals.indices) func aRefusalHasItsExitCodeAndSaysWhatToDo(_ index: Int) async throws {
        let refusal = ChatTests.refusals[index]
        let server = try ScriptedServer { $0.fail(refusal.error) }
        let run = try await start(server, ["chat", "hi"]).end()
        #expect(run.status == refusal.status && run.output.isEmpty)
        #expect(run.error.hasPrefix(refusal.says) && run.error.contains(refusal.hint), "\(run.error)")
    }

    @Test func aRefusedKeyIsToldAtOnce() async throws {
        let server = try ScriptedServer(
            onHello: { connection, _ in connection.reject(.authFailed) }, onRequest: { _ in })
        for words in [["chat", "hi"], ["bench", "--requests", "10"]] {
            let run = try await start(server, words).end()
            #expect(run.status == 77 && run.output.isEmpty)
            #expect(
                run.error == "sluice: AUTH_FAILED: the API key was refused\n"
                    + "  make a key with: sluice keys create; name it with --key-file or SLUICE_KEY\n", "\(run.error)")
        }
    }

    @Test func aClusterThatIsNotThereIsToldWithinSeconds() async throws {
        var server: ScriptedServer? = try ScriptedServer { _ in }
        let there = try #require(server)
        for words in [["chat", "hi"], ["bench", "--requests", "10"]] {
            let run = try await start(there, words, ca: "other").end()
            #expect(run.status == 69)
            #expect(run.error.contains("certificate refused") && run.error.contains("--ca"), "\(run.error)")
        }
        let tool = try start(there, ["chat", "--address", "127.0.0.1:1", "hi"])
        server = nil
        let run = await tool.end()
        #expect(run.status == 69 && run.error.hasPrefix("sluice: the cluster cannot be reached: "))
        #expect(run.error.contains("refused") && run.error.contains("--address"), "\(run.error)")
    }

    @Test func interruptingCancelsTheRequest() async throws {
        let server = try ScriptedServer { request in
            request.accepted()
            request.text("and so on")
        }
        let tool = try start(server, ["chat", "tell me"])
        try await tool.wait(for: "and so on")
        tool.signal(SIGINT)
        let run = await tool.end()
        #expect(run.status == 130 && !run.wasKilled)
        #expect(run.error == "sluice: cancelled: 7 tokens in, 0 out, $0.00\n", "\(run.error)")
        try await server.wait("CANCEL") { $0.cancels == [.unwanted] }
    }

    @Test func interruptingEndsEvenWhenNobodyAnswers() async throws {
        let server = try ScriptedServer { $0.connection.channel.pauseReading() }
        let tool = try start(server, ["chat", "tell me"])
        try await server.wait("the request") { $0.requests.count == 1 }
        tool.signal(SIGTERM)
        let run = await tool.end()
        #expect(run.status == 143 && !run.wasKilled)
        #expect(run.error.contains("no word from the cluster"), "\(run.error)")
    }

    @Test func interruptingBeforeThereIsAConnectionEndsAtOnce() async throws {
        let server = try ScriptedServer(onHello: { _, _ in }, onRequest: { _ in })
        let tool = try start(server, ["chat", "tell me"])
        try await server.wait("the greeting") { $0.hellos.count == 1 }
        tool.signal(SIGINT)
        let run = await tool.end()
        #expect(run.status == 130 && run.error == "sluice: cancelled: nothing was sent\n", "\(run.error)")
    }

    @Test func aReaderThatGoesAwayEndsTheRequest() async throws {
        let server = try ScriptedServer { request in
            request.text("first")
            func more() {
                guard request.connection.channel.isOpen else { return }
                request.text("more")
                request.connection.channel.lane.schedule(after: .milliseconds(5)) { more() }
            }
            more()
        }
        let tool = try start(server, ["chat", "tell me"])
        try await tool.wait(for: "first")
        try tool.closeOutput()
        let run = await tool.end(readsOutput: false)
        #expect(run.status == 0 && !run.wasKilled && run.error.isEmpty, "\(run)")
        try await server.wait("the connection is closed") { $0.closed == 1 }
    }

    // MARK: - bench

    @Test func benchReportsWhatItMeasured() async throws {
        let server = try ScriptedServer { request in
            request.text("word")
            request.end(End(inputTokens: 3, outputTokens: 16))
        }
        let pid = "\(ProcessInfo.processInfo.processIdentifier)"
        let words = ["bench", "--requests", "400", "--warmup", "50", "--stream", "--concurrency", "16", "--pid", pid]
        let run = try await start(server, words + ["--json"]).end()
        #expect(run.status == 0, "\(run.error)")
        let value = try JSONValue.parse(Array(run.output.utf8))
        #expect(value["requests"]?.integer == 400 && value["errors"]?.integer == 0 && value["tokens"]?.integer == 6_400)
        func figure(_ name: String) -> Double {
            if case .number(let text)? = value[name] { Double(text) ?? -1 } else { -1 }
        }
        #expect(figure("latency_p50_us") > 0 && figure("latency_p50_us") <= figure("latency_p99_us"))
        #expect(figure("latency_p99_us") <= figure("latency_max_us"))
        #expect(figure("first_token_p50_us") <= figure("latency_max_us"))
        #expect(figure("requests_per_second") > 0 && figure("cpu_us_per_request_\(pid)") >= 0)
        #expect(figure("own_cpu_us_per_request") > 0)
        #expect(server.seen.requests.count == 450)
        let table = try await start(server, words).end()
        #expect(table.status == 0 && table.output.hasPrefix("FIGURE"))
        #expect(!(run.output + table.output).lowercased().contains("nan"))
    }

    @Test func benchCountsErrorsByTheirCode() async throws {
        let server = try ScriptedServer { request in
            request.stream % 4 == 0 ? request.fail(StreamError(code: .overloaded)) : request.end()
        }
        let run = try await start(
            server, ["bench", "--requests", "100", "--warmup", "0", "--connections", "1", "--json"]
        )
        .end()
        #expect(run.status == 1)
        let value = try JSONValue.parse(Array(run.output.utf8))
        #expect(value["errors"]?.integer == 25 && value["error_codes"]?["OVERLOADED"]?.integer == 25)
    }
}
