// What the owner asks of the server.

public import Core

extension ClientConnection {
    /// Opens a stream. Nil when there is no stream credit at present, or the server is going away: wait for `.streamCredit`,
    /// or use another connection. `head.bodyLength` is set here.
    ///
    /// - Precondition: the body is not longer than `maximumBodyBytes`.
    public mutating func request(_ head: consuming RequestHead, body: RawSpan, at now: Instant) -> UInt32? {
        guard availableStreams > 0 else { return nil }
        precondition(body.byteCount <= maximumBody, "a body is not longer than the server takes")
        precondition(role != .node, "a node asks its coordinator for configuration only")
        precondition(canResume || !head.flags.contains(.resumable), "only what was agreed on can be asked for")
        clock = now
        head.bodyLength = UInt32(body.byteCount)
        lastOpened += 1
        var row = ClientStream(id: lastOpened, window: window, freeBody: min(16_384, shared.limits.freeBodyBytes))
        let room = min(Int(row.bodyGranted), maximumFrame - head.encodedSize)
        let first = min(body.byteCount, room)
        let isComplete = first == body.byteCount
        let mark = ready.beginFrame(.request, stream: lastOpened, flags: isComplete ? [] : .more)
        head.encode(into: &ready)
        ready.append(isComplete ? body : body.extracting(0..<first))
        ready.endFrame(mark)
        row.bodySent = UInt32(first)
        if !isComplete {
            let queue = FrameQueue()
            queue.bytes.append(body.extracting(first..<body.byteCount))
            row.queue = queue
        }
        let slot = streams.insert(row)
        if !isComplete { sendBodyIfPossible(slot) }
        return lastOpened
    }

    /// Says that the answer is not wanted. Nothing but the terminal frame is handed out for the stream from here on.
    public mutating func cancel(stream: UInt32, reason: CancelReason = .unwanted) {
        guard isUsable, let slot = streams.find(stream), !streams.rows[slot].flags.contains(.cancelled) else { return }
        streams.rows[slot].flags.insert(.cancelled)
        stopSending(slot)
        let mark = ready.beginFrame(.cancel, stream: stream)
        ready.append(reason.rawValue)
        ready.endFrame(mark)
        streams.rows[slot].consumed = streams.rows[slot].received
        grantResponse(slot)
    }

    /// The reader took bytes of a delta: with `manual` credit, the window moves on.
    public mutating func consumed(stream: UInt32, bytes: Int) {
        guard case .manual = responseCredit, let slot = streams.find(stream) else { return }
        precondition(bytes >= 0, "bytes are counted upwards")
        // A cancelled stream is read to its end here; what its reader still takes was counted already.
        guard !streams.rows[slot].flags.contains(.cancelled) else { return }
        // The byte in front of a delta's text counts too; it is consumed with the frame.
        let total = Int(streams.rows[slot].consumed) + bytes
        precondition(total <= Int(streams.rows[slot].received), "a reader cannot take more than came")
        streams.rows[slot].consumed = UInt32(total)
        // Also behind the connection's end it is counted: the stream may go on elsewhere.
        if isUsable { grantResponse(slot) }
    }

    /// Opens a stream of configuration.
    public mutating func subscribe(_ message: Subscribe) -> UInt32? {
        guard availableStreams > 0, capabilities.contains(.controlPlane), role == .node else { return nil }
        lastOpened += 1
        var row = ClientStream(id: lastOpened, window: window, freeBody: 0)
        row.flags = .subscription
        _ = streams.insert(row)
        message.encode(into: &ready, stream: lastOpened)
        return lastOpened
    }

    /// Tells the coordinator load and health, on the stream of the subscription.
    public mutating func report(stream: UInt32, _ report: Report) {
        guard isUsable, let slot = streams.find(stream) else { return }
        precondition(streams.rows[slot].flags.contains(.subscription), "reports go out on a subscription's stream")
        report.encode(into: &ready, stream: stream)
    }

    /// Says that no more streams will be opened; the connection finishes when the open ones are done.
    public mutating func sendGoAway(reason: GoAwayReason = .done) {
        guard isUsable, !isLeaving else { return }
        isLeaving = true
        control.goAway = GoAway(lastStream: 0, reason: reason, drainMilliseconds: 0)
        control.bits.insert(.goAway)
    }

    /// Moves what waits into `output`.
    public mutating func transmit(into output: inout ByteBuffer, at now: Instant) {
        clock = now
        if let hello {
            hello.encode(into: &output)
            self.hello = nil
        }
        switch phase {
        case .finished: return
        case .failed:
            output.append(draining: &ready)
            control.failure?.encode(into: &output)
            phase = .finished
            return
        case .awaitingAnswer, .open: break
        }
        guard output.count < shared.limits.underWayBytes else { return }
        if ready.count > 0 {
            // An empty output takes the storage itself: no copy.
            if output.count == 0 { swap(&ready, &output) } else { output.append(draining: &ready) }
        }
        // PONG goes behind the requests that were made before the PING came: the server's GOAWAY counts on that.
        if !control.isEmpty { control.transmit(into: &output) }
        while output.count < shared.limits.underWayBytes, let slot = sending.popFirst(in: streams) {
            sendFragment(slot, &output)
        }
        if isLeaving, streams.count == 0, ready.count == 0 { phase = .finished }
    }

    /// One BODY frame; streams take turns.
    private mutating func sendFragment(_ slot: Int, _ output: inout ByteBuffer) {
        streams.rows[slot].flags.remove(.sending)
        guard let queue = streams.rows[slot].queue else { return }
        let credit = Int(streams.rows[slot].bodyGranted) - Int(streams.rows[slot].bodySent)
        let length = min(queue.bytes.count, credit, maximumFrame)
        let isLast = length == queue.bytes.count
        let mark = output.beginFrame(.body, stream: streams.rows[slot].id, flags: isLast ? [] : .more)
        queue.copy(0..<length, into: &output)
        output.endFrame(mark)
        queue.bytes.consume(length)
        streams.rows[slot].bodySent += UInt32(length)
        if isLast { streams.rows[slot].queue = nil } else { sendBodyIfPossible(slot) }
    }

    /// Puts a stream into the round when its credit allows a whole fragment, or all the rest.
    mutating func sendBodyIfPossible(_ slot: Int) {
        guard !streams.rows[slot].flags.contains(.sending), let queue = streams.rows[slot].queue else { return }
        let credit = Int(streams.rows[slot].bodyGranted) - Int(streams.rows[slot].bodySent)
        let length = min(queue.bytes.count, credit)
        guard length == queue.bytes.count || length >= shared.limits.bodyFragmentBytes else { return }
        streams.rows[slot].flags.insert(.sending)
        sending.append(slot, in: &streams)
    }

    mutating func stopSending(_ slot: Int) {
        if streams.rows[slot].flags.contains(.sending) {
            streams.rows[slot].flags.remove(.sending)
            sending.remove(slot, in: &streams)
        }
        streams.rows[slot].queue = nil
    }

    /// Raises the response credit when half of the window is used, so that the server is never short while the reader keeps up.
    @inline(__always) mutating func grantResponse(_ slot: Int) {
        let consumed = streams.rows[slot].consumed
        guard streams.rows[slot].granted - consumed <= window / 2 else { return }
        let (granted, overflow) = consumed.addingReportingOverflow(window)
        guard !overflow else { return }
        streams.rows[slot].granted = granted
        let mark = ready.beginFrame(.credit, stream: streams.rows[slot].id)
        ready.append(integer: granted)
        ready.endFrame(mark)
    }
}
