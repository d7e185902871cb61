// What the server makes of each frame that comes in.

public import Core

extension ServerConnection {
    /// Takes at most one event out of `input`.
    public mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Event? {
        clock = now
        if let event = nextPending() { return event }
        while true {
            switch phase {
            case .awaitingHello, .open: break
            case .deciding:
                // What follows HELLO waits unread for the answer: what is kept for a stranger stays at one read.
                return nil
            case .failed, .finished:
                input.consume(input.count)
                return nil
            }
            guard let header = entrance.header(of: input, at: now, shared) else { return nil }
            do throws(WireFault) {
                try check(header)
                let size = FrameHeader.size + Int(header.length)
                guard try entrance.take(size, of: input.count, at: now, shared) else { return nil }
                let payload = input.slice(at: FrameHeader.size, count: Int(header.length))
                let event = try handle(header, payload, input)
                input.consume(size)
                if let event { return event }
            } catch {
                return fail(error.violation)
            }
        }
    }

    /// What can be said of a frame before its payload is there.
    private func check(_ header: FrameHeader) throws(WireFault) {
        guard header.flags.isKnown else { throw WireFault(.unknownFlag) }
        if case .awaitingHello = phase {
            guard header.type == FrameType.hello.rawValue else { throw WireFault(.wrongState) }
            guard Int(header.length) + FrameHeader.size <= shared.limits.helloBytes else {
                throw WireFault(.frameTooLong)
            }
        }
        guard Int(header.length) <= shared.limits.frameBytes else { throw WireFault(.frameTooLong) }
        guard header.stream >> 31 == 0 else { throw WireFault(.wrongStream) }
    }

    mutating func glitch() throws(WireFault) { try entrance.oddity(at: clock, shared) }

    private mutating func handle(
        _ header: FrameHeader, _ payload: ByteSlice, _ input: borrowing ByteBuffer
    ) throws(WireFault) -> Event? {
        // HINT may be skipped like any frame above 0x80, also by the side that never gets one.
        guard let type = FrameType(rawValue: header.type), type != .hint else {
            guard header.type & FrameType.ignorableBit != 0 else { throw WireFault(.unknownType) }
            try glitch()
            return nil
        }
        try expect(type)
        try type.check(header, agreed: capabilities)
        var reader = FieldReader(input.bytes(of: payload))
        switch type {
        case .request: return try request(header, payload, &reader)
        case .body: return try body(header, payload)
        case .credit: return try credit(header, &reader)
        case .cancel: return try cancel(header, &reader)
        case .ping, .pong:
            guard reader.remaining == 8 else { throw WireFault(.wrongFixedLength) }
            let value: UInt64 = try reader.integer()
            if type == .ping { try ping(value) } else { try pong(value) }
            return nil
        case .hello: return try hello(header, &reader)
        case .goAway: return try goAway(&reader)
        case .connectionError: return failed(try ConnectionError(&reader))
        case .subscribe: return try subscribe(header, &reader)
        case .report: return try report(header, &reader)
        case .resume: return try resume(header, &reader)
        case .helloOK, .accepted, .delta, .event, .end, .error, .snapshot, .update, .hint:
            throw WireFault(.wrongDirection)
        }
    }

    /// Who may send the frame, and whether the connection is in a state for it: before anything else of it is looked at.
    private func expect(_ type: FrameType) throws(WireFault) {
        switch type.sender {
        case .client, .both: break
        case .service: guard role != .node else { throw WireFault(.wrongDirection) }
        case .server: throw WireFault(.wrongDirection)
        }
        switch (phase, type) {
        case (.awaitingHello, .hello): break
        case (.open, .request), (.open, .resume), (.open, .subscribe):
            guard !peerLeaves else { throw WireFault(.wrongState) }
        case (.awaitingHello, _), (.deciding, _), (_, .hello): throw WireFault(.wrongState)
        case (.open, _), (.failed, _), (.finished, _): break
        }
    }

    private mutating func hello(_ header: FrameHeader, _ reader: inout FieldReader) throws(WireFault) -> Event? {
        let hello = try Hello(&reader, flags: header.flags)
        guard hello.minimumVersion <= 1, hello.maximumVersion >= 1 else { throw WireFault(.versionRange) }
        phase = .deciding
        helloDue = .distantFuture
        window = UInt32(hello.windowKiB) * 1024
        role = hello.role
        capabilities = hello.capabilities.intersection(offered)
        return .hello(hello)
    }

