// Each fault, as a caller on a real socket meets it.
import Foundation
import Testing

@testable import ProviderSim

@Suite struct FaultTests {
    @Test(arguments: [400, 401, 403, 404, 429, 500, 502, 503, 529])
    func aStatusComesInOpenAIsForm(_ status: Int) throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=\(status) retry-after=1500ms", stream: true)
            let response = try caller.response()
            #expect(response.status == status)
            let error = try #require(try Caller.object(response.body)["error"] as? [String: Any])
            #expect(error.keys.sorted() == ["code", "message", "param", "type"])
            let waits = status == 429 || status == 503
            #expect(response.head.contains("retry-after: 2\r\n") == waits)
            #expect(response.head.contains("retry-after-ms: 1500") == waits)
            caller.chat("x")
            #expect(try caller.response().status == 200, "the connection lives on")
        }
    }

    @Test func quotaIsNotARate() throws {
        try withSimulator(["--error", "quota"]) { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("x")
            let response = try caller.response()
            #expect(response.status == 429)
            #expect(response.body.contains("insufficient_quota"))
            #expect(!response.head.contains("retry-after"))
        }
    }

    @Test(arguments: [true, false])
    func hangSaysNothingUntilTheCallerLeaves(_ stream: Bool) throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=hang", stream: stream)
            let (text, end) = caller.read(timeout: .milliseconds(150))
            #expect(text.isEmpty && end == .silent)
            caller.close()
            try expectCancelled(simulator, outputTokens: 0)
        }
    }

    @Test func hangInTheMiddleOfAStream() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("a b c d e\\nsim: error=hang-after=3", stream: true)
            let (text, end) = caller.read(timeout: .milliseconds(150))
            #expect(Caller.events(in: text).count == 4 && end == .silent)
            caller.close()
            try expectCancelled(simulator, outputTokens: 3)
        }
    }

    @Test func aCutStreamHasNoEnd() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=cut-after=5 pace=2ms", stream: true, usage: true)
            let (text, end) = caller.read()
            #expect(end == .closed)
            #expect(Caller.events(in: text).count == 6)
            #expect(!text.contains("[DONE]") && !text.hasSuffix("0\r\n\r\n"))
        }
    }

    @Test func aResetComesBehindWhatWasSent() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=reset-after=2", stream: true)
            let (text, end) = caller.read()
            #expect(end == .reset)
            #expect(Caller.events(in: text).count == 3)
        }
    }

    @Test func aTornStreamStopsWithinAnEvent() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=torn-after=2", stream: true)
            let (text, end) = caller.read()
            #expect(end == .reset)
            let events = Caller.events(in: text)
            #expect(events.count == 4 && (try? Caller.object(events[3])) == nil)
        }
    }

    @Test func aTextThatIsNoUTF8AndTheStreamGoesOn() throws {
        try withSimulator(["--tokens", "2"]) { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=bad-text-after=1", stream: true)
            let events = try caller.events()
            // Read as a Swift text the byte has become U+FFFD.
            #expect(events.indices.filter { events[$0].contains("bad \u{FFFD}") } == [2])
            #expect(events.last == "[DONE]")
        }
    }

    @Test func everyByteInAChunkOfItsOwn() throws {
        try withSimulator(["--tokens", "3"]) { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=split", stream: true)
            let (text, end) = caller.read { $0.hasSuffix("\r\n0\r\n\r\n") }
            let body = try #require(text.range(of: "\r\n\r\n")).upperBound
            let sizes = text[body...].split(separator: "\r\n", omittingEmptySubsequences: false)
            #expect(end == nil && sizes.filter { $0 == "1" }.count > 300)
        }
    }

    @Test func nothingButComments() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=comments-after=1", stream: true)
            let (text, end) = caller.read { $0.components(separatedBy: ": still here").count > 3 }
            #expect(end == nil && Caller.events(in: text).count == 2)
            caller.close()
            try expectCancelled(simulator, outputTokens: 1)
        }
    }

    @Test(arguments: [true, false])
    func aLineThatDoesNotEnd(_ stream: Bool) throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=endless-after=0", stream: stream)
            let (_, end) = caller.read { $0.utf8.count > 1 << 20 }
            #expect(end == nil)
            caller.close()
        }
    }

    @Test func aBodyInGzip() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=gzip")
            let (text, _) = caller.read { $0.contains("\r\n\r\n") }
            #expect(text.lowercased().contains("content-encoding: gzip\r\n"))
        }
    }

    @Test(arguments: [
        ("ms", "retry-after-ms: 1500\r\n"), ("seconds", "retry-after: 1.500\r\n"), ("date", " gmt\r\n"),
        ("absurd", "retry-after: -5\r\n"),
    ])
    func timesToComeAgainInEverySpelling(_ form: String, _ expected: String) throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=429 retry-after=1500ms retry-form=\(form)")
            let head = try caller.response().head
            #expect(head.contains(expected), "\(head)")
        }
    }

    @Test func datesAgreeWithTheCalendar() {
        let form = DateFormatter()
        form.locale = Locale(identifier: "en_US_POSIX")
        form.timeZone = TimeZone(identifier: "GMT")
        form.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        for day in stride(from: 0, to: 60_000, by: 37) {
            let seconds = Int64(day) * 86_400 + Int64(day % 86_400)
            #expect(RetryForm.date(seconds) == form.string(from: Date(timeIntervalSince1970: TimeInterval(seconds))))
        }
    }

    @Test func oneBrokenEventAndTheStreamGoesOn() throws {
        try withSimulator(["--tokens", "4"]) { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=malformed-after=2", stream: true)
            let events = try caller.events()
            let broken = events.indices.filter { (try? Caller.object(events[$0])) == nil }
            #expect(broken == [3, 7], "the third word's place, and the end mark")
            #expect(events.last == "[DONE]")
        }
    }

    @Test func anErrorEventAndTheEnd() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=error-after=1", stream: true)
            let (text, end) = caller.read()
            let events = Caller.events(in: text)
            #expect(end == .closed)
            #expect(try Caller.object(#require(events.last))["error"] != nil)
            #expect(events.count == 3 && !text.contains("[DONE]"))
        }
    }

    @Test(arguments: [("no-finish", false, false), ("no-done", true, false), ("no-usage", true, true)])
    func missingEnds(_ fault: String, _ hasFinish: Bool, _ hasDone: Bool) throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=\(fault)", stream: true, usage: true)
            let events = try caller.events()
            #expect(events.contains { $0.contains("\"finish_reason\":\"stop\"") } == hasFinish)
            #expect((events.last == "[DONE]") == hasDone)
            #expect(events.contains { $0.contains("total_tokens") } == (fault == "no-done"))
        }
    }

    @Test func absurdUsage() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=absurd-usage", stream: true, usage: true)
            #expect(try caller.events().contains { $0.contains("\"completion_tokens\":999999999999") })
            caller.chat("sim: error=negative-usage", stream: true, usage: true)
            #expect(try caller.events().contains { $0.contains("\"completion_tokens\":-7") })
            caller.chat("sim: error=no-usage")
            #expect(try caller.object()["usage"] == nil)
        }
    }

    @Test func embeddingsAreStruckByStatusesOnly() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            for (fault, status) in [("503", 503), ("quota", 429), ("hang", 200), ("none", 200)] {
                caller.post("/sim/faults", "error=\(fault)")
                #expect(try caller.response().status == 200)
                caller.post("/v1/embeddings", "{\"model\":\"e\",\"input\":\"x\",\"dimensions\":2}")
                #expect(try caller.response().status == status)
            }
            #expect(try stats(simulator)["faults"] as? [String: Int] == ["503": 1, "quota": 1])
        }
    }

    @Test func wrongContentType() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=content-type", stream: true)
            let response = try caller.response()
            #expect(response.status == 200 && response.head.contains("content-type: text/html"))
        }
    }

    @Test func noHTTPAtAll() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=not-http")
            let (text, end) = caller.read()
            #expect(end == .closed && !text.isEmpty && !text.hasPrefix("HTTP/"))
        }
    }

    @Test func aSlowHeadDrips() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=slow-head")
            let start = ContinuousClock().now
            let (text, _) = caller.read { $0.utf8.count >= 5 }
            #expect(text == "HTTP/")
            #expect(ContinuousClock().now - start >= .milliseconds(390))
            caller.close()
            try expectCancelled(simulator, outputTokens: 0)
        }
    }

    @Test func endlessHeadersDoNotEnd() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=endless-headers")
            let (text, _) = caller.read { $0.utf8.count > 300_000 }
            #expect(text.hasPrefix("HTTP/1.1 200 OK\r\nx-endless-0: "))
            #expect(!text.contains("\r\n\r\n"))
            caller.close()
            try expectCancelled(simulator, outputTokens: 0)
        }
    }

    @Test(arguments: ["cut-after=1", "reset-after=1", "hang-after=1"])
    func aBodyInOnePieceStopsInItsMiddle(_ fault: String) throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=\(fault)")
            let (text, end) = caller.read(timeout: .milliseconds(200))
            #expect(end == (fault.hasPrefix("cut") ? .closed : fault.hasPrefix("reset") ? .reset : .silent))
            let parts = text.components(separatedBy: "\r\n\r\n")
            let length = parts[0].components(separatedBy: "content-length: ").last.flatMap {
                Int($0.prefix { $0.isNumber })
            }
            #expect(parts[1].utf8.count == (try #require(length)) / 2)
        }
    }

    @Test func aMalformedBodyHasItsDeclaredLength() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: error=malformed-after=0")
            let response = try caller.response()
            #expect(response.status == 200)
            #expect((try? Caller.object(response.body)) == nil)
            for fault in ["error-after=0", "overloaded-after=0"] {
                caller.chat("sim: error=\(fault)")
                let second = try caller.response()
                #expect(second.status == 200)
                #expect(try Caller.object(second.body)["error"] != nil)
            }
        }
    }

    @Test func aShareOfTheRequestsFailsTheSameWayEachTime() throws {
        func pattern() throws -> [Int] {
            try withSimulator(["--error", "500", "--error-rate", "30%", "--tokens", "1"]) {
                (simulator: Simulator) throws in
                let caller = Caller(simulator)
                return try (0..<300).map { _ in
                    caller.chat("x")
                    return try caller.response().status
                }
            }
        }
        let first = try pattern()
        let failures = first.filter { $0 == 500 }.count
        #expect((60...120).contains(failures), "\(failures) of 300")
        #expect(try pattern() == first)
    }

    @Test func aCallerThatLeavesIsSeenAtOnce() throws {
        try withSimulator { (simulator: Simulator) throws in
            let caller = Caller(simulator)
            caller.chat("sim: tokens=1000 pace=20ms", stream: true)
            _ = caller.read { Caller.events(in: $0).count >= 4 }
            let left = Date().timeIntervalSince1970
            caller.close()
            try expectCancelled(simulator, outputTokens: nil)
            let entry = try #require((try stats(simulator)["cancellations"] as? [[String: Any]])?.first)
            let closed = try #require(entry["closed_at_us"] as? Double) / 1e6
            #expect(closed - left < 0.1 && closed >= left - 0.01)
            #expect(try stats(simulator)["streams_open"] as? Int == 0)
        }
    }

    private func expectCancelled(_ simulator: Simulator, outputTokens: Int?) throws {
        for _ in 0..<100 {
            let told = try stats(simulator)
            if told["cancelled"] as? Int == 1 {
                let entry = (told["cancellations"] as? [[String: Any]])?.first
                if let outputTokens { #expect(entry?["output_tokens"] as? Int == outputTokens) }
                #expect(told["open"] as? Int == 0)
                return
            }
            usleep(10_000)
        }
        Issue.record("the simulator sees that its caller left")
    }
}
