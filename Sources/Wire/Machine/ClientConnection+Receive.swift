// What the client makes of each frame that comes in.

public import Core

extension ClientConnection {
    /// Takes at most one event out of `input`.
    public mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Event? {
        clock = now
        if hasLost, let event = nextLost() { return event }
        while true {
            switch phase {
            case .awaitingAnswer, .open: break
            case .failed, .finished:
                input.consume(input.count)
                return nil
            }
            guard let header = entrance.header(of: input, at: now, shared) else { return nil }
            do throws(WireFault) {
                guard header.flags.isKnown else { throw WireFault(.unknownFlag) }
                guard Int(header.length) <= max(shared.limits.frameBytes, ServerConnection.largestFrame) else {
                    throw WireFault(.frameTooLong)
                }
                guard header.stream >> 31 == 0 else { throw WireFault(.wrongStream) }
                let size = FrameHeader.size + Int(header.length)
                guard try entrance.take(size, of: input.count, costShift: 2, at: now, shared) else { return nil }
                let payload = input.slice(at: FrameHeader.size, count: Int(header.length))
                let event =
                    header.type == FrameType.delta.rawValue && isUsable
                    ? try delta(header, payload, input) : try handle(header, payload, input)
                input.consume(size)
                if let event { return event }
                if hasLost, let event = nextLost() { return event }
            } catch {
                return fail(error.violation)
            }
        }
    }

    private mutating func glitch() throws(WireFault) { try entrance.oddity(at: clock, shared) }

    private mutating func delta(
        _ header: FrameHeader, _ payload: ByteSlice, _ input: borrowing ByteBuffer
    ) throws(WireFault) -> Event? {
        guard header.flags.isEmpty else { throw WireFault(.unknownFlag) }
        let slot = try stream(header)
        guard payload.count > 1, payload.count <= StreamEvent.maximumPayload else {
            throw payload.count > 1 ? WireFault(.frameTooLong) : WireFault(.emptyPayload)
        }
        let tag = input.byte(at: FrameHeader.size)
        guard let kind = DeltaKind(rawValue: tag & 0x0F) else { throw WireFault(.fieldValue) }
        try take(slot, payload.count)
        if streams.rows[slot].flags.contains(.cancelled) { return nil }
        return .delta(stream: header.stream, choice: tag >> 4, kind: kind, bytes: payload.dropFirst(1))
    }

    /// The row of an open stream; frames behind a terminal frame or ahead of an opening are the server's mistake.
    @inline(__always) private func stream(_ header: FrameHeader) throws(WireFault) -> Int {
        guard header.stream != 0 else { throw WireFault(.wrongStream) }
        guard let slot = streams.find(header.stream) else {
            guard header.stream <= lastOpened else { throw WireFault(.unknownStream) }
            throw WireFault(.afterTerminal)
        }
        return slot
    }

    /// Charges response bytes against the credit that was granted.
    @inline(__always) private mutating func take(_ slot: Int, _ bytes: Int) throws(WireFault) {
        let received = Int(streams.rows[slot].received) + bytes
        guard received <= Int(streams.rows[slot].granted) else { throw WireFault(.responseCredit) }
        streams.rows[slot].received = UInt32(received)
        // Nobody reads a cancelled stream, and an event's own bytes never wait for a reader.
        if case .automatic = responseCredit {
            streams.rows[slot].consumed = UInt32(received)
            grantResponse(slot)
        } else if streams.rows[slot].flags.contains(.cancelled) {
            streams.rows[slot].consumed = UInt32(received)
            grantResponse(slot)
        } else {
            streams.rows[slot].consumed += 1
        }
    }

    private mutating func handle(
        _ header: FrameHeader, _ payload: ByteSlice, _ input: borrowing ByteBuffer
    ) throws(WireFault) -> Event? {
        guard let type = FrameType(rawValue: header.type), type != .hint || capabilities.contains(.hints) else {
            guard header.type & FrameType.ignorableBit != 0 else { throw WireFault(.unknownType) }
            // The answer to HELLO comes first, ahead of frames that mean nothing, too.
            if case .awaitingAnswer = phase { throw WireFault(.wrongState) }
            try glitch()
            return nil
        }
        try expect(type)
        try type.check(header, agreed: capabilities)
        var reader = FieldReader(input.bytes(of: payload))
        switch type {
        case .end:
            let slot = try stream(header)
            let end = try End(&reader, flags: header.flags)
            close(slot)
            return .end(stream: header.stream, end)
        case .error:
            let slot = try stream(header)
            let error = try StreamError(&reader, flags: header.flags)
            close(slot)
            return .error(stream: header.stream, error)
        case .accepted:
            let slot = try stream(header)
            let accepted = try Accepted(&reader, flags: header.flags)
            return streams.rows[slot].flags.contains(.cancelled)
                ? nil : .accepted(stream: header.stream, accepted)
        case .event:
            let slot = try stream(header)
            let event = try StreamEvent(&reader)
            try take(slot, payload.count)
            if case .manual = responseCredit, !streams.rows[slot].flags.contains(.cancelled) {
                streams.rows[slot].consumed += UInt32(payload.count - 1)
                grantResponse(slot)
            }
            return streams.rows[slot].flags.contains(.cancelled) ? nil : .event(stream: header.stream, event)
        case .credit: return try credit(header, &reader)
        case .snapshot, .update: return try state(type, header, &reader)
        case .helloOK, .ping, .pong, .goAway, .connectionError, .hint:
            return try connectionFrame(type, header, &reader)
        case .delta, .hello, .request, .body, .cancel, .resume, .subscribe, .report:
            throw WireFault(.wrongDirection)
        }
    }

