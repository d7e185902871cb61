// Two machines against each other in virtual time, with everything they say written down.

import Core

@testable import Wire

/// A client and a server, joined by two byte queues. The server's owner accepts HELLO by itself unless told otherwise.
final class Pair {
    var client: ClientConnection
    var server: ServerConnection
    var now = Instant(nanoseconds: 1_000_000_000)
    var toServer = ByteBuffer()
    var toClient = ByteBuffer()
    /// What the server's owner saw.
    var served: [String] = []
    /// What the client's owner saw.
    var seen: [String] = []
    var answersHello = true
    var helloOK = HelloOK(session: 7, node: 3, tableVersion: 1)
    /// Every byte that was ever sent, for counting.
    var bytesToServer = 0
    var bytesToClient = 0
    /// Called for each event of the server before it is written down.
    var onServer: ((Pair, ServerConnection.Event) -> Void)?

    static let key = Array("slk_k1_0123456789abcdef".utf8)

    init(
        hello: Hello = Hello(apiKey: Pair.key, client: "test 1"), limits: WireLimits = .standard,
        clientLimits: WireLimits = .standard, responseCredit: ClientConnection.ResponseCredit = .automatic,
        seed: UInt64 = 1
    ) {
        client = ClientConnection(
            hello: hello, limits: clientLimits, at: now, seed: seed, responseCredit: responseCredit)
        server = ServerConnection(limits: limits, at: now, seed: seed)
    }

    /// A pair behind its handshake.
    static func open(
        limits: WireLimits = .standard, hello: Hello = Hello(apiKey: Pair.key, client: "test 1"),
        responseCredit: ClientConnection.ResponseCredit = .automatic
    ) -> Pair {
        let pair = Pair(hello: hello, limits: limits, responseCredit: responseCredit)
        pair.run()
        pair.served = []
        pair.seen = []
        return pair
    }

    /// Moves bytes both ways until nothing moves.
    func run(clientToServer: Bool = true, serverToClient: Bool = true) {
        for _ in 0..<10_000 {
            let before = (bytesToServer, bytesToClient, served.count, seen.count)
            if clientToServer {
                let size = toServer.count
                client.transmit(into: &toServer, at: now)
                bytesToServer += toServer.count - size
            }
            while server.wantsInput || toServer.count > 0, let event = server.receive(&toServer, at: now) {
                note(event)
            }
            while let due = server.deadline, due <= now, let event = server.advance(to: now) { note(event) }
            if serverToClient {
                let size = toClient.count
                server.transmit(into: &toClient, at: now)
                bytesToClient += toClient.count - size
            }
            while let event = client.receive(&toClient, at: now) { note(event) }
            while let due = client.deadline, due <= now, let event = client.advance(to: now) { note(event) }
            if before == (bytesToServer, bytesToClient, served.count, seen.count) { return }
        }
        preconditionFailure("two machines never came to rest")
    }

    /// Lets time pass in steps that stop at every deadline.
    func wait(_ duration: Duration) {
        let end = now + duration
        while true {
            let next = min(server.deadline ?? .distantFuture, client.deadline ?? .distantFuture)
            guard next < end else { break }
            now = max(now, next)
            run()
            if let due = server.deadline, due <= now { break }
        }
        now = end
        while let event = server.advance(to: now) { note(event) }
        while let event = client.advance(to: now) { note(event) }
        run()
    }

    /// Sends bytes to the server as a client of another make would.
    @discardableResult func inject(_ bytes: [UInt8]) -> [String] {
        let before = served.count
        toServer.append(bytes)
        while let event = server.receive(&toServer, at: now) { note(event) }
        return Array(served[before...])
    }

    func note(_ event: ServerConnection.Event) {
        onServer?(self, event)
        switch event {
        case .hello(let hello):
            served.append("hello \(hello.role) \(hello.client)")
            if answersHello { server.accept(helloOK, at: now) }
        case .request(let stream, let head, let body, let isComplete):
            let model = head.modelID == 0 ? head.model : "#\(head.modelID)"
            served.append("request \(stream) \(model) \(body.count)\(isComplete ? "" : " of \(head.bodyLength)")")
        case .body(let stream, let bytes, let isComplete):
            served.append("body \(stream) \(bytes.count)\(isComplete ? " complete" : "")")
        case .cancel(let stream, let reason): served.append("cancel \(stream) \(reason)")
        case .writable(let stream): served.append("writable \(stream)")
        case .resume(let stream, let message): served.append("resume \(stream) behind \(message.received)")
        case .subscribe(let stream, let message): served.append("subscribe \(stream) node \(message.node)")
        case .report(let stream, let report): served.append("report \(stream) number \(report.number)")
        case .goAway(let message): served.append("goAway \(message.reason)")
        case .slowConsumer(let stream): served.append("slowConsumer \(stream)")
        case .slowBody(let stream): served.append("slowBody \(stream)")
        case .responseTooLong(let stream): served.append("responseTooLong \(stream)")
        case .drainExpired: served.append("drainExpired")
        case .drained: served.append("drained")
        case .failed(let error): served.append("failed \(error)")
        }
    }

