// What the owner says to the client, and how it leaves the house.

public import Core

extension ServerConnection {
    /// Answers HELLO: the connection is open. Version, capabilities, credit and limits in `answer` are set here.
    public mutating func accept(_ answer: consuming HelloOK, at now: Instant) {
        guard case .deciding = phase else { preconditionFailure("only a HELLO that waits can be accepted") }
        clock = now
        announcedMaximum = UInt32(shared.limits.openStreams)
        answer.version = 1
        answer.capabilities = capabilities
        answer.maximumStream = announcedMaximum
        answer.maximumFrame = UInt16(shared.limits.frameBytes)
        answer.maximumBodyKiB = UInt16(shared.limits.bodyBytes / 1024)
        answer.maximumAgeSeconds = UInt32(clamping: shared.limits.age.components.seconds)
        answer.minimumPingSeconds = UInt16(clamping: shared.limits.pingInterval.components.seconds)
        answer.encode(into: &ready, room: FrameHeader.size + Self.largestFrame)
        owesAnswer = true
        phase = .open
        entrance.lastReceived = now
        idleSince = now
        // ± 10 %, so that connections made together do not end together.
        let age = shared.limits.age.nanoseconds
        ageDue = now + .nanoseconds(age - age / 10 + Int64(chance.below(UInt64(max(1, age / 5)))))
    }

    /// Every client takes payloads of this size.
    static var largestFrame: Int { 16_376 }

    /// Answers HELLO with CONN_ERROR, or ends an open connection whose client lost its rights, behind what is ready.
    /// `violation` tells more than the code where a client may know it.
    public mutating func reject(_ code: ErrorCode, _ violation: Violation? = nil, at now: Instant) {
        switch phase {
        case .deciding, .open: break
        case .awaitingHello: preconditionFailure("a client is rejected for what it said")
        case .failed, .finished: return
        }
        clock = now
        _ = end(code, detail: (violation ?? (code == .authFailed ? .credentials : .none)).rawValue)
    }

    /// Lets the client send the rest of the stream's body: after admission. Nothing happens when the body is complete.
    public mutating func grantBody(stream: UInt32) {
        guard let slot = streams.find(stream) else { return }
        guard streams.rows[slot].flags.isDisjoint(with: [.bodyDone, .granted, .wantsGrant, .closing, .cancelled]) else {
            return
        }
        let row = streams.rows[slot]
        guard Int(row.bodyLength) > shared.limits.freeBodyBytes else { return }
        let rest = Int(row.bodyLength - row.bodyCharged)
        guard inFlightBodyBytes + rest <= shared.limits.inFlightBodyBytes else {
            streams.rows[slot].flags.insert(.wantsGrant)
            waitingGrants += 1
            return
        }
        grant(slot, rest)
    }

    private mutating func grant(_ slot: Int, _ rest: Int) {
        inFlightBodyBytes += rest
        streams.rows[slot].bodyCharged = streams.rows[slot].bodyLength
        streams.rows[slot].flags.insert(.granted)
        streams.rows[slot].bodyStart = clock
        streams.rows[slot].bodyAtStart = streams.rows[slot].bodyReceived
        noteStreamTimer(bodyDeadline(streams.rows[slot]))
        let mark = ready.beginFrame(.credit, stream: streams.rows[slot].id)
        ready.append(integer: streams.rows[slot].bodyLength)
        ready.endFrame(mark)
        openStream = 0
    }

    /// Bodies that waited for room are granted when others are done, oldest stream first.
    private mutating func grantWaiting() {
        while waitingGrants > 0 {
            var best = -1
            for slot in streams.rows.indices where streams.rows[slot].flags.contains(.wantsGrant) {
                if streams.rows[slot].id != 0, best < 0 || streams.rows[slot].id < streams.rows[best].id { best = slot }
            }
            guard best >= 0 else { return waitingGrants = 0 }
            let rest = Int(streams.rows[best].bodyLength - streams.rows[best].bodyCharged)
            guard inFlightBodyBytes + rest <= shared.limits.inFlightBodyBytes else { return }
            streams.rows[best].flags.remove(.wantsGrant)
            waitingGrants -= 1
            grant(best, rest)
        }
    }

