// Streams that can be continued on another connection: what the server does for them.

import Core

extension ServerConnection {
    /// True when the client may continue its streams elsewhere.
    public var canResume: Bool { capabilities.contains(.resume) }

    /// Response bytes that may be under way on a stream of this connection: the client's window.
    public var responseWindow: Int { Int(window) }

    /// Features that this side offers to a client of the role that HELLO said.
    var offered: Capabilities {
        var offered = Capabilities.supported
        if shared.limits.refusedResumes == 0 { offered.remove(.resume) }
        // Only a node subscribes.
        if role != .node { offered.remove(.controlPlane) }
        return offered
    }

    /// RESUME opens a stream whose count of response bytes and credit go on where another connection left them.
    mutating func resume(_ header: FrameHeader, _ reader: inout FieldReader) throws(WireFault) -> Event? {
        let isTaken = try open(header)
        let message = try Resume(&reader)
        guard message.credit - message.received <= window else { throw WireFault(.fieldValue) }
        guard refusedResumes < shared.limits.refusedResumes else { throw WireFault(.resumes) }
        guard isTaken else { return nil }
        var row = ServerStream(id: header.stream, priority: .interactive, window: message.credit, at: clock)
        row.flags = .bodyDone
        row.responseSent = message.received
        _ = streams.insert(row)
        return .resume(stream: header.stream, message)
    }

    /// Response bytes that the client has taken for certain: credit comes for nothing else.
    public func acknowledged(stream: UInt32) -> UInt32 {
        guard let slot = streams.find(stream), streams.rows[slot].responseGranted > window else { return 0 }
        return streams.rows[slot].responseGranted - window
    }

    /// Sends the payload of a DELTA or an EVENT as one frame, neither joined nor split: whoever keeps an answer counts its frames.
    /// False: stop producing until `.writable`; the bytes were taken all the same.
    @discardableResult
    public mutating func sendKept(stream: UInt32, _ kind: KeptAnswer.Kind, payload: RawSpan) -> Bool {
        let length = payload.byteCount
        precondition(length <= StreamEvent.maximumPayload, "a piece of an answer has at most 4,096 bytes")
        guard let slot = expectOpen(stream), !streams.rows[slot].flags.contains(.cancelled) else { return true }
        guard fitsResponse(slot, length) else { return false }
        let type: FrameType = kind == .delta ? .delta : .event
        let header = FrameHeader(length: UInt16(length), type: type.rawValue, flags: [], stream: stream)
        openStream = 0
        if streams.rows[slot].queue == nil, ready.count < shared.limits.underWayBytes,
            Int(streams.rows[slot].responseSent) + length <= Int(streams.rows[slot].responseGranted)
        {
            ready.append(integer: header.word)
            ready.append(payload)
            streams.rows[slot].responseSent &+= UInt32(length)
            return true
        }
        let queue = streams.rows[slot].queue ?? openQueue(slot)
        queue.bytes.append(integer: header.word)
        queue.bytes.append(payload)
        queue.openFrame = 0
        queued += FrameHeader.size + length
        activateIfPossible(slot)
        return reportRoom(slot)
    }
}