    func note(_ event: ClientConnection.Event) {
        switch event {
        case .ready(let answer): seen.append("ready node \(answer.node) streams \(answer.maximumStream)")
        case .accepted(let stream, let accepted): seen.append("accepted \(stream) attempt \(accepted.attempt)")
        case .delta(let stream, let choice, let kind, let bytes):
            let text = toClient.string(of: bytes)
            seen.append("delta \(stream) \(choice) \(kind) \(text.utf8.count > 32 ? "\(text.utf8.count)" : text)")
        case .event(let stream, let event): seen.append("event \(stream) \(event)")
        case .end(let stream, let end): seen.append("end \(stream) \(end.finish) \(end.outputTokens)")
        case .error(let stream, let error): seen.append("error \(stream) \(error.code) \(error.retry)")
        case .streamCredit(let available): seen.append("streamCredit \(available)")
        case .snapshot(let stream, let snapshot):
            seen.append("snapshot \(stream) \(snapshot.epoch)/\(snapshot.sequence) \(snapshot.records.count)")
        case .update(let stream, let update):
            seen.append("update \(stream) \(update.epoch)/\(update.sequence) \(update.changed.count)")
        case .goAway(let message):
            seen.append("goAway \(message.isAnnouncement ? "soon" : "\(message.lastStream)") \(message.reason)")
        case .hint(let hint): seen.append("hint \(hint.load)\(hint.wantsRebalance ? " rebalance" : "")")
        case .failed(let error): seen.append("failed \(error)")
        }
    }

    var isServerFinished: Bool { server.isFinished }
    var isServerUsable: Bool { server.isUsable }
    var takesWishes: Bool { server.takesWishes }
    var isClientFinished: Bool { client.isFinished }
    var isClientUsable: Bool { client.isUsable }

    /// Lets the server look at the clock; true when it has nothing to say.
    func isServerQuiet() -> Bool {
        guard let event = server.advance(to: now) else { return true }
        note(event)
        return false
    }

    /// Opens a stream with a body of `bytes` times `x`.
    @discardableResult func ask(
        _ bytes: Int = 10, model: String = "luna", priority: Priority = .interactive, isResumable: Bool = false
    ) -> UInt32 {
        let head = RequestHead(
            idempotencyKey: Identifier128(high: 1, low: UInt64(client.lastOpened)), model: model, priority: priority,
            flags: isResumable ? [.stream, .resumable] : .stream)
        let body = [UInt8](repeating: UInt8(ascii: "x"), count: bytes)
        return client.request(head, body: body.span.raw, at: now) ?? 0
    }

    @discardableResult func delta(_ stream: UInt32, _ text: String, choice: UInt8 = 0, kind: DeltaKind = .text) -> Bool
    {
        server.sendDelta(stream: stream, choice: choice, kind: kind, bytes: Array(text.utf8).span.raw)
    }
}

extension ByteBuffer {
    /// A frame of a type, with a payload.
    static func frame(
        _ type: UInt8, stream: UInt32 = 0, flags: UInt8 = 0, _ payload: [UInt8] = [], length: Int? = nil
    ) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.append(integer: UInt16(length ?? payload.count))
        buffer.append(type)
        buffer.append(flags)
        buffer.append(integer: stream)
        buffer.append(payload)
        return buffer.array()
    }
}

func frame(_ type: FrameType, stream: UInt32 = 0, flags: UInt8 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    ByteBuffer.frame(type.rawValue, stream: stream, flags: flags, payload)
}

/// Encodes into fresh bytes.
func bytes(_ encode: (inout ByteBuffer) -> Void) -> [UInt8] {
    var buffer = ByteBuffer()
    encode(&buffer)
    return buffer.array()
}
