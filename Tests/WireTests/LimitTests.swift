// Every limit at n - 1, n and n + 1.

import Core
import Testing

@testable import Wire

@Suite struct LimitTests {
    /// A REQUEST for stream 1 whose body is declared and partly there.
    static func request(_ stream: UInt32 = 1, body: Int, declared: Int) -> [UInt8] {
        bytes {
            let mark = $0.beginFrame(.request, stream: stream, flags: body < declared ? .more : [])
            RequestHead(
                idempotencyKey: Samples.identifier, modelID: 1, bodyLength: UInt32(declared)
            ).encode(into: &$0)
            $0.append([UInt8](repeating: 1, count: body))
            $0.endFrame(mark)
        }
    }

    static func body(_ count: Int, isLast: Bool) -> [UInt8] {
        frame(.body, stream: 1, flags: isLast ? 0 : 1, [UInt8](repeating: 2, count: count))
    }

    static func failure(_ code: String, _ violation: Violation) -> String {
        "failed \(code) (\(violation)), found by local"
    }

    @Test func helloHasFourKibibytesAndThreeSeconds() {
        func hello(padding: Int) -> [UInt8] {
            var payload = Array(bytes { Hello(apiKey: Pair.key).encode(into: &$0) }.dropFirst(8))
            let room = padding - payload.count - 3
            payload += [99, UInt8(room & 0x7F | 0x80), UInt8(room >> 7)] + [UInt8](repeating: 0, count: room)
            return frame(.hello, flags: 2, payload)
        }
        for (size, isTaken) in [(4087, true), (4088, true), (4089, false)] {
            let pair = Pair()
            let served = pair.inject(hello(padding: size))
            #expect(served == [isTaken ? "hello client " : Self.failure("FRAME_SIZE", .frameTooLong)])
        }
        for (milliseconds, isOver) in [(2999, false), (3000, true)] {
            let pair = Pair()
            pair.now = pair.now + .milliseconds(milliseconds)
            #expect(pair.isServerQuiet() == !isOver)
        }
    }

    @Test func aPartialFrameHasFiveSeconds() {
        for (milliseconds, isOver) in [(4999, false), (5000, true)] {
            let pair = Pair.open()
            pair.inject([0, 8, 3])
            pair.now = pair.now + .milliseconds(milliseconds)
            #expect(pair.isServerQuiet() == !isOver)
            #expect(!isOver || pair.served == [Self.failure("PEER_SILENT", .partialFrame)])
        }
    }

    @Test func aDribblingFrameIsNotSavedByItsBytes() {
        let pair = Pair.open()
        let bytes = frame(.ping, [UInt8](repeating: 0, count: 8))
        for byte in bytes.prefix(12) {
            pair.inject([byte])
            pair.now = pair.now + .milliseconds(450)
            if !pair.isServerQuiet() { break }
        }
        #expect(pair.served == [Self.failure("PEER_SILENT", .partialFrame)])
    }

