// Two machines under a schedule of accidents: any order of calls, any cut of the bytes, and a ledger of what must hold.
// Uses the public interface only; the pair fuzzer is built from this file too.

import Core
import Wire

/// A client, a server, and everything that happens between them, chosen one number at a time.
final class Schedule {
    /// What must not happen, in words; empty when all is well.
    private(set) var violations: [String] = []
    private var client: ClientConnection
    private var server: ServerConnection
    private var now = Instant(nanoseconds: 1)
    private var wireToServer = ByteBuffer()
    private var wireToClient = ByteBuffer()
    private var serverInput = ByteBuffer()
    private var clientInput = ByteBuffer()
    private let choose: (Int) -> Int
    private let window: Int
    private let isManual: Bool

    // The server's ledger.
    private var open: [UInt32] = []
    private var unreleased: [UInt32] = []
    private var waitsForBody: [UInt32: Int] = [:]
    private var sent: [UInt32: (bytes: Int, sum: UInt64)] = [:]
    private var endings: [UInt32: Bool] = [:]
    // The client's ledger.
    private var asked: [UInt32: Int] = [:]
    private var cancelled: Set<UInt32> = []
    private var got: [UInt32: (bytes: Int, sum: UInt64)] = [:]
    private var unread: [(stream: UInt32, bytes: Int)] = []
    private(set) var outcomes: [UInt32: String] = [:]
    private var isGoing = false
    private var hasGoneAway = false
    private var isHandedBack = false

    init(choose: @escaping (Int) -> Int) {
        self.choose = choose
        isManual = choose(2) == 1
        window = 2 + choose(40)
        var limits = WireLimits()
        limits.openStreams = window
        let key = Array("slk_k_s".utf8)
        client = ClientConnection(
            hello: Hello(apiKey: key, windowKiB: UInt16(16 + choose(3) * 24)), at: now, seed: 1,
            responseCredit: isManual ? .manual : .automatic)
        server = ServerConnection(limits: limits, at: now, seed: 2)
    }

    /// Takes `count` steps, then brings everything to rest and closes the books.
    func run(steps: Int) {
        settle()
        for _ in 0..<steps where violations.isEmpty { step() }
        finish()
    }

    private func fail(_ what: String) { violations.append(what) }

    private func pick(_ list: [UInt32]) -> UInt32? { list.isEmpty ? nil : list[choose(list.count)] }

    private func step() {
        switch choose(16) {
        case 0, 1: ask()
        case 2:
            let running = asked.keys.filter { outcomes[$0] == nil }.sorted()
            if let stream = pick(running) {
                client.cancel(stream: stream)
                cancelled.insert(stream)
            }
        case 3, 4: deliver(toServer: 1 + choose(4000))
        case 5, 6: deliver(toClient: 1 + choose(6000))
        case 7, 8, 9: if let stream = pick(open) { delta(stream) }
        case 10: if let stream = pick(open) { server.sendAccepted(stream: stream, Accepted()) }
        case 11: if let stream = pick(open) { close(stream, isEnd: choose(3) > 0) }
        case 12: if let stream = pick(unreleased) { release(stream) }
        case 13: transmit()
        case 14: now = now + .milliseconds(choose(40))
        default: rarity()
        }
    }

    private func rarity() {
        switch choose(8) {
        case 0 where !isGoing && choose(6) == 0:
            isGoing = true
            hasGoneAway = true
            server.sendGoAway(
                lastStream: choose(2) == 0 ? .max : server.highestStream, reason: .drain, drain: .seconds(100))
        case 1, 2, 3: for stream in waitsForBody.keys.sorted() { server.grantBody(stream: stream) }
        case 4: if let stream = pick(open) { server.sendEvent(stream: stream, .restart(choice: 0, attempt: 2)) }
        case 5: server.sendHint(Hint(load: 3))
        default: readSome()
        }
    }

