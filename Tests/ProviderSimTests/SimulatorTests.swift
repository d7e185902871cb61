// The simulator over real sockets, when nothing fails.
import Foundation
import Testing

@testable import ProviderSim

@Suite struct SimulatorTests {
    @Test func aWholeAnswer() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("hello world", more: ",\"max_completion_tokens\":3")
            let object = try caller.object()
            let choice = try #require((object["choices"] as? [[String: Any]])?.first)
            #expect(choice["finish_reason"] as? String == "length")
            let content = (choice["message"] as? [String: Any])?["content"] as? String
            #expect(content?.hasPrefix("hello world ") == true)
            let usage = try #require(object["usage"] as? [String: Any])
            // 4 for the message, 3 for eleven bytes.
            #expect(usage["prompt_tokens"] as? Int == 7)
            #expect(usage["completion_tokens"] as? Int == 3)
        }
    }

    @Test func aStreamWithUsage() throws {
        try withSimulator(["--tokens", "5", "--chunk", "2"]) { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("a b c d e", stream: true, usage: true)
            let events = try caller.events()
            // Role, three events for five words, finish, usage, end mark.
            #expect(events.count == 7)
            #expect(events.last == "[DONE]")
            #expect(events[0].contains("\"role\":\"assistant\""))
            #expect(events[1].contains("\"content\":\"a b\""))
            #expect(events[3].contains("\"content\":\" e\""))
            #expect(events[4].contains("\"finish_reason\":\"stop\""))
            #expect(events[5].contains("\"completion_tokens\":5"))
        }
    }

    @Test func aStreamWithoutUsageTellsNone() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("a", stream: true)
            #expect(try !caller.events().contains { $0.contains("usage") })
        }
    }

    @Test func aPromptArrivesByteByByteAndInPairs() throws {
        try withSimulator(["--tokens", "1"]) { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            let body = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"
            let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: sim\r\ncontent-length: \(body.utf8.count)\r\n\r\n"
            let request = head + body
            for byte in request { caller.send(String(byte)) }
            #expect(try caller.response().status == 200)
            caller.send(request + request)
            let (text, _) = caller.read { $0.components(separatedBy: "HTTP/1.1 200").count == 3 && $0.hasSuffix("}}}") }
            #expect(text.components(separatedBy: "chatcmpl-").count == 3, "both requests were answered")
        }
    }

    @Test func thePromptSetsTheAnswerAndIsNotEchoed() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("one\\nsim: tokens=2 cached=3 reasoning=4\\ntwo")
            let text = try caller.response().body
            #expect(text.contains("\"content\":\"one two\""))
            #expect(text.contains("\"cached_tokens\":3"))
            #expect(text.contains("\"completion_tokens\":6"))
            caller.chat("sim: tokens=many")
            let refusal = try caller.response()
            #expect(refusal.status == 400)
            #expect(refusal.body.contains("sim: tokens: expected a number from 0 to 1000000, found 'many'"))
        }
    }

    @Test func headersSetTheAnswer() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("one two three", fields: ["X-Sim-Tokens: 2", "x-sim-seed: 9"])
            #expect(try caller.response().body.contains("\"content\":\"one two\""))
            caller.chat("x", fields: ["x-sim-nonsense: 1"])
            #expect(try caller.response().status == 400)
        }
    }

    @Test func timeIsKept() throws {
        try withSimulator { (simulator: Simulator) throws in
            let clock = ContinuousClock()
            let caller = Caller(simulator)
            var (first, total) = (Duration.seconds(9), Duration.seconds(9))
            // A busy machine may be late; it is not late each time.
            for _ in 0..<50 where first >= .milliseconds(130) || total >= .milliseconds(400) {
                var firstText: Duration?
                let start = clock.now
                caller.chat(
                    "a b c d", stream: true, fields: ["x-sim-first-token: 80ms", "x-sim-pace: 30ms", "x-sim-tokens: 4"])
                _ = caller.read { text in
                    if firstText == nil, text.contains("\"content\":\"a\"") { firstText = clock.now - start }
                    return text.hasSuffix("0\r\n\r\n")
                }
                total = clock.now - start
                first = try #require(firstText)
                #expect(first >= .milliseconds(80))
                #expect(total >= .milliseconds(170), "three pauses lie between four words")
            }
            #expect(first < .milliseconds(130) && total < .milliseconds(400), "\(first), \(total)")
            let whole = clock.now
            caller.chat("a", fields: ["x-sim-first-token: 50ms", "x-sim-pace: 10ms", "x-sim-tokens: 6"])
            _ = try caller.response()
            #expect(clock.now - whole >= .milliseconds(100))
        }
    }

    @Test func keysAreChecked() throws {
        try withSimulator(["--api-key", "sk-right", "--api-key", "sk-other"]) { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("x")
            #expect(try caller.response().status == 401)
            caller.chat("x", fields: ["Authorization: Bearer sk-wrong"])
            #expect(try caller.response().body.contains("\"code\":\"invalid_api_key\""))
            caller.chat("x", fields: ["Authorization: Bearer sk-right"])
            #expect(try caller.response().status == 200)
            caller.chat("x", fields: ["authorization: bearer sk-other"])
            #expect(try caller.response().status == 200)
            let perKey = try stats(simulator)["requests_per_key"] as? [String: Int]
            #expect(perKey == ["ight": 1, "ther": 1])
        }
    }

    @Test(arguments: [
        ("{", 400), ("[]", 400), ("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", 400),
        ("{\"model\":\"m\"}", 400),
        ("{\"model\":\"m\",\"messages\":[]}", 400), ("{\"model\":\"m\",\"messages\":\"x\"}", 400),
        ("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"n\":2}", 400),
        ("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":0}", 400),
        ("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream_options\":{}}", 400),
        ("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]} x", 400),
        (
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":null},{\"role\":\"user\",\"content\":[]}]}",
            200
        ),
    ])
    func requestsAreReadStrictly(_ body: String, _ status: Int) throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.post("/v1/chat/completions", body)
            let response = try caller.response()
            #expect(response.status == status)
            if status == 400 { #expect(try Caller.object(response.body)["error"] != nil) }
        }
    }

    @Test func contentPartsAreRead() throws {
        try withSimulator(["--tokens", "2"]) { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.post(
                "/v1/chat/completions",
                """
                {"messages":[{"content":"Be kind.","role":"system"},{"content":[{"type":"image_url","image_url":{"url":"u"}},
                {"text":"see this","type":"text"}],"role":"user"},{"role":"assistant","content":null}],"model":"m"}
                """)
            let text = try caller.response().body
            #expect(text.contains("\"content\":\"see this\""))
            #expect(text.contains("\"prompt_tokens\":16"), "3 messages, 8 bytes, 8 bytes, none")
        }
    }

    @Test func modelsAndUnknownPaths() throws {
        try withSimulator(["--model", "known"]) { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.send("GET /v1/models HTTP/1.1\r\nHost: sim\r\n\r\n")
            #expect(((try caller.object()["data"] as? [[String: Any]])?.first)?["id"] as? String == "known")
            caller.send("GET /v1/models/other HTTP/1.1\r\nHost: sim\r\n\r\n")
            #expect(try caller.response().status == 404)
            caller.chat("x")
            #expect(try caller.response().body.contains("\"code\":\"model_not_found\""))
            caller.send("DELETE /v1/what?x HTTP/1.1\r\nHost: sim\r\n\r\n")
            let refusal = try caller.response()
            #expect(refusal.status == 404)
            #expect(refusal.body.contains("/v1/what"))
        }
    }

    @Test func embeddingsDependOnTheTextOnly() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            func vectors(_ members: String) throws -> [Any] {
                caller.post("/v1/embeddings", "{\"model\":\"e\",\(members)}")
                let entries = try #require(try caller.object()["data"] as? [[String: Any]])
                return try entries.map { try #require($0["embedding"]) }
            }
            let two = try vectors("\"input\":[\"cat\",\"dog\"],\"dimensions\":64") as? [[Double]]
            let cat = try #require(two?.first)
            #expect(cat.count == 64 && two?.last != cat)
            #expect(abs(cat.reduce(0) { $0 + $1 * $1 } - 1) < 1e-4)
            #expect(try vectors("\"input\":\"cat\",\"dimensions\":64") as? [[Double]] == [cat])
            #expect((try vectors("\"input\":[1,2,3]") as? [[Double]])?.first?.count == 1536)
            let text = try #require(
                try vectors("\"input\":\"cat\",\"dimensions\":64,\"encoding_format\":\"base64\"").first as? String)
            let bytes = try #require(Data(base64Encoded: text))
            let first = bytes.prefix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            #expect(bytes.count == 256 && abs(Double(Float(bitPattern: first)) - cat[0]) < 1e-6)
            caller.post("/v1/embeddings", "{\"model\":\"e\",\"input\":\"x\",\"dimensions\":5000}")
            #expect(try caller.response().status == 400)
        }
    }

    @Test(arguments: [
        ("nonsense\r\n\r\n", 400), ("GET / HTTP/2.0\r\n\r\n", 400), ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: sim\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: sim\r\nContent-Length: 99999999\r\n\r\n", 413),
    ])
    func whatIsNoRequestIsRefusedAndTheConnectionCloses(_ text: String, _ status: Int) throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.send(text)
            let (answer, end) = caller.read()
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
            #expect(end == .closed)
        }
    }

    @Test func aBodyMayComeInChunks() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            let body = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"in chunks\"}]}"
            caller.send("POST /v1/chat/completions HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\n")
            for byte in body { caller.send("1\r\n\(byte)\r\n") }
            caller.send("0\r\n\r\n")
            #expect(try caller.response().body.contains("\"content\":\"in chunks "))
        }
    }

    @Test func aHeadThatDoesNotEndIsRefused() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.send("GET / HTTP/1.1\r\n" + String(repeating: "x: y\r\n", count: 12_000))
            #expect(caller.read().text.hasPrefix("HTTP/1.1 431 "))
        }
    }

    @Test func aClientThatWaitsToContinueIsTold() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            let body = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"
            caller.send(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: sim\r\nExpect: 100-continue\r\nConnection: close\r\n"
                    + "Content-Length: \(body.utf8.count)\r\n\r\n")
            #expect(caller.read { $0.hasSuffix("\r\n\r\n") }.text == "HTTP/1.1 100 Continue\r\n\r\n")
            caller.send(body)
            let (text, end) = caller.read()
            #expect(text.hasPrefix("HTTP/1.1 200 OK") && text.lowercased().contains("connection: close"))
            #expect(end == .closed)
        }
    }

    @Test func aLongAnswerWaitsForItsReader() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: tokens=200000", stream: true)
            usleep(300_000)
            let sent = try #require(try stats(simulator)["output_tokens"] as? Int)
            #expect(sent < 200_000, "what the reader does not take is not produced")
            let bytes = caller.longStream()
            let events = bytes.split(separator: UInt8(ascii: "\n")).filter { $0.starts(with: "data: ".utf8) }
            #expect(events.count == 200_003)
        }
    }

    @Test func severalLanesAreOneSimulator() throws {
        try withSimulator(["--lanes", "3", "--tokens", "2"]) { (simulator: Simulator) throws in
            for _ in 0..<20 {
                let caller = Caller(simulator)
                caller.chat("x")
                #expect(try caller.response().status == 200)
            }
            #expect(try stats(simulator)["completed"] as? Int == 20)
            let admin = Caller(simulator)
            admin.post("/sim/faults", "tokens=1 error=503")
            #expect(try admin.response().body.contains("error=503"))
            for _ in 0..<10 {
                let caller = Caller(simulator)
                caller.chat("x")
                #expect(try caller.response().status == 503)
            }
            admin.post("/sim/reset", "")
            #expect(try admin.response().body.contains("tokens=2 chunk=1 error=none"))
            #expect(try stats(simulator)["chats"] as? Int == 0)
            admin.post("/sim/faults", "tokens=1 nonsense=2")
            #expect(try admin.response().status == 400)
            #expect(try stats(simulator)["chats"] as? Int == 0)
        }
    }
}