    /// Who may send the frame, and whether the connection is in a state for it: before anything else of it is looked at.
    private func expect(_ type: FrameType) throws(WireFault) {
        switch type.sender {
        case .server, .both: break
        case .client, .service: throw WireFault(.wrongDirection)
        }
        switch (phase, type) {
        case (.awaitingAnswer, .helloOK), (.awaitingAnswer, .connectionError): break
        case (.awaitingAnswer, _), (.open, .helloOK): throw WireFault(.wrongState)
        case (.open, _), (.failed, _), (.finished, _): break
        }
    }

    private mutating func connectionFrame(
        _ type: FrameType, _ header: FrameHeader, _ reader: inout FieldReader
    ) throws(WireFault) -> Event? {
        switch type {
        case .helloOK: return try answer(&reader, header.flags)
        case .goAway: return goAway(try GoAway(&reader))
        case .hint: return .hint(try Hint(&reader))
        case .connectionError: return failed(try ConnectionError(&reader))
        default: break
        }
        guard reader.remaining == 8 else { throw WireFault(.wrongFixedLength) }
        let value: UInt64 = try reader.integer()
        if type == .ping {
            try entrance.ping(at: clock, shared)
            control.pong = value
            control.bits.insert(.pong)
        } else {
            guard pongDue != .distantFuture else { throw WireFault(.unaskedPong) }
            if value == pingValue { pongDue = .distantFuture }
        }
        return nil
    }

    private mutating func answer(_ reader: inout FieldReader, _ flags: FrameFlags) throws(WireFault) -> Event? {
        let answer = try HelloOK(&reader, flags: flags)
        guard answer.version == 1 else { throw WireFault(.versionRange) }
        guard offered.isSuperset(of: answer.capabilities) else { throw WireFault(.fieldValue) }
        phase = .open
        answerDue = .distantFuture
        maximumStream = answer.maximumStream
        maximumFrame = min(ServerConnection.largestFrame, Int(answer.maximumFrame))
        maximumBody = Int(answer.maximumBodyKiB) * 1024
        capabilities = answer.capabilities
        return .ready(answer)
    }

    private mutating func goAway(_ message: GoAway) -> Event? {
        if !message.isAnnouncement {
            goAwayLast = min(goAwayLast, message.lastStream)
            hasLost = lastOpened > goAwayLast
        }
        return .goAway(message)
    }

    /// Streams above the GOAWAY's id were not processed: each is handed back once.
    private mutating func nextLost() -> Event? {
        var lowest = -1
        for slot in streams.rows.indices where streams.rows[slot].id > goAwayLast {
            if lowest < 0 || streams.rows[slot].id < streams.rows[lowest].id { lowest = slot }
        }
        guard lowest >= 0 else {
            hasLost = false
            return nil
        }
        let id = streams.rows[lowest].id
        close(lowest)
        return .error(stream: id, StreamError(code: .draining))
    }

    private mutating func close(_ slot: Int) {
        stopSending(slot)
        streams.remove(slot)
    }

    private mutating func credit(_ header: FrameHeader, _ reader: inout FieldReader) throws(WireFault) -> Event? {
        guard header.stream <= lastOpened else { throw WireFault(.unknownStream) }
        guard reader.remaining == 4 else { throw WireFault(.wrongFixedLength) }
        let value: UInt32 = try reader.integer()
        if header.stream == 0 {
            guard value >> 31 == 0 else { throw WireFault(.fieldValue) }
            guard value > maximumStream else {
                try glitch()
                return nil
            }
            maximumStream = value
            return .streamCredit(available: availableStreams)
        }
        // Behind a terminal frame or CANCEL the body is gone.
        guard let slot = streams.find(header.stream) else { return nil }
        guard value > streams.rows[slot].bodyGranted else {
            try glitch()
            return nil
        }
        streams.rows[slot].bodyGranted = value
        sendBodyIfPossible(slot)
        return nil
    }

