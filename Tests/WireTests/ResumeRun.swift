// One answer over connections that break at any byte, in virtual time, from a seed.

import Core

@testable import Wire

/// A producer with a `KeptAnswer`, a reader who counts, and one connection after another between them.
final class ResumeRun {
    private static let bound = 48 << 10
    private static let id = Samples.identifier

    private var chance: Chance
    private var now = Instant(nanoseconds: 1_000_000_000)
    private var client: ClientConnection
    private var server: ServerConnection
    private var toServer = ByteBuffer()
    private var wire = ByteBuffer()
    private var toClient = ByteBuffer()
    private var stream: UInt32 = 0
    private var kept = KeptAnswer()
    /// What the producer said and what the reader heard: text by choice, and the events between.
    private var said: [UInt8] = []
    private var heard: [UInt8] = []
    private let length: Int
    private var isBlocked = false
    private var isAttached = false
    private var hasEnded = false
    private var unread = 0
    /// How the reader stood when the connection broke.
    private var progress: (received: UInt32, consumed: UInt32)?
    private(set) var breaks = 0
    private(set) var problems: [String] = []

    init(seed: UInt64) {
        chance = Chance(seed: seed)
        length = 1 + Int(chance.below(120_000))
        client = Self.client(now, seed)
        server = Self.server(now, seed)
    }

    private static func client(_ now: Instant, _ seed: UInt64) -> ClientConnection {
        let hello = Hello(apiKey: Pair.key, capabilities: .supported, windowKiB: 16)
        return ClientConnection(hello: hello, at: now, seed: seed, responseCredit: .manual)
    }

    private static func server(_ now: Instant, _ seed: UInt64) -> ServerConnection {
        var limits = WireLimits()
        limits.refusedResumes = 1
        return ServerConnection(limits: limits, at: now, seed: seed)
    }

    /// Runs until the answer is whole, at most 20,000 steps.
    func finish() {
        for _ in 0..<20_000 where !hasEnded && problems.isEmpty { step() }
        if !hasEnded { problems.append("no end: \(heard.count) of \(said.count) of \(length)") }
        if heard != said { problems.append("heard \(heard.count) bytes, said \(said.count)") }
    }

    private func step() {
        now = now + .microseconds(Int64(chance.below(2_000)))
        switch chance.below(100) {
        case 0: breakConnection()
        case 1..<40: produce()
        case 40..<55: read()
        default: move()
        }
        if kept.count > Self.bound + 8_192 { problems.append("\(kept.count) bytes are kept") }
    }

    private func produce() {
        guard said.count < length, !isBlocked, kept.count < Self.bound else { return }
        if chance.below(10) == 0 {
            let index = UInt16(chance.below(1_000))
            kept.append(.toolCallResume(choice: 0, index: index))
            said += [0xEE, UInt8(index >> 8), UInt8(truncatingIfNeeded: index)]
        } else {
            let size = 1 + Int(chance.below(chance.below(8) == 0 ? 6_000 : 12))
            let text = (0..<size).map { _ in UInt8(chance.below(200)) }
            kept.append(choice: UInt8(chance.below(2)), kind: .text, text.span.raw)
            said += text
        }
        send()
    }

    private func send() {
        guard isAttached else { return }
        kept.forget(until: server.acknowledged(stream: stream))
        while !isBlocked, let goesOn = kept.sendNext({ server.sendKept(stream: stream, $0, payload: $1) }) {
            isBlocked = !goesOn
        }
        if said.count >= length, kept.isSent {
            server.end(stream: stream, End())
            isAttached = false
        }
    }

    private func read() {
        let part = unread == 0 ? 0 : 1 + Int(chance.below(UInt64(unread)))
        unread -= part
        if progress != nil { progress?.consumed += UInt32(part) } else { client.consumed(stream: stream, bytes: part) }
    }

    /// Some of what is under way arrives.
    private func move() {
        client.transmit(into: &toServer, at: now)
        while toServer.count > 0 || server.wantsInput, let event = server.receive(&toServer, at: now) { handle(event) }
        while let due = server.deadline, due <= now, let event = server.advance(to: now) { handle(event) }
        send()
        server.transmit(into: &wire, at: now)
        let part = Int(chance.below(UInt64(min(wire.count, 20_000)) + 1))
        toClient.append(wire.array(of: wire.slice(at: 0, count: part)))
        wire.consume(part)
        while let event = client.receive(&toClient, at: now) { handle(event) }
    }

    /// Everything under way is lost; another connection begins.
    private func breakConnection() {
        if progress == nil, stream != 0 { progress = client.progress(stream: stream) }
        breaks += 1
        (isAttached, isBlocked) = (false, false)
        client = Self.client(now, chance.next())
        server = Self.server(now, chance.next())
        toServer = ByteBuffer()
        wire = ByteBuffer()
        toClient = ByteBuffer()
    }

    private func handle(_ event: ServerConnection.Event) {
        switch event {
        case .hello: server.accept(HelloOK(session: 1, node: 1), at: now)
        case .request(let opened, _, _, _):
            // The answer had not begun when its connection broke: the request is made again.
            stream = opened
            isAttached = true
            server.sendAccepted(stream: opened, Accepted(resumption: ResumeGrant(id: Self.id, keptMilliseconds: 1)))
        case .resume(let opened, let message):
            guard kept.rewind(to: message.received) else {
                return problems.append("\(message.received) is no place between \(kept.start) and \(kept.sent)")
            }
            stream = opened
            isAttached = true
        case .writable:
            isBlocked = false
            send()
        case .failed(let error): problems.append("the server failed: \(error)")
        default: problems.append("the server: \(event)")
        }
    }

    private func handle(_ event: ClientConnection.Event) {
        switch event {
        case .ready:
            if let progress {
                stream =
                    client.resume(Self.id, received: progress.received, consumed: progress.consumed, at: now) ?? 0
                self.progress = nil
            } else {
                var head = RequestHead(idempotencyKey: Self.id, model: "luna")
                head.flags.insert(.resumable)
                stream = client.request(head, body: [UInt8]().span.raw, at: now) ?? 0
            }
        case .delta(_, _, _, let bytes):
            heard += toClient.array(of: bytes)
            unread += bytes.count
        case .event(_, .toolCallResume(_, let index)):
            heard += [0xEE, UInt8(index >> 8), UInt8(truncatingIfNeeded: index)]
        case .end: hasEnded = true
        case .accepted, .streamCredit: break
        default: problems.append("the client: \(event)")
        }
    }
}
