// Streams that go on over another connection: the conversation, its mistakes, its limits.

import Core
import Testing

@testable import Wire

@Suite struct ResumeTests {
    static let hello = Hello(apiKey: Pair.key, client: "test 1", capabilities: .supported)

    static func pair(refused: Int = 4) -> Pair {
        var limits = WireLimits()
        limits.refusedResumes = refused
        return Pair.open(limits: limits, hello: hello)
    }

    @Test func aStreamGoesOnWhereItsConnectionBroke() {
        let first = Self.pair()
        let stream = first.ask(isResumable: true)
        first.run()
        var kept = KeptAnswer()
        let grant = ResumeGrant(id: Samples.identifier, keptMilliseconds: 10_000)
        first.server.sendAccepted(stream: stream, Accepted(resumption: grant))
        for piece in ["Hel", "lo, "] {
            kept.append(choice: 0, kind: .text, Array(piece.utf8).span.raw)
            _ = kept.sendNext { first.server.sendKept(stream: stream, $0, payload: $1) }
        }
        first.run()
        #expect(first.seen == ["accepted 1 attempt 1", "delta 1 0 text Hel", "delta 1 0 text lo, "])
        // This one is lost with its connection.
        kept.append(choice: 0, kind: .text, Array("wor".utf8).span.raw)
        _ = kept.sendNext { first.server.sendKept(stream: stream, $0, payload: $1) }
        let progress = first.client.progress(stream: stream)
        #expect(progress?.received == 9 && progress?.consumed == 9)
        // Nobody is there: pieces that wait are joined.
        kept.append(choice: 0, kind: .text, Array("l".utf8).span.raw)
        kept.append(choice: 0, kind: .text, Array("d".utf8).span.raw)

        let second = Self.pair()
        second.ask()
        let next = second.client.resume(grant.id, received: 9, consumed: 9, at: second.now)
        second.run()
        #expect(next == 2)
        #expect(second.served.last == "resume 2 behind 9")
        let isPlace = kept.rewind(to: 9)
        #expect(isPlace)
        second.server.sendAccepted(stream: 2, Accepted(resumption: grant))
        while kept.sendNext({ second.server.sendKept(stream: 2, $0, payload: $1) }) != nil {}
        second.server.end(stream: 2, End(outputTokens: 5))
        second.server.release(stream: 2)
        second.run()
        #expect(
            second.seen == [
                "accepted 2 attempt 1", "delta 2 0 text wor", "delta 2 0 text ld", "end 2 stop 5",
            ])
    }

    @Test func withoutTheCapabilityNothingIsAskedForAndNothingIsTaken() {
        let plain = Pair.open(hello: Self.hello)
        #expect(!plain.client.canResume && !plain.server.canResume, "a server that keeps nothing does not offer it")
        #expect(plain.client.resume(Samples.identifier, received: 0, consumed: 0, at: plain.now) == nil)
        let resume = bytes { Resume(id: Samples.identifier, received: 0, credit: 65_536).encode(into: &$0, stream: 1) }
        #expect(plain.inject(resume) == [LimitTests.failure("UNKNOWN_FRAME", .capability)])
        var head = Samples.head
        head.flags = [.stream, .resumable]
        let asking = Pair.open(hello: Self.hello)
        #expect(
            asking.inject(Samples.request(head, body: Array("1234567".utf8)))
                == [LimitTests.failure("PROTOCOL", .reservedNotZero)])
        let told = Pair.open()
        told.ask()
        told.run()
        let grant = ResumeGrant(id: Samples.identifier, keptMilliseconds: 1)
        told.toClient.append(bytes { Accepted(resumption: grant).encode(into: &$0, stream: 1) })
        told.run()
        #expect(told.seen.last == LimitTests.failure("PROTOCOL", .unknownFlag))
    }

    @Test func resumeIsReadWholeAndByteByByteAndItsMistakesEndTheConnection() {
        let good = bytes { Resume(id: Samples.identifier, received: 7, credit: 65_543).encode(into: &$0, stream: 1) }
        for step in 1...good.count {
            let pair = Self.pair()
            for start in stride(from: 0, to: good.count, by: step) {
                pair.inject(Array(good[start..<min(good.count, start + step)]))
            }
            #expect(pair.served == ["resume 1 behind 7"])
        }
        func fails(_ received: UInt32, _ credit: UInt32, stream: UInt32 = 1) -> String? {
            let pair = Self.pair()
            let resume = Resume(id: Samples.identifier, received: received, credit: credit)
            return pair.inject(bytes { resume.encode(into: &$0, stream: stream) }).last
        }
        #expect(fails(7, 65_544) == LimitTests.failure("PROTOCOL", .fieldValue), "more credit than the window")
        #expect(fails(7, 6) == LimitTests.failure("PROTOCOL", .fieldValue), "less credit than came")
        #expect(fails(0, 0) == "resume 1 behind 0")
        #expect(fails(.max, .max) == "resume 1 behind \(UInt32.max)")
        #expect(fails(0, 0, stream: 2) == LimitTests.failure("PROTOCOL", .streamNotNext))
        let flagged = Self.pair()
        #expect(
            flagged.inject(frame(.resume, stream: 1, flags: 2, [UInt8](repeating: 0, count: 24)))
                == [LimitTests.failure("PROTOCOL", .unknownFlag)])
    }

    @Test func refusalsAreCounted() {
        let pair = Self.pair(refused: 3)
        func resume(_ stream: UInt32) -> String? {
            let message = Resume(id: Samples.identifier, received: 0, credit: 0)
            return pair.inject(bytes { message.encode(into: &$0, stream: stream) }).last
        }
        for stream in 1...3 as ClosedRange<UInt32> {
            #expect(resume(stream) == "resume \(stream) behind 0")
            pair.server.fail(stream: stream, StreamError(code: .resumeUnknown))
            pair.server.release(stream: stream)
        }
        #expect(resume(4) == LimitTests.failure("CALM", .resumes))
    }

    @Test func aStreamThatMovedOnEndsOnceWhereItWas() {
        let pair = Self.pair()
        let stream = pair.ask(isResumable: true)
        pair.run()
        pair.delta(stream, "x")
        pair.server.fail(stream: stream, StreamError(code: .moved))
        pair.run()
        #expect(pair.seen == ["delta 1 0 text x", "error 1 moved never"])
        #expect(pair.server.openStreams == 1, "its credit is out until its work has ended")
        pair.server.release(stream: stream)
        #expect(pair.server.openStreams == 0)
    }

    @Test func whatIsKeptIsForgottenAsCreditComesAndKnowsItsPlaces() {
        var kept = KeptAnswer()
        kept.append(choice: 0, kind: .text, Array("abc".utf8).span.raw)
        kept.append(.choiceEnd(choice: 0, finish: .stop))
        kept.append(choice: 1, kind: .text, [UInt8](repeating: 1, count: 9000).span.raw)
        let all = kept.count
        #expect(all == 4 + 3 + 9000 + 3, "each piece of text has a byte in front")
        let isEarly = kept.rewind(to: 4)
        #expect(!isEarly, "nothing was sent yet")
        var sizes: [Int] = []
        for _ in 0..<4 { _ = kept.sendNext { sizes.append($1.byteCount) } }
        #expect(sizes == [4, 3, 4096, 4096])
        for wrong in [1, 3, 5, 8, 4102, 8200, 9010] as [UInt32] {
            let isPlace = kept.rewind(to: wrong)
            #expect(!isPlace, "\(wrong)")
        }
        kept.forget(until: 6)
        let start = kept.start
        #expect(start == 4, "only whole pieces are forgotten")
        let isBack = kept.rewind(to: 0)
        #expect(!isBack, "what is forgotten is gone")
        let rewound = kept.rewind(to: 4103)
        let batch = kept.batch(limit: 4500)
        #expect(rewound && batch?.count == 4096, "as many as fit")
        let last = kept.batch(limit: 1)
        let (isSent, more) = (kept.isSent, kept.batch(limit: 1)?.count)
        #expect(last?.count == 811 && isSent && more == nil, "one at least")
        var count = 0
        KeptAnswer.each(of: (batch?.pieces ?? []) + (last?.pieces ?? [])) { kind, payload in
            #expect(kind == .delta && payload.byte(at: 0) == 0x10)
            count += payload.byteCount
        }
        #expect(count == 4096 + 811)
        kept.forget(until: .max)
        let (left, ends) = (kept.count, (kept.start, kept.end))
        #expect(left == 0 && ends.0 == ends.1)
    }

    @Test func answersGoOnThroughAnyBreaks() {
        var breaks = 0
        for seed in 0..<400 as Range<UInt64> {
            let run = ResumeRun(seed: seed)
            run.finish()
            #expect(run.problems.isEmpty, "seed \(seed): \(run.problems)")
            breaks += run.breaks
        }
        #expect(breaks > 1_000)
    }
}
