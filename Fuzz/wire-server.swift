// A server machine before any client: raw bytes, frames with true headers, and every call of its owner, in any order.
// Rooms: Core Wire
import Core
import Wire

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ pointer: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    var fuzzer = ServerFuzzer(Input(pointer, count))
    fuzzer.run()
    return 0
}

struct ServerFuzzer: ~Copyable {
    var choices: Input
    var server: ServerConnection
    var now = Instant(nanoseconds: 0)
    var input = ByteBuffer()
    var output = ByteBuffer()
    var open: [UInt32] = []
    var unreleased: [UInt32] = []
    var ended: Set<UInt32> = []
    var nextStream: UInt32 = 1
    var received = 0
    let isNode: Bool

    init(_ choices: Input) {
        self.choices = choices
        var limits = WireLimits()
        limits.openStreams = 1 + self.choices.below(20)
        limits.refusedResumes = limits.openStreams % 3
        isNode = self.choices.below(4) == 0
        server = ServerConnection(limits: limits, at: now, seed: 5)
    }

    mutating func run() {
        if choices.below(8) > 0 { hello() }
        var steps = 0
        while !choices.isEmpty, steps < 2000 {
            steps += 1
            step()
            // What a client makes this side hold: 64 KiB and 8 bytes for each of its own.
            precondition(input.count <= 65_536 + 16, "the machine leaves whole frames unread")
            precondition(server.openStreams <= 20)
        }
        while !open.isEmpty { close(open[0], false) }
        while !unreleased.isEmpty { release(0) }
        // What END waits for credit behind is given up after thirty seconds.
        for _ in 0..<100 { transmit() }
        advance(31_000_000_000)
        for _ in 0..<10 { transmit() }
        if server.isUsable { precondition(server.openStreams == 0) }
    }

    mutating func hello() {
        let key = Array("slk_a_b".utf8)
        var client = ClientConnection(
            hello: isNode
                ? Hello(role: .node, authentication: .certificate)
                : Hello(apiKey: key, capabilities: .supported), at: now, seed: 1)
        client.transmit(into: &input, at: now)
        receive()
    }

    mutating func step() {
        switch choices.below(16) {
        case 0: feed(choices.run(choices.below(64)))
        case 1, 2: frame(choices.byte(), choices.byte(), UInt32(choices.byte()), choices.below(300))
        case 3, 4: request()
        case 5: frame(0x11, choices.byte() & 1, stream(), choices.below(8192))
        case 6: frame(0x12, 0, stream(), 1)
        case 7: credit()
        case 8: if let stream = pick(open) { delta(stream) }
        case 9: if let stream = pick(open) { close(stream, choices.below(2) == 0) }
        case 10: if !unreleased.isEmpty { release(choices.below(unreleased.count)) }
        case 11: if let stream = pick(open) { server.grantBody(stream: stream) }
        case 12: transmit()
        case 13: advance(Int64(choices.word()) * 1_000_000)
        case 14: if choices.below(8) == 0 { server.sendGoAway(reason: .drain, drain: .seconds(3)) }
        default:
            if let stream = pick(open), server.isUsable {
                server.sendEvent(stream: stream, .restart(choice: 1, attempt: 2))
            }
        }
    }

    func pick(_ list: [UInt32]) -> UInt32? { list.isEmpty ? nil : list[received % list.count] }

    mutating func stream() -> UInt32 { nextStream > 1 ? 1 + UInt32(choices.below(Int(nextStream))) : 1 }

