// Conversations as transcripts: what one side does on the left, what the other sees on the right.

import Core
import Foundation
import Testing

@testable import Wire

@Suite struct ConversationTests {
    @Test func aHandshakeOpensTheConnection() {
        let pair = Pair()
        pair.run()
        #expect(pair.served == ["hello client test 1"])
        #expect(pair.seen == ["ready node 3 streams 256"])
        #expect(pair.client.availableStreams == 256)
    }

    @Test func theOwnerMayRefuseAKey() {
        let pair = Pair()
        pair.answersHello = false
        pair.run()
        pair.server.reject(.authFailed, at: pair.now)
        pair.run()
        #expect(pair.seen == ["failed AUTH_FAILED (credentials), found by peer"])
        #expect(pair.isServerFinished && !pair.isClientUsable)
    }

    @Test func anAnswerStreamsAndEndsOnce() {
        let pair = Pair.open()
        let stream = pair.ask(12)
        pair.run()
        #expect(pair.served == ["request 1 luna 12"])
        pair.server.sendAccepted(stream: stream, Accepted(provider: 2))
        pair.delta(stream, "Hel")
        pair.delta(stream, "lo")
        pair.server.sendEvent(stream: stream, .toolCallStart(choice: 0, index: 0, id: "c1", name: "look"))
        pair.delta(stream, "{}", kind: .toolArguments)
        pair.server.end(stream: stream, End(finish: .toolCalls, outputTokens: 5))
        pair.server.release(stream: stream)
        pair.run()
        #expect(
            pair.seen == [
                "accepted 1 attempt 1", "delta 1 0 text Hello",
                "event 1 toolCallStart(choice: 0, index: 0, id: \"c1\", name: \"look\")", "delta 1 0 toolArguments {}",
                "end 1 toolCalls 5",
            ])
        #expect(pair.server.openStreams == 0 && pair.client.openStreams == 0)
    }

    @Test func smallDeltasOfOneTurnShareAFrame() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        let before = pair.bytesToClient
        for _ in 0..<10 { pair.delta(stream, "1234567") }
        pair.run()
        #expect(pair.seen == ["delta 1 0 text 70"])
        #expect(pair.bytesToClient - before == 8 + 1 + 70)
    }

    @Test func aSevenByteDeltaTakesSixteenBytes() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        let before = pair.bytesToClient
        pair.delta(stream, "1234567")
        pair.run()
        #expect(pair.bytesToClient - before == 16)
    }

    @Test func theRestOfALongBodyWaitsForTheGrant() {
        let pair = Pair.open()
        let stream = pair.ask(100_000)
        pair.run()
        #expect(pair.served.count == 1 && pair.served[0].hasSuffix("of 100000"))
        let first = pair.bytesToServer
        #expect(first < 17_000)
        pair.server.grantBody(stream: stream)
        pair.run()
        #expect(pair.served.last?.hasSuffix("complete") == true)
        #expect(pair.bytesToServer > 100_000)
    }

    @Test func streamCreditReturnsOnlyAfterTheTerminalFrameAndTheRelease() {
        var limits = WireLimits()
        limits.openStreams = 4
        let pair = Pair.open(limits: limits)
        let streams = (0..<4).map { _ in pair.ask() }
        #expect(pair.client.availableStreams == 0)
        #expect(pair.ask() == 0)
        pair.run()
        pair.server.end(stream: streams[0], End())
        pair.run()
        #expect(pair.client.availableStreams == 0)  // Ended, but upstream still runs.
        pair.server.release(stream: streams[1])
        pair.run()
        #expect(pair.client.availableStreams == 0)  // Released, but the client has no terminal frame.
        pair.server.release(stream: streams[0])
        pair.run()
        #expect(pair.seen.last == "streamCredit 1")
        pair.server.fail(stream: streams[1], StreamError(code: .overloaded))
        pair.run()
        #expect(pair.client.availableStreams == 2)
        #expect(pair.ask() == 5)
        pair.run()
        #expect(pair.server.openStreams == 3)
    }

    @Test func creditKeepsComingWhileOneStreamNeverEnds() {
        let pair = Pair.open()
        let long = pair.ask()
        pair.run()
        for _ in 0..<5000 {
            let stream = pair.ask()
            #expect(stream != 0)
            pair.run()
            pair.server.end(stream: stream, End())
            pair.server.release(stream: stream)
            pair.run()
        }
        let isLongOpen = pair.server.isOpen(stream: long)
        #expect(isLongOpen && pair.server.openStreams == 1)
    }

    @Test func cancelIsAnsweredByOneTerminalFrame() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        pair.delta(stream, "a")
        pair.client.cancel(stream: stream)
        pair.run()
        #expect(pair.served.last == "cancel 1 unwanted")
        #expect(pair.delta(stream, "b"))  // Nobody wants it: taken and dropped.
        pair.server.fail(stream: stream, StreamError(code: .cancelled, outputTokens: 1))
        pair.server.release(stream: stream)
        pair.run()
        #expect(pair.seen == ["error 1 cancelled never"])
    }

    @Test func cancelAndEndMayCross() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        pair.server.end(stream: stream, End())
        pair.client.cancel(stream: stream)
        pair.run()
        #expect(pair.served == ["request 1 luna 10"])
        #expect(pair.seen == ["end 1 stop 0"])
        #expect(pair.isServerUsable && pair.isClientUsable)
    }

    @Test func aReaderWithoutCreditStopsTheProducer() {
        let pair = Pair.open(responseCredit: .manual)
        let stream = pair.ask()
        pair.run()
        let piece = String(repeating: "t", count: 1000)
        var sent = 0
        while pair.delta(stream, piece) {
            sent += 1000
            pair.run()
        }
        #expect(sent >= 65_536 + 12_000 && sent <= 65_536 + 17_500)
        #expect(pair.served.last == "request 1 luna 10")
        let received = 65_000
        pair.client.consumed(stream: stream, bytes: received - 100)
        pair.run()
        #expect(pair.served.last == "writable 1")
        #expect(pair.server.bufferedBytes(stream: stream) == 0)
    }

    @Test func aStreamWithoutCreditForThirtySecondsIsReportedOnce() {
        let pair = Pair.open(responseCredit: .manual)
        let stream = pair.ask()
        pair.run()
        while pair.delta(stream, String(repeating: "t", count: 4000)) { pair.run() }
        pair.wait(.seconds(29))
        #expect(!pair.served.contains("slowConsumer 1"))
        pair.wait(.seconds(2))
        #expect(pair.served.filter { $0 == "slowConsumer 1" }.count == 1)
        pair.server.fail(stream: stream, StreamError(code: .slowConsumer))
        pair.server.release(stream: stream)
        pair.run()
        #expect(pair.seen.last == "error 1 slowConsumer unsafe")
    }

    @Test func anEndBehindStalledDeltasBecomesAnErrorWithItsUsage() {
        let pair = Pair.open(responseCredit: .manual)
        let stream = pair.ask()
        pair.run()
        while pair.delta(stream, String(repeating: "t", count: 4000)) { pair.run() }
        pair.server.end(stream: stream, End(outputTokens: 9, costMicroUSD: 3))
        pair.server.release(stream: stream)
        pair.run()
        #expect(pair.client.openStreams == 1)
        pair.wait(.seconds(31))
        #expect(pair.seen.last == "error 1 slowConsumer unsafe")
        #expect(pair.server.openStreams == 0)
    }

    @Test func goAwayComesTwiceAndLosesNothing() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        pair.server.sendGoAway(reason: .drain, drain: .seconds(60))
        pair.run(clientToServer: false)
        #expect(pair.seen == ["goAway soon drain"])
        let late = pair.ask()  // Sent before PONG: still taken.
        pair.run()
        #expect(pair.served.last == "request 2 luna 10")
        #expect(pair.seen == ["goAway soon drain", "goAway 2 drain"])
        #expect(pair.client.availableStreams == 0)
        for open in [stream, late] {
            pair.server.end(stream: open, End())
            pair.server.release(stream: open)
        }
        pair.run()
        #expect(pair.served.last == "drained")
        #expect(pair.isServerFinished)
    }

    @Test func streamsAboveTheLastOneAreHandedBackAsSafeElsewhere() {
        let pair = Pair.open()
        let first = pair.ask()
        pair.run()
        pair.server.sendGoAway(lastStream: first, reason: .overload, drain: .seconds(5))
        let second = pair.ask()
        pair.run(serverToClient: false)
        #expect(pair.served == ["request 1 luna 10"])
        pair.run()
        #expect(second == 2)
        #expect(pair.seen == ["goAway 1 overload", "error 2 draining safeElsewhere"])
        pair.wait(.seconds(6))
        #expect(pair.served.last == "drainExpired")
        pair.server.fail(stream: first, StreamError(code: .draining))
        pair.server.release(stream: first)
        pair.run()
        #expect(pair.seen.last == "error 1 draining safeElsewhere")
        #expect(pair.isServerFinished)
    }

    @Test func withoutAPongTheSecondGoAwayComesAfterASecond() {
        let pair = Pair.open()
        pair.ask()
        pair.run()
        pair.server.sendGoAway(reason: .drain, drain: .seconds(60))
        var wire = ByteBuffer()
        pair.server.transmit(into: &wire, at: pair.now)
        pair.now = pair.now + .milliseconds(1001)
        #expect(pair.isServerQuiet())
        wire.removeAll()
        pair.server.transmit(into: &wire, at: pair.now)
        #expect(FrameDump.describe(wire.array()) == ["0: GOAWAY: last stream 1, drain, drain 60000 ms"])
    }

    @Test func anIdleConnectionPingsAndLivesOnAndSaysFarewellAfterTenMinutes() {
        let pair = Pair.open()
        pair.wait(.seconds(590))
        #expect(pair.isServerUsable && pair.isClientUsable)
        #expect(pair.bytesToServer > 19 * 16)
        pair.wait(.seconds(20))
        #expect(pair.seen == ["goAway soon idle", "goAway 0 idle"])
        #expect(pair.served == ["drained"] && pair.isServerFinished)
    }

    @Test func aPeerThatDoesNotAnswerAPingIsGivenUpAfterFortySeconds() {
        let pair = Pair.open()
        pair.ask()
        pair.run()
        pair.now = pair.now + .seconds(30)
        #expect(pair.isServerQuiet())
        pair.now = pair.now + .seconds(10)
        guard case .failed(let error)? = pair.server.advance(to: pair.now) else { return #expect(Bool(false)) }
        #expect(error.violation == .pingTimeout && error.code == .peerSilent)
    }

    @Test func anOldConnectionSaysFarewellWithinTenPercentOfItsAge() {
        var ages: Set<Int64> = []
        for seed in 0..<20 as Range<UInt64> {
            var server = ServerConnection(at: Instant(nanoseconds: 0), seed: seed)
            var input = ByteBuffer(bytes { Hello(apiKey: Pair.key).encode(into: &$0) })
            guard case .hello? = server.receive(&input, at: Instant(nanoseconds: 0)) else { continue }
            server.accept(HelloOK(), at: Instant(nanoseconds: 0))
            let seconds = server.ageDue.nanoseconds / 1_000_000_000
            #expect(seconds >= 1620 && seconds <= 1980)
            ages.insert(seconds)
        }
        #expect(ages.count > 15)
    }

    @Test func aNodeSubscribesAndReports() {
        let hello = Hello(role: .node, authentication: .certificate)
        let pair = Pair.open(hello: hello)
        guard let stream = pair.client.subscribe(Subscribe(node: 4, incarnation: 9, name: "edge-4")) else {
            return #expect(Bool(false))
        }
        pair.run()
        #expect(pair.served == ["subscribe 1 node 4"])
        let records = (0..<300).map { SnapshotRecord(kind: 1, name: "r\($0)", body: [UInt8](repeating: 7, count: 500)) }
        pair.server.send(stream: stream, StateBytes(Snapshot(epoch: 2, sequence: 1, records: records)))
        let update = Update(epoch: 2, sequence: 2, changed: [records[0]], removed: [.init(kind: 1, name: "r5")])
        pair.server.send(stream: stream, StateBytes(update))
        pair.client.report(stream: stream, Report(node: 4, number: 1, targets: [.init(name: "sim/luna")]))
        pair.run()
        #expect(pair.seen == ["snapshot 1 2/1 300", "update 1 2/2 1"])
        #expect(pair.served.last == "report 1 number 1")
    }

    @Test func aClientMaySayFarewell() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        pair.client.sendGoAway()
        pair.run()
        #expect(pair.served.last == "goAway done" && !pair.isClientFinished)
        pair.server.end(stream: stream, End())
        pair.server.release(stream: stream)
        pair.run()
        #expect(pair.isClientFinished)
    }

    @Test func aClientThatSaidFarewellOpensNoMoreStreams() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        let farewell = bytes { GoAway(lastStream: 0, reason: .done, drainMilliseconds: 0).encode(into: &$0) }
        #expect(pair.inject(farewell) == ["goAway done"])
        // Again: an oddity, not a mistake.
        #expect(pair.inject(farewell) == [])
        #expect(pair.isServerUsable && !pair.takesWishes)
        pair.delta(stream, "still here")
        pair.run()
        #expect(pair.seen == ["delta 1 0 text still here"])
        let request = LimitTests.request(2, body: 0, declared: 0)
        #expect(pair.inject(request) == [LimitTests.failure("PROTOCOL", .wrongState)])
    }

    @Test func theServerClosesBehindTheLastStreamOfAClientThatSaidFarewell() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        pair.inject(bytes { GoAway(lastStream: 0, reason: .done, drainMilliseconds: 0).encode(into: &$0) })
        pair.run()
        #expect(!pair.isServerFinished)
        pair.server.end(stream: stream, End(outputTokens: 2))
        pair.run()
        #expect(!pair.isServerFinished, "upstream still runs")
        pair.server.release(stream: stream)
        pair.run()
        #expect(pair.isServerFinished)
        #expect(pair.seen == ["end 1 stop 2"])

        let idle = Pair.open()
        idle.inject(bytes { GoAway(lastStream: 0, reason: .done, drainMilliseconds: 0).encode(into: &$0) })
        idle.run()
        #expect(idle.isServerFinished, "without streams at once")
    }

    /// Types of the frames that the server sends next.
    private func frames(_ pair: Pair) -> [String] {
        var wire = ByteBuffer()
        pair.server.transmit(into: &wire, at: pair.now)
        return FrameDump.describe(wire.array()).map { line in
            let words = line.split(separator: " ")
            return String(words.count > 1 ? words[1] : "").trimmingCharacters(in: [":"])
        }
    }

    @Test func theAnswerToHelloIsTheFirstFrameWhateverComesWithIt() {
        let hello = bytes { Hello(apiKey: Pair.key, client: "one write").encode(into: &$0) }
        let ping = frame(.ping, [1, 2, 3, 4, 5, 6, 7, 8])
        let request = LimitTests.request(1, body: 2, declared: 2)

        let pinging = Pair()
        pinging.inject(hello + ping)
        #expect(frames(pinging) == ["HELLO_OK", "PONG"])

        let asking = Pair()
        #expect(asking.inject(hello + ping + request) == ["hello client one write", "request 1 #1 2"])
        asking.server.sendHint(Hint(load: 255))
        asking.server.fail(stream: 1, StreamError(code: .overloaded))
        let order = frames(asking)
        #expect(order.first == "HELLO_OK")
        #expect(Set(order) == ["HELLO_OK", "PONG", "HINT", "ERROR"])

        // Before it is said there is nothing to say, also when it is a refusal.
        let refused = Pair()
        refused.answersHello = false
        refused.inject(hello + ping)
        #expect(frames(refused) == [])
        refused.server.reject(.authFailed, at: refused.now)
        #expect(frames(refused) == ["CONN_ERROR"])
    }

    @Test func whatFollowsHelloWaitsForTheAnswer() {
        let pair = Pair()
        pair.answersHello = false
        let hello = bytes { Hello(apiKey: Pair.key, client: "early").encode(into: &$0) }
        #expect(pair.inject(hello + LimitTests.request(1, body: 2, declared: 2)) == ["hello client early"])
        // While the owner decides, wishes are not sent, and nothing overtakes the answer.
        pair.server.sendHint(Hint(load: 9))
        #expect(frames(pair) == [])
        #expect(pair.isServerQuiet() && pair.toServer.count > 0)
        pair.server.accept(pair.helloOK, at: pair.now)
        #expect(pair.inject([]) == ["request 1 #1 2"])
        #expect(frames(pair) == ["HELLO_OK"])
    }

    @Test func onlyANodeAgreesOnTheControlPlane() {
        for (role, agreed) in [(PeerRole.client, false), (.tool, false), (.node, true)] {
            let pair = Pair(
                hello: Hello(role: role, apiKey: Pair.key, capabilities: [.controlPlane, .hints]))
            pair.run()
            #expect(pair.server.capabilities.contains(.controlPlane) == agreed, "\(role)")
        }
    }

    @Test func terminalFramesAndInteractiveStreamsGoFirstWhenTheSocketIsSlow() {
        let pair = Pair.open()
        let batch = pair.ask(priority: .batch)
        let interactive = pair.ask()
        let short = pair.ask(priority: .batch)
        pair.run()
        var wire = ByteBuffer()
        wire.append([UInt8](repeating: 0, count: 65_536))  // The driver's backlog is full.
        let piece = String(repeating: "t", count: 4000)
        for _ in 0..<40 { pair.delta(batch, piece) }
        for _ in 0..<10 { pair.delta(interactive, piece) }
        pair.server.end(stream: short, End())
        pair.server.transmit(into: &wire, at: pair.now)
        #expect(wire.count == 65_536)
        var order: [UInt32] = []
        for _ in 0..<200 {
            wire.removeAll()
            pair.server.transmit(into: &wire, at: pair.now)
            var offset = 0
            while offset < wire.count {
                let header = FrameHeader(wire, at: offset)
                if header.type == FrameType.delta.rawValue || header.type == FrameType.end.rawValue {
                    order.append(header.stream)
                }
                offset += 8 + Int(header.length)
            }
            if wire.count == 0 { break }
        }
        // What was under way before the backlog stays in front; then the short stream's END; then four interactive for one batch.
        guard let end = order.firstIndex(of: short) else { return #expect(Bool(false)) }
        let contest = order[(end + 1)...].prefix(10)
        #expect(contest.filter { $0 == interactive }.count >= 7)
    }
}
