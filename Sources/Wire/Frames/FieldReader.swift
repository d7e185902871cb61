// Reads fields out of one frame's payload; every length is checked against the bytes that are really there.

import Core

/// A cursor over one payload. What does not fit is a fault, never a read beyond the end.
struct FieldReader: ~Escapable {
    let span: RawSpan
    private(set) var offset = 0

    @_lifetime(copy span)
    init(_ span: RawSpan) { self.span = span }

    var remaining: Int { span.byteCount - offset }

    mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self) throws(WireFault) -> T {
        guard remaining >= MemoryLayout<T>.size else { throw WireFault(.innerLength) }
        let value = span.integer(at: offset, as: T.self)
        offset += MemoryLayout<T>.size
        return value
    }

    /// A little-endian base-128 integer of at most 32 bits in the fewest bytes that hold it.
    mutating func varint() throws(WireFault) -> Int {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte: UInt8 = try integer()
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 {
                guard byte != 0 || shift == 0, value <= UInt32.max else {
                    throw WireFault(.nonMinimalInteger)
                }
                return Int(value)
            }
            shift += 7
            guard shift < 35 else { throw WireFault(.nonMinimalInteger) }
        }
    }

    /// The next `length` bytes as a slice relative to the payload.
    mutating func run(_ length: Int) throws(WireFault) -> ByteSlice {
        guard length >= 0, length <= remaining else { throw WireFault(.innerLength) }
        let slice = ByteSlice(start: offset, count: length)
        offset += length
        return slice
    }

    /// The next `length` bytes as text, which must be UTF-8.
    mutating func text(_ length: Int) throws(WireFault) -> String {
        if length == 0 { return "" }
        let slice = try run(length)
        let bytes = span.extracting(slice.start..<slice.start + slice.count)
        guard bytes.isUTF8 else { throw WireFault(.notUTF8) }
        return bytes.string()
    }

    /// The next `length` bytes as a name: text without control and formatting characters.
    mutating func name(_ length: Int) throws(WireFault) -> String {
        let name = try text(length)
        guard !name.hasControls else { throw WireFault(.fieldValue) }
        return name
    }

    mutating func array(_ length: Int) throws(WireFault) -> [UInt8] {
        let slice = try run(length)
        return span.extracting(slice.start..<slice.start + slice.count).array()
    }

    func expectEnd() throws(WireFault) {
        guard remaining == 0 else { throw WireFault(.trailingBytes) }
    }

    /// Opens the next numbered field (`number u8 | length varint | bytes`); nil at the end of the payload.
    ///
    /// Numbers must not descend, and a number outside `repeatable` stands once: so a message has one encoding.
    mutating func field(
        after last: inout UInt8, repeatable: ClosedRange<UInt8>? = nil
    ) throws(WireFault) -> (number: UInt8, length: Int)? {
        guard remaining > 0 else { return nil }
        let number: UInt8 = try integer()
        let mayRepeat = repeatable?.contains(number) ?? false
        guard number > last || (number == last && mayRepeat) else { throw WireFault(.fieldOrder) }
        last = number
        let length = try varint()
        guard length <= remaining else { throw WireFault(.innerLength) }
        return (number, length)
    }
}

extension ByteBuffer {
    /// Appends a little-endian base-128 integer.
    @inlinable mutating func append(varint value: Int) {
        var rest = UInt32(value)
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    /// Appends a numbered field of text; nothing when it is empty. Cut at `limit` bytes on a character's border.
    mutating func append(field number: UInt8, text: String, limit: Int) {
        guard !text.isEmpty else { return }
        let kept = text.fitting(limit)
        append(number)
        append(varint: kept.utf8.count)
        append(kept)
    }

    /// Appends a numbered field that holds an integer.
    mutating func append<T: FixedWidthInteger & BitwiseCopyable>(field number: UInt8, integer: T) {
        append(number)
        append(varint: MemoryLayout<T>.size)
        append(integer: integer)
    }

    /// Appends text behind an 8-bit length. Cut at `limit` bytes on a character's border.
    mutating func append(shortText text: String, limit: Int = 255) {
        let kept = text.fitting(limit)
        append(UInt8(truncatingIfNeeded: kept.utf8.count))
        append(kept)
    }
}

extension String {
    /// The longest beginning of whole characters that takes at most `limit` bytes.
    func fitting(_ limit: Int) -> String {
        if utf8.count <= limit { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        while end > startIndex, end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
