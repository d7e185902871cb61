// ACCEPTED: the request goes to a provider from here on, and may be billed.

import Core

/// Where a request went. PROTOCOL.md, section 5.3.
public struct Accepted: Sendable, Equatable {
    /// Bits of `flags`.
    public struct Flags: OptionSet, Sendable, Hashable {
        /// The bits as they travel.
        public let rawValue: UInt8
        /// Flags from their bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The answer comes from the cache.
        public static let fromCache = Flags(rawValue: 1)
        /// A fallback target was taken.
        public static let fallback = Flags(rawValue: 2)
    }

    /// The provider's number in the configuration; 0 when it is not told.
    public var provider: UInt16
    /// From the cache, or by a fallback.
    public var flags: Flags
    /// 1 for the first attempt.
    public var attempt: UInt8
    /// Time spent in the queue.
    public var queueMilliseconds: UInt32
    /// By what the answer can be continued should the connection break; nil when it cannot.
    public var resumption: ResumeGrant?

    /// Where a request went.
    public init(
        provider: UInt16 = 0, flags: Flags = [], attempt: UInt8 = 1, queueMilliseconds: UInt32 = 0,
        resumption: ResumeGrant? = nil
    ) {
        self.provider = provider
        self.flags = flags
        self.attempt = attempt
        self.queueMilliseconds = queueMilliseconds
        self.resumption = resumption
    }

    func encode(into buffer: inout ByteBuffer, stream: UInt32) {
        let mark = buffer.beginFrame(.accepted, stream: stream, flags: resumption == nil ? [] : .fields)
        buffer.append(integer: provider)
        buffer.append(flags.rawValue)
        buffer.append(attempt)
        buffer.append(integer: queueMilliseconds)
        if let resumption {
            buffer.append(UInt8(1))
            buffer.append(varint: ResumeGrant.size)
            buffer.append(integer: resumption.id.high)
            buffer.append(integer: resumption.id.low)
            buffer.append(integer: resumption.keptMilliseconds)
        }
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader, flags frameFlags: FrameFlags) throws(WireFault) {
        guard frameFlags.contains(.fields) ? reader.remaining >= 8 : reader.remaining == 8 else {
            throw WireFault(.wrongFixedLength)
        }
        self.init(
            provider: try reader.integer(), flags: Flags(rawValue: try reader.integer()), attempt: try reader.integer(),
            queueMilliseconds: try reader.integer())
        guard flags.rawValue & 0xFC == 0 else { throw WireFault(.reservedNotZero) }
        guard frameFlags.contains(.fields) == (reader.remaining > 0) else {
            throw WireFault(.trailingBytes)
        }
        var last: UInt8 = 0
        while let (number, length) = try reader.field(after: &last) {
            guard number == 1 else {
                _ = try reader.run(length)
                continue
            }
            guard length == ResumeGrant.size else { throw WireFault(.fieldValue) }
            let id = Identifier128(high: try reader.integer(), low: try reader.integer())
            resumption = ResumeGrant(id: id, keptMilliseconds: try reader.integer())
        }
    }
}