    private func ask() {
        let sizes = [0, 1, 300, 5000, 16_200, 16_384, 16_390, 20_480, 60_000]
        let size = sizes[choose(sizes.count)]
        let body = [UInt8](repeating: 7, count: size)
        let head = RequestHead(
            idempotencyKey: Identifier128(high: 0, low: UInt64(asked.count)), model: "m",
            priority: Priority(rawValue: UInt8(choose(3))) ?? .batch)
        guard let stream = client.request(head, body: body.span.raw, at: now) else { return }
        if asked[stream] != nil { fail("stream \(stream) was opened twice") }
        asked[stream] = size
        if client.openStreams > window { fail("more streams are open than credit allows") }
    }

    private func delta(_ stream: UInt32) {
        let size = 1 + choose(choose(4) == 0 ? 9000 : 40)
        let byte = UInt8(truncatingIfNeeded: choose(256))
        let bytes = [UInt8](repeating: byte, count: size)
        if server.bufferedBytes(stream: stream) > 64_000 { return }
        server.sendDelta(stream: stream, choice: 0, kind: .text, bytes: bytes.span.raw)
        note(&sent, stream, bytes.span.raw)
    }

    private func note(_ ledger: inout [UInt32: (bytes: Int, sum: UInt64)], _ stream: UInt32, _ bytes: RawSpan) {
        var entry = ledger[stream] ?? (0, 0)
        entry.bytes += bytes.byteCount
        for offset in 0..<bytes.byteCount { entry.sum = entry.sum &* 31 &+ UInt64(bytes.byte(at: offset)) }
        ledger[stream] = entry
    }

    private func close(_ stream: UInt32, isEnd: Bool) {
        open.removeAll { $0 == stream }
        waitsForBody[stream] = nil
        endings[stream] = isEnd
        if isEnd {
            server.end(stream: stream, End(outputTokens: 1))
        } else {
            server.fail(stream: stream, StreamError(code: .overloaded))
        }
    }

    private func release(_ stream: UInt32) {
        unreleased.removeAll { $0 == stream }
        server.release(stream: stream)
    }

    private func readSome() {
        guard isManual, !unread.isEmpty else { return }
        let entry = unread.removeFirst()
        client.consumed(stream: entry.stream, bytes: entry.bytes)
    }

    // MARK: Bytes

    private func transmit() {
        client.transmit(into: &wireToServer, at: now)
        server.transmit(into: &wireToClient, at: now)
    }

    private func deliver(toServer count: Int) {
        let size = min(count, wireToServer.count)
        serverInput.append(wireToServer.bytes.extracting(0..<size))
        wireToServer.consume(size)
        while let event = server.receive(&serverInput, at: now) { handle(event) }
        while let due = server.deadline, due <= now, let event = server.advance(to: now) { handle(event) }
    }

    private func deliver(toClient count: Int) {
        let size = min(count, wireToClient.count)
        clientInput.append(wireToClient.bytes.extracting(0..<size))
        wireToClient.consume(size)
        while let event = client.receive(&clientInput, at: now) { handle(event) }
        while let due = client.deadline, due <= now, let event = client.advance(to: now) { handle(event) }
    }

    /// Everything that is under way arrives.
    private func settle() {
        for _ in 0..<2000 {
            transmit()
            if wireToServer.count + wireToClient.count == 0, !isDue { return }
            deliver(toServer: .max)
            deliver(toClient: .max)
        }
        fail("the machines never came to rest")
    }

    private var isDue: Bool { (server.deadline ?? .distantFuture) <= now || (client.deadline ?? .distantFuture) <= now }