    /// The stream's row; sending to a stream that is not open is the owner's mistake. Nil when the connection is over: what its owner
    /// still says is ignored then, because the owner's work ends later than the connection.
    @inline(__always) func expectOpen(_ stream: UInt32) -> Int? {
        guard isUsable else { return nil }
        guard let slot = streams.find(stream), !streams.rows[slot].flags.contains(.closing) else {
            preconditionFailure("only a stream that was opened and has no terminal frame can be sent to")
        }
        return slot
    }

    /// Says where the request went.
    public mutating func sendAccepted(stream: UInt32, _ accepted: Accepted) {
        guard let slot = expectOpen(stream), !streams.rows[slot].flags.contains(.cancelled) else { return }
        if streams.rows[slot].queue == nil {
            accepted.encode(into: &ready, stream: stream)
            openStream = 0
        } else {
            enqueue(slot) { accepted.encode(into: &$0, stream: stream) }
        }
    }

    /// Sends a piece of the answer. False: stop producing until `.writable`; the bytes were taken all the same.
    @discardableResult
    public mutating func sendDelta(stream: UInt32, choice: UInt8, kind: DeltaKind, bytes: RawSpan) -> Bool {
        precondition(choice < 16, "an answer has at most 16 choices")
        guard let slot = expectOpen(stream) else { return true }
        let tag = choice << 4 | kind.rawValue
        let length = bytes.byteCount
        guard length > 0 else { return streams.rows[slot].flags.isDisjoint(with: .blocked) }
        let sent = streams.rows[slot].responseSent
        if streams.rows[slot].queue == nil, length < StreamEvent.maximumPayload,
            ready.count < shared.limits.underWayBytes,
            !streams.rows[slot].flags.contains(.cancelled),
            Int(sent) + length + 1 <= min(Int(streams.rows[slot].responseGranted), shared.limits.responseBytes)
        {
            appendReady(slot, stream, tag, bytes)
            return true
        }
        return sendDeltaSlowly(slot, tag, bytes)
    }

    /// Straight into the outgoing bytes; joined to the frame before when that is the same stream's.
    @inline(__always)
    private mutating func appendReady(_ slot: Int, _ stream: UInt32, _ tag: UInt8, _ bytes: RawSpan) {
        let length = bytes.byteCount
        if openStream == stream, openTag == tag,
            ready.count - openMark - FrameHeader.size + length <= StreamEvent.maximumPayload
        {
            ready.append(bytes)
            ready.overwrite(at: openMark, with: UInt16(ready.count - openMark - FrameHeader.size))
            streams.rows[slot].responseSent &+= UInt32(length)
            return
        }
        openMark = ready.count
        openStream = stream
        openTag = tag
        let header = FrameHeader(
            length: UInt16(length + 1), type: FrameType.delta.rawValue, flags: [], stream: stream)
        ready.append(integer: header.word)
        ready.append(tag)
        ready.append(bytes)
        streams.rows[slot].responseSent &+= UInt32(length + 1)
    }

