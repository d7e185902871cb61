// What happens because time passes: deadlines, keep-alive, age, and the reports that wait for the owner.

public import Core

extension ServerConnection {
    /// When `advance` must be called at the latest.
    public var deadline: Instant? {
        switch phase {
        case .failed, .finished: return nil
        case .awaitingHello: return min(helloDue, entrance.partialDue)
        case .deciding: return nil
        case .open: break
        }
        if !pending.isEmpty { return clock }
        var due = min(min(entrance.partialDue, pongDue), min(ageDue, drainDue))
        due = min(due, min(writeStallDue, streamsDue))
        if pongDue == .distantFuture { due = min(due, entrance.lastReceived + shared.limits.pingIdle) }
        switch leaving {
        case .no: if streams.count == 0 { due = min(due, idleSince + shared.limits.idleTime) }
        case .announced(let until, _, _): due = min(due, until)
        case .final: break
        }
        return due == .distantFuture ? nil : due
    }

    /// A deadline passed.
    public mutating func advance(to now: Instant) -> Event? {
        clock = now
        if let event = nextPending() { return event }
        switch phase {
        case .deciding, .failed, .finished: return nil
        case .awaitingHello:
            if now >= helloDue { return fail(.helloTimeout) }
            return now >= entrance.partialDue ? fail(.partialFrame) : nil
        case .open: break
        }
        if now >= entrance.partialDue { return fail(.partialFrame) }
        if now >= pongDue { return fail(.pingTimeout) }
        if now >= writeStallDue { return fail(.writeStall) }
        if pongDue == .distantFuture, now >= entrance.lastReceived + shared.limits.pingIdle {
            queuePing()
            trim()
        }
        advanceLeaving(now)
        if now >= streamsDue { checkStreams(now) }
        if queued > shared.limits.queuedBytesHard { return fail(.outboundQueue) }
        return nextPending()
    }

    private mutating func advanceLeaving(_ now: Instant) {
        switch leaving {
        case .no:
            if now >= ageDue {
                sendGoAway(reason: .age, drain: shared.limits.drainTime)
            } else if streams.count == 0, now >= idleSince + shared.limits.idleTime {
                sendGoAway(reason: .idle, drain: shared.limits.drainTime)
            }
        case .announced(let until, let drain, let reason):
            if now >= until { finishGoAway(reason: reason, drain: drain) }
        case .final:
            if now >= drainDue {
                drainDue = .distantFuture
                if streams.count > 0 { pending.append(Pending(kind: .drainExpired, stream: 0)) }
            }
        }
    }

    /// An idle connection holds next to nothing.
    private mutating func trim() {
        streams.trim()
        ready.releaseIfEmpty()
        spareQueue = nil
        if pending.isEmpty { pending = [] }
    }

    mutating func noteWriteStall() {
        if writeStallDue == .distantFuture { writeStallDue = clock + shared.limits.writeStallTime }
    }

    mutating func noteStreamTimer(_ due: Instant) { streamsDue = min(streamsDue, due) }

    /// When the body must be further than it is: ten seconds at most, and 4 KiB/s after two seconds.
    func bodyDeadline(_ row: ServerStream) -> Instant {
        let came = Int64(row.bodyReceived - row.bodyAtStart)
        let earned =
            Duration.seconds(2) + .nanoseconds(came * 1_000_000_000 / Int64(max(1, shared.limits.bodyBytesPerSecond)))
        return row.bodyStart + min(earned, shared.limits.bodyTime)
    }

    /// True while it is the client's turn to send body bytes.
    private func isBodyAwaited(_ row: ServerStream) -> Bool {
        guard row.flags.isDisjoint(with: [.bodyDone, .closing, .cancelled]) else { return false }
        // A client that sent what is free and cannot send a whole fragment more waits for CREDIT.
        let free = shared.limits.freeBodyBytes
        let isFreeSpent = Int(row.bodyReceived) + shared.limits.bodyFragmentBytes > free && Int(row.bodyLength) > free
        return row.flags.contains(.granted) || !isFreeSpent
    }

    /// Looks at the clocks of all streams; rare, because only the earliest one is kept.
    private mutating func checkStreams(_ now: Instant) {
        streamsDue = .distantFuture
        for slot in streams.rows.indices where streams.rows[slot].id != 0 {
            let row = streams.rows[slot]
            if row.stalledSince != .distantFuture {
                let due = row.stalledSince + shared.limits.creditStallTime
                if now >= due { creditStalled(slot) } else { noteStreamTimer(due) }
            }
            guard isBodyAwaited(row), !row.flags.contains(.reported) else { continue }
            let due = bodyDeadline(row)
            if now < due {
                noteStreamTimer(due)
            } else {
                streams.rows[slot].flags.insert(.reported)
                pending.append(Pending(kind: .slowBody, stream: row.id))
            }
        }
    }

    /// Thirty seconds without credit: the owner fails the stream; when it has already ended it, END becomes ERROR here.
    private mutating func creditStalled(_ slot: Int) {
        streams.rows[slot].stalledSince = .distantFuture
        guard streams.rows[slot].flags.contains(.closing) else {
            pending.append(Pending(kind: .slowConsumer, stream: streams.rows[slot].id))
            return
        }
        guard let queue = streams.rows[slot].queue, let end = Self.queuedEnd(in: queue.bytes) else { return }
        let error = StreamError(
            code: .slowConsumer, flags: [.upstreamStarted, .billed, .partialOutput], inputTokens: end.inputTokens,
            outputTokens: end.outputTokens, costMicroUSD: end.costMicroUSD, provider: end.provider,
            text: "no credit for \(shared.limits.creditStallTime)")
        dropQueue(slot, keepsTerminal: false)
        error.encode(into: &ready, stream: streams.rows[slot].id)
        terminalSent(slot)
    }

    private static func queuedEnd(in bytes: borrowing ByteBuffer) -> End? {
        guard let place = terminal(in: bytes) else { return nil }
        var reader = FieldReader(bytes.bytes.extracting(place.lowerBound + FrameHeader.size..<place.upperBound))
        return try? End(&reader, flags: FrameHeader(bytes, at: place.lowerBound).flags)
    }

    /// The oldest report that still concerns anybody.
    mutating func nextPending() -> Event? {
        while !pending.isEmpty {
            let report = pending.removeFirst()
            switch report.kind {
            case .drained: return .drained
            case .drainExpired: return .drainExpired
            case .writable: if isOpen(stream: report.stream) { return .writable(stream: report.stream) }
            case .slowConsumer: if isOpen(stream: report.stream) { return .slowConsumer(stream: report.stream) }
            case .slowBody: if isOpen(stream: report.stream) { return .slowBody(stream: report.stream) }
            case .responseTooLong:
                if isOpen(stream: report.stream) { return .responseTooLong(stream: report.stream) }
            }
        }
        return nil
    }
}
