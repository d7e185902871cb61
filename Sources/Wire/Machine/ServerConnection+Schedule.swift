// Who may send next: control frames, what is ready, then deficit round robin over the streams that had to wait.

public import Core

extension ServerConnection {
    /// Moves what waits into `output`, as long as less than `underWayBytes` lie there.
    public mutating func transmit(into output: inout ByteBuffer, at now: Instant) {
        clock = now
        let before = output.count
        if owesAnswer {
            // HELLO_OK, and what the owner already answered behind it, goes ahead of control frames.
            owesAnswer = false
            output.append(draining: &ready)
            openStream = 0
        }
        if !control.isEmpty { control.transmit(into: &output) }
        switch phase {
        case .finished: return
        case .failed:
            output.append(draining: &ready)
            control.failure?.encode(into: &output)
            phase = .finished
            return
        case .awaitingHello, .deciding, .open: break
        }
        guard output.count < shared.limits.underWayBytes else { return noteWriteStall() }
        writeStallDue = .distantFuture
        if ready.count > 0 {
            // An empty output takes the storage itself: no copy.
            if output.count == 0 { swap(&ready, &output) } else { output.append(draining: &ready) }
        }
        openStream = 0
        while output.count < shared.limits.underWayBytes, let slot = active.popFirst(in: streams) {
            serve(slot, &output)
        }
        if isTotalBlocked, queued <= shared.limits.queuedBytes / 2 { unblockAll() }
        sendStreamCredit(&output)
        sentBytes &+= UInt64(output.count - before)
        finishIfDrained(output.count)
    }

    /// The connection is over when everything was said after the last stream.
    private mutating func finishIfDrained(_ waiting: Int) {
        guard isLeaving, streams.count == 0, control.isEmpty, ready.count == 0 else { return }
        if !pending.contains(where: { $0.kind == .drained }) { phase = .finished }
    }

    /// True when no stream comes any more, by this side's second GOAWAY or by the client's.
    private var isLeaving: Bool {
        if case .final = leaving { return true }
        return peerLeaves && isUsable
    }

    /// Stream credit returns for finished streams: together, every 32 or when little is left.
    private mutating func sendStreamCredit(_ output: inout ByteBuffer) {
        guard case .open = phase, !isLeaving else { return }
        let window = UInt32(shared.limits.openStreams)
        let maximum = min(window &+ completed, shared.limits.streamsPerConnection)
        guard maximum > announcedMaximum else { return }
        guard maximum - announcedMaximum >= 32 || announcedMaximum - highestSeen <= window / 4 else { return }
        announcedMaximum = maximum
        let mark = output.beginFrame(.credit)
        output.append(integer: maximum)
        output.endFrame(mark)
    }

    /// One stream's turn.
    private mutating func serve(_ slot: Int, _ output: inout ByteBuffer) {
        guard let queue = streams.rows[slot].queue else { preconditionFailure("a stream in turn has frames") }
        // A stream that is passed over saves up no more than its largest frame needs.
        let deficit = streams.rows[slot].deficit + 4096 * Self.weight(streams.rows[slot].priority)
        streams.rows[slot].deficit = min(deficit, Self.mostDeficit)
        var isCreditShort = false
        while queue.bytes.count > 0 {
            let header = FrameHeader(queue.bytes)
            let size = FrameHeader.size + Int(header.length)
            guard size <= Int(streams.rows[slot].deficit) || output.count == 0 else { break }
            guard output.count < shared.limits.underWayBytes else { break }
            guard hasCredit(slot, header) else {
                isCreditShort = true
                break
            }
            if Self.needsCredit(header) { streams.rows[slot].responseSent &+= UInt32(header.length) }
            queue.copy(0..<size, into: &output)
            queue.bytes.consume(size)
            queued -= size
            streams.rows[slot].deficit -= Int32(size)
            if queue.openFrame > queue.bytes.count { queue.openFrame = 0 }
            if header.type == FrameType.end.rawValue {
                streams.rows[slot].flags.remove(.active)
                closeQueue(slot)
                return terminalSent(slot)
            }
        }
        streams.rows[slot].stalledSince = .distantFuture
        if queue.bytes.count == 0 {
            streams.rows[slot].flags.remove(.active)
            closeQueue(slot)
        } else if isCreditShort {
            streams.rows[slot].flags.remove(.active)
            streams.rows[slot].deficit = 0
            stalled(slot)
        } else {
            active.append(slot, in: &streams)
        }
        unblock(slot)
    }

    /// The largest frame, and a round of the most important class.
    private static let mostDeficit: Int32 = 65_536 + 4 * 4096

    /// Shares of the three classes while all of them have something to send.
    private static func weight(_ priority: Priority) -> Int32 {
        switch priority {
        case .interactive: 4
        case .background: 2
        case .batch: 1
        }
    }

    private static func needsCredit(_ header: FrameHeader) -> Bool {
        header.type == FrameType.delta.rawValue || header.type == FrameType.event.rawValue
    }

