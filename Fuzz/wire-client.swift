// A client machine before any server: raw bytes, frames with true headers, and every call of its owner, in any order.
// Rooms: Core Wire
import Core
import Wire

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ pointer: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    var fuzzer = ClientFuzzer(Input(pointer, count))
    fuzzer.run()
    return 0
}

struct ClientFuzzer: ~Copyable {
    var choices: Input
    var client: ClientConnection
    var now = Instant(nanoseconds: 0)
    var input = ByteBuffer()
    var output = ByteBuffer()
    var open: [UInt32: Int] = [:]
    var last: UInt32 = 0
    let isNode: Bool

    init(_ choices: Input) {
        self.choices = choices
        isNode = self.choices.below(3) == 0
        let hello =
            isNode
            ? Hello(role: .node, authentication: .certificate)
            : Hello(apiKey: [65], capabilities: .supported)
        let isManual = self.choices.below(2) == 0
        client = ClientConnection(hello: hello, at: now, seed: 5, responseCredit: isManual ? .manual : .automatic)
    }

    mutating func run() {
        if choices.below(8) > 0 {
            var answer: [UInt8] = [1, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, isNode ? 6 : 7]
            answer +=
                [UInt8](repeating: 0, count: 12) + [0, 0, 0, 9] + [0x3F, 0xF8, 4, 0] + [UInt8](repeating: 0, count: 8)
            frame(2, 0, 0, answer)
        }
        var steps = 0
        while !choices.isEmpty, steps < 2000 {
            steps += 1
            step()
            precondition(input.count <= 65_536 + 8)
            precondition(client.openStreams == open.count || !client.isUsable)
        }
    }

    mutating func step() {
        switch choices.below(12) {
        case 0: feed(choices.run(choices.below(64)))
        case 1, 2: frame(choices.byte(), choices.byte(), stream(), choices.run(choices.below(300)))
        case 3: frame(0x21, 0, stream(), [choices.byte()] + choices.run(choices.below(200)))
        case 4: frame(0x23, 0, stream(), [choices.byte() % 6, 0] + [UInt8](repeating: 0, count: 30))
        case 5: frame(0x31, choices.byte() & 1, stream(), choices.run(choices.below(5000)))
        case 6: frame(5, 0, choices.below(2) == 0 ? 0 : stream(), [0, 0] + choices.run(2))
        case 7, 8: open_()
        case 9: client.cancel(stream: stream())
        case 10:
            client.transmit(into: &output, at: now)
            output.removeAll()
        default:
            now = Instant(nanoseconds: now.nanoseconds + Int64(choices.word()) * 1_000_000)
            while let due = client.deadline, due <= now, let event = client.advance(to: now) { handle(event) }
        }
    }

    mutating func open_() {
        if isNode {
            if let stream = client.subscribe(Subscribe(node: 1, incarnation: 2)) { open[stream] = 0 }
            return
        }
        guard client.isUsable else { return }
        if last % 4 == 3 {
            let id = Identifier128(high: 1, low: 2)
            guard let stream = client.resume(id, received: 40, consumed: 39, at: now) else { return }
            precondition(stream == last + 1 && client.progress(stream: stream)?.received == 40)
            last = stream
            open[stream] = 0
            return
        }
        let head = RequestHead(idempotencyKey: Identifier128(high: 1, low: 2), model: "m")
        let body = [UInt8](repeating: 1, count: min(choices.below(40_000), client.maximumBodyBytes))
        if let stream = client.request(head, body: body.span.raw, at: now) {
            precondition(stream == last + 1)
            last = stream
            open[stream] = 0
        }
    }

    mutating func stream() -> UInt32 { UInt32(choices.below(12)) }

    mutating func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) {
        var frame: [UInt8] = [UInt8(payload.count >> 8), UInt8(payload.count & 0xFF), type, flags]
        for shift in [24, 16, 8, 0] as [UInt32] { frame.append(UInt8(truncatingIfNeeded: stream >> shift)) }
        feed(frame + payload)
    }

    mutating func feed(_ bytes: [UInt8]) {
        guard client.wantsInput else { return }
        input.append(bytes)
        while let event = client.receive(&input, at: now) { handle(event) }
    }

    mutating func handle(_ event: ClientConnection.Event) {
        switch event {
        case .delta(let stream, _, _, let bytes):
            precondition(input.bytes(of: bytes).byteCount == bytes.count && open[stream] != nil)
            client.consumed(stream: stream, bytes: bytes.count)
        case .accepted(let stream, _), .event(let stream, _), .snapshot(let stream, _), .update(let stream, _):
            precondition(open[stream] != nil)
        case .end(let stream, _), .error(let stream, _):
            precondition(open.removeValue(forKey: stream) != nil, "two terminal frames")
        case .failed: precondition(!client.isUsable)
        case .ready, .streamCredit, .goAway, .hint: break
        }
    }
}