    mutating func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ length: Int) {
        let payload = choices.run(length)
        var frame: [UInt8] = [UInt8(payload.count >> 8), UInt8(payload.count & 0xFF), type, flags]
        for shift in [24, 16, 8, 0] as [UInt32] { frame.append(UInt8(truncatingIfNeeded: stream >> shift)) }
        feed(frame + payload)
    }

    mutating func request() {
        if isNode {
            return frame(0x30, 0, nextStream, 40)
        }
        let body = choices.run(choices.below(200))
        if body.count % 7 == 3 { return resume(body) }
        let declared = body.count + (choices.below(3) == 0 ? choices.below(40_000) : 0)
        // Keys and trace 40, times 8, output 4; operation, priority, cache, cancel; model 1; streaming.
        var payload = [UInt8](repeating: 1, count: 40) + [UInt8](repeating: 0, count: 12)
        payload += [1, choices.byte() % 3, 0, 0, 0, 1, 0, 1]
        payload += [
            UInt8(declared >> 24), UInt8(declared >> 16 & 0xFF), UInt8(declared >> 8 & 0xFF), UInt8(declared & 0xFF),
        ]
        // No feature tag.
        payload += [0] + body
        let length = payload.count
        var frame: [UInt8] = [UInt8(length >> 8), UInt8(length & 0xFF), 0x10, declared > body.count ? 1 : 0]
        for shift in [24, 16, 8, 0] as [UInt32] { frame.append(UInt8(truncatingIfNeeded: nextStream >> shift)) }
        feed(frame + payload)
    }

    /// A RESUME from a place that the choices name, most often with a credit that fits.
    mutating func resume(_ bytes: [UInt8]) {
        let place = UInt8(bytes.count)
        var payload = [UInt8](repeating: 7, count: 16) + [0, place, bytes[0], bytes[1]]
        payload += place == 17 ? [0, 0, 0, 0] : [0, place, bytes[0], bytes[1]]
        var frame: [UInt8] = [0, 24, 0x13, 0]
        for shift in [24, 16, 8, 0] as [UInt32] { frame.append(UInt8(truncatingIfNeeded: nextStream >> shift)) }
        feed(frame + payload)
    }

    mutating func credit() {
        let stream = stream()
        let value = UInt32(choices.word()) * 16
        var frame: [UInt8] = [0, 4, 5, 0]
        for word in [stream, value] {
            for shift in [24, 16, 8, 0] as [UInt32] { frame.append(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        feed(frame)
    }

    mutating func feed(_ bytes: [UInt8]) {
        received += bytes.count
        guard server.wantsInput else { return }
        input.append(bytes)
        receive()
    }

    mutating func receive() { while let event = server.receive(&input, at: now) { handle(event) } }

    mutating func advance(_ nanoseconds: Int64) {
        now = Instant(nanoseconds: now.nanoseconds + nanoseconds)
        var events = 0
        while let due = server.deadline, due <= now, let event = server.advance(to: now) {
            handle(event)
            events += 1
            precondition(events < 10_000, "time passes without end")
        }
        // A deadline that stays in the past would spin the driver.
        if events == 0, let due = server.deadline, due <= now {
            if let event = server.advance(to: now) { handle(event) }
            if let still = server.deadline { precondition(still > now, "a deadline that nothing moves") }
        }
    }

    mutating func handle(_ event: ServerConnection.Event) {
        switch event {
        case .hello:
            if choices.below(8) == 0 { server.reject(.authFailed, at: now) } else { server.accept(HelloOK(), at: now) }
        case .request(let stream, _, let body, _):
            precondition(stream == nextStream || stream >= nextStream)
            precondition(input.bytes(of: body).byteCount == body.count)
            nextStream = stream + 1
            open.append(stream)
            unreleased.append(stream)
        case .resume(let stream, _), .subscribe(let stream, _):
            nextStream = stream + 1
            open.append(stream)
            unreleased.append(stream)
        case .body(let stream, let bytes, _):
            precondition(open.contains(stream))
            precondition(input.bytes(of: bytes).byteCount > 0)
        case .cancel(let stream, _), .writable(let stream), .slowConsumer(let stream), .slowBody(let stream),
            .responseTooLong(let stream), .report(let stream, _):
            precondition(open.contains(stream))
        case .failed:
            precondition(!server.isUsable)
        case .goAway, .drainExpired, .drained: break
        }
    }

    mutating func delta(_ stream: UInt32) {
        guard server.bufferedBytes(stream: stream) < 100_000 else { return }
        let bytes = [UInt8](repeating: 65, count: choices.below(9000))
        if bytes.count % 5 == 0, (1...4096).contains(bytes.count) {
            server.sendKept(stream: stream, bytes.count % 2 == 0 ? .delta : .event, payload: bytes.span.raw)
            return
        }
        server.sendDelta(stream: stream, choice: 0, kind: .text, bytes: bytes.span.raw)
    }

    mutating func close(_ stream: UInt32, _ isEnd: Bool) {
        open.removeAll { $0 == stream }
        if isEnd {
            server.end(stream: stream, End())
        } else {
            server.fail(
                stream: stream, StreamError(code: stream % 3 == 0 ? .resumeUnknown : .overloaded, text: "x"))
        }
    }

    mutating func release(_ place: Int) { server.release(stream: unreleased.remove(at: place)) }

    /// What goes out must be well-formed frames, one terminal frame a stream, nothing behind it.
    mutating func transmit() {
        server.transmit(into: &output, at: now)
        var offset = 0
        while offset < output.count {
            let header = FrameHeader(output, at: offset)
            precondition(output.count - offset >= 8 + Int(header.length))
            if header.stream != 0, header.type >= 0x20 {
                precondition(!ended.contains(header.stream), "a frame behind the terminal frame")
                if header.type == 0x23 || header.type == 0x24 { ended.insert(header.stream) }
            }
            offset += 8 + Int(header.length)
        }
        output.removeAll()
    }
}