    @Test func streamsHaveTheirCredit() {
        var limits = WireLimits()
        limits.openStreams = 3
        let pair = Pair.open(limits: limits)
        for stream in 1...3 as ClosedRange<UInt32> {
            #expect(pair.inject(Self.request(stream, body: 0, declared: 0)).last == "request \(stream) #1 0")
        }
        #expect(
            pair.inject(Self.request(4, body: 0, declared: 0)) == [Self.failure("CREDIT_VIOLATION", .streamCredit)])
    }

    @Test func aConnectionsStreamsAreCounted() {
        var limits = WireLimits()
        limits.streamsPerConnection = 2
        let pair = Pair.open(limits: limits)
        for stream in 1...2 as ClosedRange<UInt32> { pair.inject(Self.request(stream, body: 0, declared: 0)) }
        #expect(
            pair.inject(Self.request(3, body: 0, declared: 0)) == [Self.failure("CREDIT_VIOLATION", .streamsUsedUp)])
    }

    @Test func newStreamsHaveARate() {
        var limits = WireLimits()
        limits.streamsPerSecond = 10
        let pair = Pair.open(limits: limits)
        for stream in 1...10 as ClosedRange<UInt32> { pair.inject(Self.request(stream, body: 0, declared: 0)) }
        #expect(pair.served.count == 10)
        #expect(pair.inject(Self.request(11, body: 0, declared: 0)) == [Self.failure("CALM", .streamRate)])
    }

    @Test func aBodyBeyondTheLimitIsRefusedWithoutMemory() {
        let limit = 1 << 20
        for declared in [limit - 1, limit, limit + 1] {
            let pair = Pair.open()
            let served = pair.inject(Self.request(body: 5000, declared: declared))
            #expect(served.isEmpty == (declared > limit))
            #expect(pair.server.openStreams == (declared > limit ? 0 : 1))
        }
        let pair = Pair.open()
        pair.inject(Self.request(body: 5000, declared: limit + 1))
        // What was under way is dropped, and the credit is not lost.
        #expect(pair.inject(Self.body(4096, isLast: false)) == [])
        #expect(pair.server.completed == 1)
        var wire = ByteBuffer()
        pair.server.transmit(into: &wire, at: pair.now)
        #expect(FrameDump.describe(wire.array())[0].contains("ERROR stream 1 EXT: TOO_LARGE, retry never"))
    }

    @Test func theFreePartOfABodyHasSixteenKibibytes() {
        for more in [16_384 - 10_000 - 1, 16_384 - 10_000, 16_384 - 10_000 + 1] {
            let pair = Pair.open()
            pair.inject(Self.request(body: 10_000, declared: 50_000))
            let served = pair.inject(Self.body(more, isLast: false))
            #expect((served == [Self.failure("CREDIT_VIOLATION", .bodyCredit)]) == (more > 6384), "\(more)")
        }
    }

    @Test func fragmentsOfABodyHaveFourKibibytesUnlessTheyAreTheLast() {
        for (size, isLast, isTaken) in [
            (4095, false, false), (4096, false, true), (4097, false, true), (1, true, true),
        ] {
            let pair = Pair.open()
            pair.inject(Self.request(body: 1000, declared: isLast ? 1000 + size : 9000))
            let served = pair.inject(Self.body(size, isLast: isLast))
            #expect((served.last?.hasPrefix("body 1 \(size)") == true) == isTaken, "\(size)")
        }
    }

    @Test func framesHaveTheirLength() {
        for size in [16_375, 16_376, 16_377] {
            let pair = Pair.open()
            pair.inject(Self.request(body: 8, declared: 100_000))
            pair.server.grantBody(stream: 1)
            let served = pair.inject(Self.body(size, isLast: false))
            #expect((served.last == Self.failure("FRAME_SIZE", .frameTooLong)) == (size > 16_376), "\(size)")
        }
    }

    @Test func bodiesInFlightWaitForEachOther() {
        var limits = WireLimits()
        limits.bodyBytes = 102_400
        limits.inFlightBodyBytes = 204_799
        let pair = Pair.open(limits: limits)
        let streams = (0..<3).map { _ in pair.ask(102_400) }
        pair.run()
        for stream in streams { pair.server.grantBody(stream: stream) }
        pair.run()
        #expect(pair.served.filter { $0.hasSuffix("complete") }.count == 1)
        pair.server.end(stream: streams[0], End())
        pair.server.release(stream: streams[0])
        pair.run()
        #expect(pair.served.filter { $0.hasSuffix("complete") }.count == 2)
        pair.server.fail(stream: streams[1], StreamError(code: .deadline))
        pair.server.release(stream: streams[1])
        pair.run()
        #expect(pair.served.filter { $0.hasSuffix("complete") }.count == 3)
    }

    @Test func aBodyHasTenSecondsAndFourKibibytesASecond() {
        // 4,096 bytes a second and two seconds' grace: 4 KiB sent at the start last three seconds.
        for (milliseconds, isSlow) in [(2999, false), (3000, true)] {
            let pair = Pair.open()
            pair.inject(Self.request(body: 4096, declared: 9000))
            pair.now = pair.now + .milliseconds(milliseconds)
            _ = pair.isServerQuiet()
            #expect(pair.served.contains("slowBody 1") == isSlow)
        }
        let pair = Pair.open()
        pair.inject(Self.request(body: 10_000, declared: 900_000))
        pair.server.grantBody(stream: 1)
        for second in 1...10 {
            pair.now = pair.now + .seconds(1)
            _ = pair.isServerQuiet()
            #expect(pair.served.contains("slowBody 1") == (second == 10))
            if second < 10 { pair.inject(Self.body(8192, isLast: false)) }
        }
        #expect(pair.isServerQuiet())  // Once.
    }

    @Test func waitingForTheGrantIsNotTheClientsFault() {
        let pair = Pair.open()
        let stream = pair.ask(100_000)
        pair.run()
        pair.wait(.seconds(25))
        #expect(!pair.served.contains("slowBody 1"))
        pair.server.grantBody(stream: stream)
        pair.run()
        #expect(pair.served.last?.hasSuffix("complete") == true)
    }

    @Test func cancelsOfYoungStreamsAreOddities() {
        var limits = WireLimits()
        limits.glitches = 3
        for (count, isOver) in [(3, false), (4, true)] {
            let pair = Pair.open(limits: limits)
            for _ in 0..<count {
                let stream = pair.ask()
                pair.client.cancel(stream: stream)
            }
            pair.run()
            #expect((pair.served.last == Self.failure("CALM", .glitches)) == isOver)
        }
    }

    @Test func odditiesComeBackWithTime() {
        var limits = WireLimits()
        limits.glitches = 2
        let pair = Pair.open(limits: limits)
        for _ in 0..<20 {
            #expect(pair.inject(ByteBuffer.frame(0x90) + ByteBuffer.frame(0x91)) == [])
            pair.now = pair.now + .seconds(1)
        }
        #expect(
            pair.inject(ByteBuffer.frame(0x90) + ByteBuffer.frame(0x91) + ByteBuffer.frame(0x92)) == [
                Self.failure("CALM", .glitches)
            ])
    }

    @Test func inboundFramesAreChargedAtLeastTheirBookkeeping() {
        var limits = WireLimits()
        limits.inboundBytesPerSecond = 1 << 20
        limits.inboundBurstBytes = 256 * 100
        limits.pingStrikes = 1000
        for (count, isOver) in [(99, false), (100, true)] {  // One charge went to HELLO.
            let pair = Pair.open(limits: limits)
            for _ in 0..<count { pair.inject(frame(.ping, [UInt8](repeating: 0, count: 8))) }
            #expect((pair.served.last == Self.failure("CALM", .inboundRate)) == isOver, "\(count)")
        }
    }

    @Test func pingsHaveTheirIntervalAndThreeStrikes() {
        let ping = frame(.ping, [UInt8](repeating: 0, count: 8))
        let pair = Pair.open()
        for _ in 0..<20 {
            #expect(pair.inject(ping) == [])
            pair.now = pair.now + .seconds(10)
        }
        for strike in 1...5 {
            let served = pair.inject(ping)
            #expect((served == [Self.failure("CALM", .pings)]) == (strike == 5))
            if strike == 1 { pair.now = pair.now + .milliseconds(1) }
        }
    }

    @Test func answeringPingsNeverPilesUp() {
        var limits = WireLimits()
        limits.pingStrikes = 10_000
        let pair = Pair.open(limits: limits)
        for value in 0..<200 as Range<UInt8> { pair.inject(frame(.ping, [UInt8](repeating: value, count: 8))) }
        var wire = ByteBuffer()
        pair.server.transmit(into: &wire, at: pair.now)
        #expect(FrameDump.describe(wire.array()) == ["0: PONG: c7c7c7c7c7c7c7c7"])
    }

    @Test func creditFramesGrowWithWhatWasSent() {
        for (sent, allowed) in [(0, 16), (40_960, 36)] {
            let pair = Pair.open()
            pair.inject(Self.request(body: 0, declared: 0))
            if sent > 0 { pair.delta(1, String(repeating: "t", count: sent)) }
            pair.run(clientToServer: false)
            for number in 1...allowed + 1 {
                let value = 70_000 + number
                let served = pair.inject(
                    frame(.credit, stream: 1, [0, UInt8(value >> 16), UInt8(value >> 8 & 255), UInt8(value & 255)]))
                #expect((served.last == Self.failure("CALM", .creditFrames)) == (number > allowed), "\(number)")
            }
        }
    }

    @Test func anAnswerHasItsBytes() {
        var limits = WireLimits()
        limits.responseBytes = 1000
        for (size, isLong) in [(998, false), (999, false), (1000, true)] {
            let pair = Pair.open(limits: limits)
            let stream = pair.ask()
            pair.run()
            pair.delta(stream, String(repeating: "t", count: size))
            pair.run()
            #expect(pair.served.contains("responseTooLong 1") == isLong, "\(size)")
        }
    }

    @Test func aPeerThatDoesNotReadIsCutAfterTwentySeconds() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        var wire = ByteBuffer()
        wire.append([UInt8](repeating: 0, count: 65_536))
        pair.delta(stream, "hello")
        pair.server.transmit(into: &wire, at: pair.now)
        pair.now = pair.now + .milliseconds(19_999)
        #expect(pair.isServerQuiet())
        pair.server.transmit(into: &wire, at: pair.now)
        pair.now = pair.now + .milliseconds(1)
        #expect(!pair.isServerQuiet())
        #expect(pair.served.last == Self.failure("PEER_SILENT", .writeStall))
    }

    @Test func stateMessagesHaveTheirLength() {
        var limits = WireLimits()
        limits.stateMessageBytes = 40_000
        let hello = Hello(role: .node, authentication: .certificate)
        let pair = Pair(hello: hello, clientLimits: limits)
        pair.run()
        _ = pair.client.subscribe(Subscribe(node: 1, incarnation: 1))
        pair.run()
        for (size, isTaken) in [(39_900, true), (40_001, false)] {
            let records = [SnapshotRecord(kind: 1, name: "a", body: [UInt8](repeating: 1, count: size))]
            pair.server.send(stream: 1, StateBytes(Snapshot(epoch: 1, sequence: 1, records: records)))
            pair.run()
            #expect((pair.seen.last == "snapshot 1 1/1 1") == isTaken)
        }
        #expect(pair.seen.last == Self.failure("FRAME_SIZE", .messageTooLong))
    }

    @Test func limitsThatDoNotHoldTogetherAreNamed() {
        #expect(WireLimits.standard.problems == [])
        var limits = WireLimits()
        limits.openStreams = 5000
        limits.streamLowWatermark = limits.streamHighWatermark
        #expect(limits.problems.count == 2)
    }
}