    /// The client opens no more streams: the connection finishes with the last one.
    private mutating func goAway(_ reader: inout FieldReader) throws(WireFault) -> Event? {
        let message = try GoAway(&reader)
        // A server opens no streams, so there is none to disown.
        guard message.lastStream == 0 else { throw WireFault(.fieldValue) }
        guard !peerLeaves else {
            try glitch()
            return nil
        }
        peerLeaves = true
        return .goAway(message)
    }

    private mutating func ping(_ value: UInt64) throws(WireFault) {
        try entrance.ping(at: clock, shared)
        control.pong = value
        control.bits.insert(.pong)
    }

    private mutating func pong(_ value: UInt64) throws(WireFault) {
        guard pongDue != .distantFuture else { throw WireFault(.unaskedPong) }
        guard value == pingValue else { return }
        pongDue = .distantFuture
        if case .announced(_, let drain, let reason) = leaving { finishGoAway(reason: reason, drain: drain) }
    }

    /// The id of a new stream must be the last one plus one, within credit and rate.
    mutating func open(_ header: FrameHeader) throws(WireFault) -> Bool {
        guard header.stream == highestSeen &+ 1 else { throw WireFault(.streamNotNext) }
        guard header.stream <= shared.limits.streamsPerConnection else {
            throw WireFault(.streamsUsedUp)
        }
        guard header.stream <= announcedMaximum else { throw WireFault(.streamCredit) }
        guard streamRate.take(shared.streamCost, depth: 1_000_000_000, at: clock) else {
            throw WireFault(.streamRate)
        }
        highestSeen = header.stream
        if case .final = leaving { return false }
        return true
    }

    private mutating func request(
        _ header: FrameHeader, _ payload: ByteSlice, _ reader: inout FieldReader
    ) throws(WireFault) -> Event? {
        let isTaken = try open(header)
        let head = try RequestHead(&reader)
        // Without the capability the bit has no meaning.
        guard !head.flags.contains(.resumable) || canResume else { throw WireFault(.reservedNotZero) }
        let first = payload.dropFirst(reader.offset)
        let isComplete = !header.flags.contains(.more)
        guard first.count <= Int(head.bodyLength), isComplete == (first.count == Int(head.bodyLength)) else {
            throw WireFault(.bodyLength)
        }
        // Above the last stream of our GOAWAY: the client knows that it was not processed; nothing is kept.
        guard isTaken else { return nil }
        guard first.count <= shared.limits.freeBodyBytes else { throw WireFault(.bodyCredit) }
        guard Int(head.bodyLength) <= shared.limits.bodyBytes else {
            refuse(header.stream, head.bodyLength)
            return nil
        }
        var row = ServerStream(id: header.stream, priority: head.priority, window: window, at: clock)
        row.bodyLength = head.bodyLength
        row.bodyReceived = UInt32(first.count)
        row.bodyCharged = min(head.bodyLength, UInt32(shared.limits.freeBodyBytes))
        if isComplete { row.flags.insert(.bodyDone) } else { noteStreamTimer(bodyDeadline(row)) }
        inFlightBodyBytes += Int(row.bodyCharged)
        _ = streams.insert(row)
        return .request(stream: header.stream, head: head, body: first, isComplete: isComplete)
    }

    /// A body that is declared too long costs one frame and no memory.
    private mutating func refuse(_ stream: UInt32, _ declared: UInt32) {
        let error = StreamError(
            code: .tooLarge, text: "the body has \(declared) bytes; at most \(shared.limits.bodyBytes) are taken",
            field: "body")
        error.encode(into: &ready, stream: stream)
        openStream = 0
        completed += 1
    }

    private mutating func body(_ header: FrameHeader, _ payload: ByteSlice) throws(WireFault) -> Event? {
        guard header.stream <= highestSeen else { throw WireFault(.unknownStream) }
        guard payload.count > 0 else { throw WireFault(.emptyPayload) }
        let isComplete = !header.flags.contains(.more)
        guard isComplete || payload.count >= shared.limits.bodyFragmentBytes else {
            throw WireFault(.smallFragment)
        }
        // Behind its terminal frame or CANCEL, what was already under way is dropped.
        guard let slot = streams.find(header.stream) else { return nil }
        if !streams.rows[slot].flags.isDisjoint(with: [.closing, .cancelled]) { return nil }
        guard !streams.rows[slot].flags.contains(.bodyDone) else { throw WireFault(.bodyLength) }
        let row = streams.rows[slot]
        let received = Int(row.bodyReceived) + payload.count
        let allowed = row.flags.contains(.granted) ? Int(row.bodyLength) : shared.limits.freeBodyBytes
        guard received <= Int(row.bodyLength) else { throw WireFault(.bodyLength) }
        guard received <= allowed else { throw WireFault(.bodyCredit) }
        guard isComplete == (received == Int(row.bodyLength)) else { throw WireFault(.bodyLength) }
        streams.rows[slot].bodyReceived = UInt32(received)
        if isComplete { streams.rows[slot].flags.insert(.bodyDone) }
        return .body(stream: header.stream, payload, isComplete: isComplete)
    }