    /// Collects the fragments of SNAPSHOT and UPDATE; memory grows with what came, not with what was promised.
    private mutating func state(
        _ type: FrameType, _ header: FrameHeader, _ reader: inout FieldReader
    ) throws(WireFault) -> Event? {
        let slot = try stream(header)
        guard streams.rows[slot].flags.contains(.subscription) else { throw WireFault(.wrongStream) }
        let isAssembling = streams.rows[slot].flags.contains(.assembling)
        guard !isAssembling || streams.rows[slot].assembled == type.rawValue else {
            throw WireFault(.wrongState)
        }
        let isLast = !header.flags.contains(.more)
        if isLast, !isAssembling { return try message(type, header.stream, reader.span) }
        let queue = streams.rows[slot].queue ?? FrameQueue()
        guard queue.bytes.count + reader.remaining <= shared.limits.stateMessageBytes else {
            throw WireFault(.messageTooLong)
        }
        guard isLast || reader.remaining >= shared.limits.bodyFragmentBytes else {
            throw WireFault(.smallFragment)
        }
        queue.bytes.append(reader.span)
        guard isLast else {
            streams.rows[slot].queue = queue
            streams.rows[slot].assembled = type.rawValue
            streams.rows[slot].flags.insert(.assembling)
            return nil
        }
        streams.rows[slot].queue = nil
        streams.rows[slot].flags.remove(.assembling)
        return try Self.message(type, header.stream, queue.bytes)
    }

    private static func message(
        _ type: FrameType, _ stream: UInt32, _ bytes: borrowing ByteBuffer
    ) throws(WireFault) -> Event {
        type == .snapshot
            ? .snapshot(stream: stream, try StateMessage.snapshot(bytes.bytes))
            : .update(stream: stream, try StateMessage.update(bytes.bytes))
    }

    private func message(_ type: FrameType, _ stream: UInt32, _ bytes: RawSpan) throws(WireFault) -> Event {
        type == .snapshot
            ? .snapshot(stream: stream, try StateMessage.snapshot(bytes))
            : .update(stream: stream, try StateMessage.update(bytes))
    }

    /// The peer will send no more bytes: there is no half-closed state.
    public mutating func inputEnded(at now: Instant) -> Event? {
        clock = now
        switch phase {
        case .failed, .finished:
            phase = .finished
            return nil
        case .awaitingAnswer, .open: break
        }
        let isClean = streams.count == 0 && entrance.partialDue == .distantFuture && isUsable
        phase = .finished
        if isClean { return nil }
        let detail = Violation.transportEnded.rawValue
        return .failed(
            ConnectionError(code: .connectionLost, detail: detail, lastStream: lastOpened, origin: .transport))
    }

    mutating func fail(_ violation: Violation) -> Event? {
        let error = ConnectionError(code: violation.code, detail: violation.rawValue, lastStream: 0)
        control.failure = error
        control.bits.insert(.failure)
        return failed(error)
    }

    private mutating func failed(_ error: ConnectionError) -> Event {
        phase = .failed
        hasLost = false
        return .failed(error)
    }

    /// When `advance` must be called at the latest.
    public var deadline: Instant? {
        let due: Instant
        switch phase {
        case .failed, .finished: return nil
        case .awaitingAnswer: due = min(answerDue, entrance.partialDue)
        case .open:
            let ping = pongDue == .distantFuture ? entrance.lastReceived + shared.limits.pingIdle : pongDue
            due = hasLost ? clock : min(entrance.partialDue, ping)
        }
        return due == .distantFuture ? nil : due
    }

    /// A deadline passed.
    public mutating func advance(to now: Instant) -> Event? {
        clock = now
        switch phase {
        case .failed, .finished: return nil
        case .awaitingAnswer:
            if now >= answerDue { return fail(.helloTimeout) }
            return now >= entrance.partialDue ? fail(.partialFrame) : nil
        case .open: break
        }
        if hasLost, let event = nextLost() { return event }
        if now >= entrance.partialDue { return fail(.partialFrame) }
        if now >= pongDue { return fail(.pingTimeout) }
        if pongDue == .distantFuture, now >= entrance.lastReceived + shared.limits.pingIdle {
            pingValue = chance.next()
            pongDue = now + shared.limits.pongTime
            control.ping = pingValue
            control.bits.insert(.ping)
            streams.trim()
            ready.releaseIfEmpty()
        }
        return nil
    }
}
