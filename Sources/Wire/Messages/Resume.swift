// RESUME: continues, on a new connection, a stream whose own connection broke.

public import Core

/// By what a stream can be continued; a field of ACCEPTED. PROTOCOL.md, section 6.8.
public struct ResumeGrant: Sendable, Equatable {
    /// Names the stream; 128 bits that nobody can guess, known to nobody but the client that asked for them.
    public var id: Identifier128
    /// How long the server keeps the answer for a client that is away.
    public var keptMilliseconds: UInt32

    static let size = 20

    /// A grant of an id for a time.
    public init(id: Identifier128, keptMilliseconds: UInt32) {
        self.id = id
        self.keptMilliseconds = keptMilliseconds
    }
}

/// What RESUME says: which stream, and from where on. PROTOCOL.md, section 5.12.
public struct Resume: Sendable, Equatable {
    /// The id of ACCEPTED.
    public var id: Identifier128
    /// Response bytes that the client has, in whole frames, counted over all connections of the stream.
    public var received: UInt32
    /// Response bytes that may have been sent: the stream's credit goes on where it was.
    public var credit: UInt32

    static let size = 24

    /// A stream to continue behind `received` response bytes.
    public init(id: Identifier128, received: UInt32, credit: UInt32) {
        self.id = id
        self.received = received
        self.credit = credit
    }

    func encode(into buffer: inout ByteBuffer, stream: UInt32) {
        let mark = buffer.beginFrame(.resume, stream: stream)
        buffer.append(integer: id.high)
        buffer.append(integer: id.low)
        buffer.append(integer: received)
        buffer.append(integer: credit)
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader) throws(WireFault) {
        guard reader.remaining == Self.size else { throw WireFault(.wrongFixedLength) }
        id = Identifier128(high: try reader.integer(), low: try reader.integer())
        received = try reader.integer()
        credit = try reader.integer()
        guard credit >= received else { throw WireFault(.fieldValue) }
    }
}
