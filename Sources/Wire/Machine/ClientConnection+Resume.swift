// Streams that can be continued on another connection: what the client does for them.

public import Core

extension ClientConnection {
    /// True when the server continues streams of connections that broke.
    public var canResume: Bool { capabilities.contains(.resume) }

    /// How far the answer of an open stream has come, in response bytes of whole frames; also behind the connection's end.
    /// Nil when the stream is not open, or was cancelled.
    public func progress(stream: UInt32) -> (received: UInt32, consumed: UInt32)? {
        guard let slot = streams.find(stream), !streams.rows[slot].flags.contains(.cancelled) else { return nil }
        return (streams.rows[slot].received, streams.rows[slot].consumed)
    }

    /// Opens a stream that continues one of another connection. `received` and `consumed` are its progress there, and what was
    /// consumed since. Nil when there is no stream credit at present, or the server does not continue streams.
    public mutating func resume(_ id: Identifier128, received: UInt32, consumed: UInt32, at now: Instant) -> UInt32? {
        guard availableStreams > 0, canResume else { return nil }
        precondition(consumed <= received, "a reader cannot take more than came")
        let (credit, overflow) = consumed.addingReportingOverflow(window)
        guard !overflow, credit >= received else { return nil }
        clock = now
        lastOpened += 1
        var row = ClientStream(id: lastOpened, window: credit, freeBody: 0)
        row.received = received
        row.consumed = consumed
        _ = streams.insert(row)
        Resume(id: id, received: received, credit: credit).encode(into: &ready, stream: lastOpened)
        return lastOpened
    }
}