    private mutating func sendDeltaSlowly(_ slot: Int, _ tag: UInt8, _ bytes: RawSpan) -> Bool {
        guard !streams.rows[slot].flags.contains(.cancelled) else { return true }
        guard fitsResponse(slot, bytes.byteCount + 1) else { return false }
        var offset = 0
        let queue = streams.rows[slot].queue ?? openQueue(slot)
        let before = queue.bytes.count
        while offset < bytes.byteCount {
            let rest = bytes.byteCount - offset
            if queue.openFrame > 0, queue.openTag == tag,
                queue.openFrame - FrameHeader.size < StreamEvent.maximumPayload
            {
                let room = StreamEvent.maximumPayload - (queue.openFrame - FrameHeader.size)
                let part = min(room, rest)
                queue.bytes.append(bytes.extracting(offset..<offset + part))
                queue.openFrame += part
                queue.bytes.overwrite(
                    at: queue.bytes.count - queue.openFrame, with: UInt16(queue.openFrame - FrameHeader.size))
                offset += part
                continue
            }
            let header = FrameHeader(
                length: 1, type: FrameType.delta.rawValue, flags: [], stream: streams.rows[slot].id)
            queue.bytes.append(integer: header.word)
            queue.bytes.append(tag)
            queue.openFrame = FrameHeader.size + 1
            queue.openTag = tag
        }
        queued += queue.bytes.count - before
        activateIfPossible(slot)
        return reportRoom(slot)
    }

    /// Sends what is not text. False: stop producing until `.writable`; the event was taken all the same.
    @discardableResult
    public mutating func sendEvent(stream: UInt32, _ event: StreamEvent) -> Bool {
        precondition(event.choice < 16, "an answer has at most 16 choices")
        guard let slot = expectOpen(stream), !streams.rows[slot].flags.contains(.cancelled) else { return true }
        guard fitsResponse(slot, StreamEvent.maximumPayload) else { return false }
        if streams.rows[slot].queue == nil, ready.count < shared.limits.underWayBytes {
            let mark = ready.count
            event.encode(into: &ready, stream: stream)
            let sent = Int(streams.rows[slot].responseSent) + ready.count - mark - FrameHeader.size
            if sent <= Int(streams.rows[slot].responseGranted) {
                streams.rows[slot].responseSent = UInt32(sent)
                openStream = 0
                return true
            }
            ready.removeLast(ready.count - mark)
        }
        enqueue(slot) { event.encode(into: &$0, stream: stream) }
        return reportRoom(slot)
    }

    /// Ends an answer: the terminal frame goes out behind everything that was sent on the stream, whatever the credit for itself.
    public mutating func end(stream: UInt32, _ end: End) {
        guard let slot = expectOpen(stream) else { return }
        streams.rows[slot].flags.insert(.closing)
        stopBody(slot)
        grease()
        if streams.rows[slot].queue == nil {
            end.encode(into: &ready, stream: stream)
            openStream = 0
            terminalSent(slot)
        } else {
            enqueue(slot) { end.encode(into: &$0, stream: stream) }
        }
    }

    /// Ends a request that failed: what waits for credit is dropped, so that the terminal frame goes out at once.
    public mutating func fail(stream: UInt32, _ error: consuming StreamError) {
        guard let slot = expectOpen(stream) else { return }
        streams.rows[slot].flags.insert(.closing)
        stopBody(slot)
        if error.code == .resumeUnknown { refusedResumes += 1 }
        if streams.rows[slot].responseSent > 0 { error.flags.insert(.partialOutput) }
        dropQueue(slot, keepsTerminal: false)
        error.encode(into: &ready, stream: stream)
        openStream = 0
        terminalSent(slot)
    }

    /// Nothing runs upstream for the stream any more and its settlement is handed over: its credit may return. Once per request.
    public mutating func release(stream: UInt32) {
        guard isUsable else { return }
        guard let slot = streams.find(stream), !streams.rows[slot].flags.contains(.released) else {
            preconditionFailure("a stream is released once")
        }
        streams.rows[slot].flags.insert(.released)
        if streams.rows[slot].flags.contains(.terminalSent) { forget(slot) }
    }

    /// The terminal frame is on its way: the stream ends here when the owner is done with it.
    mutating func terminalSent(_ slot: Int) {
        streams.rows[slot].flags.insert(.terminalSent)
        if streams.rows[slot].flags.contains(.released) { forget(slot) }
    }

    private mutating func stopBody(_ slot: Int) {
        if streams.rows[slot].flags.contains(.wantsGrant) {
            streams.rows[slot].flags.remove(.wantsGrant)
            waitingGrants -= 1
        }
    }