    private mutating func credit(_ header: FrameHeader, _ reader: inout FieldReader) throws(WireFault) -> Event? {
        // Stream credit is the server's to give.
        guard header.stream != 0 else { throw WireFault(.wrongStream) }
        guard header.stream <= highestSeen else { throw WireFault(.unknownStream) }
        guard reader.remaining == 4 else { throw WireFault(.wrongFixedLength) }
        let value: UInt32 = try reader.integer()
        creditFrames += 1
        guard creditFrames <= shared.limits.creditFrames + 2 * Int(sentBytes / 4096) else {
            throw WireFault(.creditFrames)
        }
        guard let slot = streams.find(header.stream) else { return nil }
        guard value > streams.rows[slot].responseGranted else {
            try glitch()
            return nil
        }
        streams.rows[slot].responseGranted = value
        if streams.rows[slot].queue != nil { activateIfPossible(slot) }
        return nil
    }

    private mutating func cancel(_ header: FrameHeader, _ reader: inout FieldReader) throws(WireFault) -> Event? {
        guard header.stream <= highestSeen else { throw WireFault(.unknownStream) }
        guard reader.remaining == 1 else { throw WireFault(.wrongFixedLength) }
        guard let reason = CancelReason(rawValue: try reader.integer()) else { throw WireFault(.fieldValue) }
        guard let slot = streams.find(header.stream) else { return nil }
        if streams.rows[slot].flags.contains(.cancelled) || clock - streams.rows[slot].opened < .seconds(1) {
            try glitch()
        }
        guard !streams.rows[slot].flags.contains(.cancelled) else { return nil }
        streams.rows[slot].flags.insert(.cancelled)
        // Nobody waits for what is queued; a terminal frame behind it is kept.
        dropQueue(slot, keepsTerminal: true)
        guard !streams.rows[slot].flags.contains(.closing) else { return nil }
        return .cancel(stream: header.stream, reason: reason)
    }

    private mutating func subscribe(_ header: FrameHeader, _ reader: inout FieldReader) throws(WireFault) -> Event? {
        let isTaken = try open(header)
        let message = try Subscribe(&reader, flags: header.flags)
        guard isTaken else { return nil }
        var row = ServerStream(id: header.stream, priority: .interactive, window: window, at: clock)
        row.flags = [.subscription, .bodyDone]
        _ = streams.insert(row)
        return .subscribe(stream: header.stream, message)
    }

    private mutating func report(_ header: FrameHeader, _ reader: inout FieldReader) throws(WireFault) -> Event? {
        guard header.stream <= highestSeen else { throw WireFault(.unknownStream) }
        let report = try Report(&reader)
        guard let slot = streams.find(header.stream), !streams.rows[slot].flags.contains(.closing) else { return nil }
        guard streams.rows[slot].flags.contains(.subscription) else { throw WireFault(.wrongStream) }
        return .report(stream: header.stream, report)
    }

    /// The peer will send no more bytes: there is no half-closed state.
    public mutating func inputEnded(at now: Instant) -> Event? {
        clock = now
        switch phase {
        case .failed, .finished:
            phase = .finished
            return nil
        case .awaitingHello, .deciding, .open: break
        }
        let isClean = streams.count == 0 && entrance.partialDue == .distantFuture && isUsable
        phase = .finished
        if isClean { return nil }
        let detail = Violation.transportEnded.rawValue
        return .failed(
            ConnectionError(code: .connectionLost, detail: detail, lastStream: highestSeen, origin: .transport))
    }

    /// This side found a mistake: CONN_ERROR is the last thing it says.
    mutating func fail(_ violation: Violation) -> Event? {
        // A version error tells what would have worked: lowest × 256 + highest.
        end(violation.code, detail: violation == .versionRange ? 0x0101 : violation.rawValue)
    }

    /// The connection ends with CONN_ERROR.
    mutating func end(_ code: ErrorCode, detail: UInt16) -> Event {
        let error = ConnectionError(code: code, detail: detail, lastStream: highestStream)
        control.failure = error
        control.bits.insert(.failure)
        return failed(error)
    }

    private mutating func failed(_ error: ConnectionError) -> Event {
        // CONN_ERROR goes out behind what is ready; what waits for credit is dropped with the streams.
        phase = .failed
        pending = []
        streams = StreamTable()
        active = RowList()
        queued = 0
        return .failed(error)
    }
}
