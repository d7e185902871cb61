// What a stranger, and then a client, can make this side hold and send.

import Core
import Testing

@testable import Wire

@Suite struct BoundTests {
    @Test func anIdleConnectionTakesLessThanAKibibyte() {
        #expect(MemoryLayout<ServerConnection>.size <= 700)
        #expect(MemoryLayout<ClientConnection>.size <= 700)
        let pair = Pair.open()
        for _ in 0..<50 { pair.ask() }
        pair.run()
        for stream in 1...50 as ClosedRange<UInt32> {
            pair.delta(stream, String(repeating: "t", count: 500))
            pair.server.end(stream: stream, End())
            pair.server.release(stream: stream)
        }
        pair.run()
        pair.wait(.seconds(65))
        #expect(pair.server.streams.rows.capacity == 0 && pair.server.ready.allocatedBytes == 0)
    }

    @Test func whateverAStrangerSendsIsAnsweredByLessThanItSentAndHeldInOneFrame() {
        for seed in 0..<3000 as Range<UInt64> {
            var chance = Chance(seed: seed)
            var server = ServerConnection(at: Instant(nanoseconds: 0), seed: seed)
            var input = ByteBuffer()
            var output = ByteBuffer()
            var sent = 0
            let good = bytes { Hello(apiKey: Pair.key).encode(into: &$0) }
            var hasFailed = false
            for _ in 0..<40 where server.wantsInput {
                var piece = (0..<Int(chance.below(300))).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
                if chance.below(3) == 0 { piece = Array(good.prefix(Int(chance.below(UInt64(good.count))))) }
                sent += piece.count
                input.append(piece)
                while let event = server.receive(&input, at: Instant(nanoseconds: 0)) {
                    if case .failed = event { hasFailed = true }
                    if case .hello = event { server.reject(.authFailed, at: Instant(nanoseconds: 0)) }
                }
                server.transmit(into: &output, at: Instant(nanoseconds: 0))
                #expect(input.count <= 4096)
            }
            #expect(output.count <= sent + 64, "seed \(seed)")
            #expect(hasFailed || !server.wantsInput || input.count < 4096)
        }
    }

    @Test func framesMeanTheSameWholeAndByteByByte() {
        for step in [1, 2, 3, 7, 8, 9, 100] {
            let pair = Pair.open()
            let stream =
                LimitTests.request(1, body: 5, declared: 5) + LimitTests.request(2, body: 4, declared: 9000)
                + frame(.body, stream: 2, [UInt8](repeating: 1, count: 8996)) + frame(.cancel, stream: 1, [0])
                + ByteBuffer.frame(0x99, [1, 2]) + frame(.ping, [1, 2, 3, 4, 5, 6, 7, 8])
            var offset = 0
            while offset < stream.count {
                let end = min(stream.count, offset + step)
                pair.inject(Array(stream[offset..<end]))
                offset = end
            }
            #expect(
                pair.served == [
                    "request 1 #1 5", "request 2 #1 4 of 9000", "body 2 8996 complete", "cancel 1 unwanted",
                ])
        }
    }

    @Test func everyTransportEndIsSaidOnce() {
        let quiet = Pair.open()
        #expect(quiet.endInput() == nil)
        #expect(quiet.isServerFinished)
        let busy = Pair.open()
        busy.ask()
        busy.run()
        #expect(busy.endInput() == "CONNECTION_LOST (transportEnded), found by transport")
        #expect(busy.endInput() == nil)
        let early = Pair()
        #expect(early.endInput() != nil)
    }

    @Test func randomSequencesOfTrueFramesNeverTrap() {
        let frames = Samples.all.map(\.bytes)
        for seed in 0..<1500 as Range<UInt64> {
            var chance = Chance(seed: seed)
            let pair = seed % 2 == 0 ? Pair.open() : ResumeTests.pair()
            for _ in 0..<20 {
                var bytes = frames[Int(chance.below(UInt64(frames.count)))]
                if chance.below(2) == 0 { bytes[Int(chance.below(UInt64(bytes.count)))] ^= UInt8(chance.below(256)) }
                pair.inject(bytes)
                pair.toClient.append(bytes)
                while let event = pair.client.receive(&pair.toClient, at: pair.now) { pair.note(event) }
            }
            #expect(pair.server.openStreams <= 256 && pair.client.openStreams <= 256)
        }
    }
}

extension Pair {
    /// The transport ends at the server; what it says about that.
    func endInput() -> String? {
        guard case .failed(let error)? = server.inputEnded(at: now) else { return nil }
        return "\(error)"
    }
}