    private func handle(_ event: ServerConnection.Event) {
        switch event {
        case .hello: server.accept(HelloOK(), at: now)
        case .request(let stream, _, let body, let isComplete):
            if open.contains(stream) || endings[stream] != nil { fail("request \(stream) came twice") }
            open.append(stream)
            unreleased.append(stream)
            if isComplete { checkBody(stream, body.count) } else { waitsForBody[stream] = body.count }
            if server.openStreams > window { fail("the server has more streams than it granted") }
        case .body(let stream, let bytes, let isComplete):
            guard let before = waitsForBody[stream] else { return fail("body \(stream) out of place") }
            waitsForBody[stream] = before + bytes.count
            if isComplete {
                waitsForBody[stream] = nil
                checkBody(stream, before + bytes.count)
            }
        case .cancel(let stream, _): if !open.contains(stream) { fail("cancel \(stream) behind its end") }
        case .writable(let stream): if !open.contains(stream) { fail("writable \(stream) behind its end") }
        case .failed(let error): fail("the server failed: \(error)")
        case .slowBody, .slowConsumer, .responseTooLong: fail("no time passed, and a stream was called slow")
        case .resume, .subscribe, .report, .goAway, .drainExpired: fail("an event that nobody caused")
        case .drained: isGoing = false
        }
    }

    private func checkBody(_ stream: UInt32, _ size: Int) {
        if asked[stream] != size { fail("body of \(stream) has \(size) bytes") }
    }

    private func handle(_ event: ClientConnection.Event) {
        switch event {
        case .delta(let stream, _, _, let bytes):
            if outcomes[stream] != nil { fail("delta \(stream) behind its terminal frame") }
            if cancelled.contains(stream) { fail("delta \(stream) behind its cancel") }
            note(&got, stream, clientInput.bytes(of: bytes))
            if isManual { unread.append((stream, bytes.count)) }
        case .end(let stream, _): outcome(stream, "end")
        case .error(let stream, let error): outcome(stream, "\(error.code)")
        case .failed(let error): fail("the client failed: \(error)")
        case .goAway(let message): if !message.isAnnouncement { isHandedBack = true }
        case .accepted(let stream, _), .event(let stream, _):
            if outcomes[stream] != nil { fail("a frame of \(stream) behind its terminal frame") }
        case .ready, .streamCredit, .hint: break
        case .snapshot, .update: fail("an event that nobody caused")
        }
    }

    private func outcome(_ stream: UInt32, _ what: String) {
        if let before = outcomes[stream] { fail("stream \(stream) ended twice: \(before), \(what)") }
        if asked[stream] == nil { fail("stream \(stream) ended and was never opened") }
        outcomes[stream] = what
        guard what == "end", !cancelled.contains(stream) else { return }
        if sent[stream]?.bytes ?? 0 != got[stream]?.bytes ?? 0 || sent[stream]?.sum ?? 0 != got[stream]?.sum ?? 0 {
            fail("stream \(stream): \(sent[stream]?.bytes ?? 0) bytes sent, \(got[stream]?.bytes ?? 0) came")
        }
    }

    // MARK: The end

    private func finish() {
        settle()
        // The client asked, so every request gets an answer; readers read on.
        for _ in 0..<400 where violations.isEmpty {
            for stream in waitsForBody.keys.sorted() { server.grantBody(stream: stream) }
            for stream in open { close(stream, isEnd: true) }
            for stream in unreleased { release(stream) }
            while !unread.isEmpty { readSome() }
            settle()
            if open.isEmpty, unreleased.isEmpty, unread.isEmpty, client.openStreams == 0 { break }
        }
        guard violations.isEmpty else { return }
        for stream in asked.keys.sorted() where outcomes[stream] == nil { fail("stream \(stream) has no outcome") }
        if client.openStreams != 0 { fail("the client holds \(client.openStreams) streams") }
        if server.openStreams != 0 { fail("the server holds \(server.openStreams) streams") }
        if server.queuedBytes != 0 { fail("the server holds \(server.queuedBytes) bytes") }
        if hasGoneAway {
            if client.availableStreams != 0, isHandedBack { fail("streams may be opened behind GOAWAY") }
        } else if client.availableStreams < max(1, window - max(32, window * 3 / 4)) {
            fail("stream credit leaked: \(client.availableStreams) of \(window)")
        }
    }
}