    private func hasCredit(_ slot: Int, _ header: FrameHeader) -> Bool {
        guard Self.needsCredit(header) else { return true }
        let row = streams.rows[slot]
        return Int(row.responseSent) + Int(header.length) <= Int(row.responseGranted)
    }

    /// Puts a stream with frames into the round, or starts the clock of its credit stall.
    mutating func activateIfPossible(_ slot: Int) {
        guard !streams.rows[slot].flags.contains(.active), let queue = streams.rows[slot].queue, queue.bytes.count > 0
        else { return }
        guard hasCredit(slot, FrameHeader(queue.bytes)) else { return stalled(slot) }
        streams.rows[slot].stalledSince = .distantFuture
        streams.rows[slot].flags.insert(.active)
        active.append(slot, in: &streams)
    }

    private mutating func stalled(_ slot: Int) {
        guard streams.rows[slot].stalledSince == .distantFuture else { return }
        streams.rows[slot].stalledSince = clock
        noteStreamTimer(clock + shared.limits.creditStallTime)
    }

    // MARK: Queues

    mutating func openQueue(_ slot: Int) -> FrameQueue {
        let queue = spareQueue ?? FrameQueue()
        spareQueue = nil
        streams.rows[slot].queue = queue
        return queue
    }

    /// Appends one frame behind what waits.
    mutating func enqueue(_ slot: Int, _ encode: (inout ByteBuffer) -> Void) {
        let queue = streams.rows[slot].queue ?? openQueue(slot)
        let before = queue.bytes.count
        encode(&queue.bytes)
        queue.openFrame = 0
        queued += queue.bytes.count - before
        activateIfPossible(slot)
    }

    private mutating func closeQueue(_ slot: Int) {
        guard let queue = streams.rows[slot].queue else { return }
        queued -= queue.bytes.count
        queue.bytes.removeAll()
        queue.openFrame = 0
        streams.rows[slot].queue = nil
        streams.rows[slot].deficit = 0
        streams.rows[slot].stalledSince = .distantFuture
        // One queue is kept at hand while it is small.
        if spareQueue == nil, queue.bytes.allocatedBytes <= 32_768 { spareQueue = queue }
    }

    /// Drops what waits on a stream. A terminal frame behind it is sent at once when it is kept.
    mutating func dropQueue(_ slot: Int, keepsTerminal: Bool) {
        guard let queue = streams.rows[slot].queue else { return }
        if streams.rows[slot].flags.contains(.active) {
            streams.rows[slot].flags.remove(.active)
            active.remove(slot, in: &streams)
        }
        let end = keepsTerminal ? Self.terminal(in: queue.bytes) : nil
        if let end { queue.copy(end, into: &ready) }
        openStream = 0
        closeQueue(slot)
        if end != nil { terminalSent(slot) }
    }

    /// Where END lies in a queue.
    static func terminal(in bytes: borrowing ByteBuffer) -> Range<Int>? {
        var offset = 0
        while offset < bytes.count {
            let header = FrameHeader(bytes, at: offset)
            let size = FrameHeader.size + Int(header.length)
            if header.type == FrameType.end.rawValue { return offset..<offset + size }
            offset += size
        }
        return nil
    }

    // MARK: Back-pressure towards the producer

    /// Whether the producer may go on; remembers that it was told to stop.
    mutating func reportRoom(_ slot: Int) -> Bool {
        let waiting = streams.rows[slot].queue?.bytes.count ?? 0
        let isTotalFull = queued >= shared.limits.queuedBytes
        if isTotalFull { isTotalBlocked = true }
        if waiting < shared.limits.streamHighWatermark, !isTotalFull { return true }
        streams.rows[slot].flags.insert(.blocked)
        return false
    }

    /// Whether an answer may grow by `length`; says so once when it may not.
    mutating func fitsResponse(_ slot: Int, _ length: Int) -> Bool {
        let waiting = streams.rows[slot].queue?.bytes.count ?? 0
        guard Int(streams.rows[slot].responseSent) + waiting + length > shared.limits.responseBytes else { return true }
        if !streams.rows[slot].flags.contains(.reported) {
            streams.rows[slot].flags.insert(.reported)
            pending.append(Pending(kind: .responseTooLong, stream: streams.rows[slot].id))
        }
        return false
    }

    private mutating func unblock(_ slot: Int) {
        guard streams.rows[slot].flags.contains(.blocked), !isTotalBlocked || queued <= shared.limits.queuedBytes / 2,
            (streams.rows[slot].queue?.bytes.count ?? 0) <= shared.limits.streamLowWatermark
        else { return }
        streams.rows[slot].flags.remove(.blocked)
        pending.append(Pending(kind: .writable, stream: streams.rows[slot].id))
    }

    private mutating func unblockAll() {
        isTotalBlocked = false
        for slot in streams.rows.indices where streams.rows[slot].id != 0 { unblock(slot) }
    }
}