    private mutating func forget(_ slot: Int) {
        inFlightBodyBytes -= Int(streams.rows[slot].bodyCharged)
        dropQueue(slot, keepsTerminal: false)
        streams.remove(slot)
        completed += 1
        if waitingGrants > 0 { grantWaiting() }
        if streams.count == 0 {
            idleSince = clock
            if case .final = leaving { pending.append(Pending(kind: .drained, stream: 0)) }
        }
    }

    /// Tells the client that new streams should go elsewhere.
    ///
    /// With `lastStream` = `UInt32.max` this is the first of two: a PING goes along, and after PONG or a second the machine sends the
    /// second GOAWAY by itself, with the highest stream it took. Any other value must be that stream, and is final at once.
    public mutating func sendGoAway(lastStream: UInt32 = .max, reason: GoAwayReason, drain: Duration) {
        guard isUsable else { return }
        switch leaving {
        case .final: return
        case .announced where lastStream == .max: return
        case .no, .announced: break
        }
        guard lastStream == .max else {
            precondition(lastStream >= highestSeen, "a stream that was taken cannot be disowned")
            return finishGoAway(reason: reason, drain: drain)
        }
        leaving = .announced(clock + shared.limits.goAwayTime, drain: drain, reason: reason)
        ageDue = .distantFuture
        control.goAway = goAway(.max, reason, drain)
        control.bits.insert(.goAway)
        queuePing()
    }

    private func goAway(_ last: UInt32, _ reason: GoAwayReason, _ drain: Duration) -> GoAway {
        GoAway(lastStream: last, reason: reason, drainMilliseconds: UInt32(clamping: drain.milliseconds))
    }

    mutating func finishGoAway(reason: GoAwayReason, drain: Duration) {
        leaving = .final(lastStream: highestSeen)
        ageDue = .distantFuture
        drainDue = clock + drain
        control.goAway = goAway(highestSeen, reason, drain)
        control.bits.insert(.goAway)
        if streams.count == 0 { pending.append(Pending(kind: .drained, stream: 0)) }
    }

    mutating func queuePing() {
        pingValue = chance.next()
        pongDue = clock + shared.limits.pongTime
        control.ping = pingValue
        control.bits.insert(.ping)
    }

    /// Tells load and wishes, when the client wants to know.
    public mutating func sendHint(_ hint: Hint) {
        guard isUsable, capabilities.contains(.hints) else { return }
        // A wish that still waits is not taken back by news of another kind.
        let waits = control.bits.contains(.hint) && control.hint.wantsRebalance
        control.hint = hint
        if waits { control.hint.wantsRebalance = true }
        control.bits.insert(.hint)
    }

    /// Sends the whole state, or what changed, to a subscriber.
    public mutating func send(stream: UInt32, _ state: StateBytes) {
        let message = state.bytes
        guard let slot = expectOpen(stream) else { return }
        precondition(streams.rows[slot].flags.contains(.subscription), "state goes to subscribers only")
        precondition(message.count <= shared.limits.stateMessageBytes, "a message of state fits its limit")
        let queue = streams.rows[slot].queue ?? openQueue(slot)
        let before = queue.bytes.count
        queue.openFrame = 0
        var offset = 0
        while offset < message.count {
            let part = min(Self.largestFrame, message.count - offset)
            let flags: FrameFlags = offset + part < message.count ? .more : []
            let mark = queue.bytes.beginFrame(state.type, stream: stream, flags: flags)
            queue.bytes.append(message.span.raw.extracting(offset..<offset + part))
            queue.bytes.endFrame(mark)
            offset += part
        }
        queued += queue.bytes.count - before
        activateIfPossible(slot)
    }

    /// Now and then, a frame that means nothing: clients that choke on it are found early. At most one a second.
    private mutating func grease() {
        guard clock - lastGrease >= .seconds(1), chance.below(1000) == 0 else { return }
        lastGrease = clock
        control.grease = chance.next()
        control.bits.insert(.grease)
    }
}
