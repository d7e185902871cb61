// The eight bytes in front of every frame.

public import Core

/// Bits in a frame's header. PROTOCOL.md, section 2.
public struct FrameFlags: OptionSet, Sendable, Hashable {
    /// The bits as they travel.
    public let rawValue: UInt8
    /// Flags from their bits.
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Another fragment of this message follows.
    public static let more = FrameFlags(rawValue: 1)
    /// Numbered fields stand behind the fixed part.
    public static let fields = FrameFlags(rawValue: 2)
    /// Bits that have no meaning and must be zero.
    @inlinable public var isKnown: Bool { rawValue & 0xFC == 0 }
}

/// The header of a frame: eight bytes, big-endian: length u16, type u8, flags u8, stream u32. Frozen for ever.
@frozen public struct FrameHeader: Sendable, Equatable {
    /// Bytes that a header takes.
    public static let size = 8
    /// Payload bytes, header excluded.
    public var length: UInt16
    /// The type's number, known or not.
    public var type: UInt8
    /// Fragmentation and presence of fields.
    public var flags: FrameFlags
    /// 0 for the connection, else the stream.
    public var stream: UInt32

    /// A header of its four parts.
    @inlinable public init(length: UInt16, type: UInt8, flags: FrameFlags, stream: UInt32) {
        self.length = length
        self.type = type
        self.flags = flags
        self.stream = stream
    }

    /// The header as one big-endian integer.
    @inlinable init(word: UInt64) {
        length = UInt16(truncatingIfNeeded: word >> 48)
        type = UInt8(truncatingIfNeeded: word >> 40)
        flags = FrameFlags(rawValue: UInt8(truncatingIfNeeded: word >> 32))
        stream = UInt32(truncatingIfNeeded: word)
    }

    /// The header `offset` bytes behind the head of `buffer`.
    @inlinable public init(_ buffer: borrowing ByteBuffer, at offset: Int = 0) {
        self.init(word: buffer.integer(at: offset))
    }

    /// The header as one integer, to be stored big-endian.
    @inlinable var word: UInt64 {
        UInt64(length) << 48 | UInt64(type) << 40 | UInt64(flags.rawValue) << 32 | UInt64(stream)
    }
}

extension ByteBuffer {
    /// Appends a header whose length is patched by `endFrame`; returns where the frame begins.
    @inlinable mutating func beginFrame(_ type: FrameType, stream: UInt32 = 0, flags: FrameFlags = []) -> Int {
        let mark = count
        append(integer: FrameHeader(length: 0, type: type.rawValue, flags: flags, stream: stream).word)
        return mark
    }

    /// Writes the length of the frame that began at `mark`.
    @inlinable mutating func endFrame(_ mark: Int) {
        let length = count - mark - FrameHeader.size
        precondition(length >= 0 && length <= 65_535, "a frame's payload fits its 16-bit length")
        overwrite(at: mark, with: UInt16(truncatingIfNeeded: length))
    }
}
