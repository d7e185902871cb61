// Numbers as decimal digits, without a String in between.

extension ByteBuffer {
    /// Appends an integer of at most 64 bits as decimal digits, with a minus sign where needed. Allocates nothing.
    @inlinable public mutating func append(decimal value: some FixedWidthInteger) {
        if value < 0 { append(UInt8(ascii: "-")) }
        append(digits: UInt64(value.magnitude))
    }

    @usableFromInline mutating func append(digits value: UInt64) {
        if value < 10 { return append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value)) }
        var rest = value
        var place: [20 of UInt8] = .init(repeating: 0)
        var first = 20
        repeat {
            first -= 1
            place[first] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        append(RawSpan(_elements: place.span).extracting(first..<20))
    }
}
