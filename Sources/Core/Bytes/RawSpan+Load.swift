// Bounds-checked reads from a span of bytes, so that parsers above need nothing unsafe.

extension RawSpan {
    /// The byte at `offset`.
    @inlinable public func byte(at offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < byteCount, "a read stays within the span")
        // Safe: the bounds were checked.
        return unsafe unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
    }

    /// Eight bytes at `offset`, the first one lowest.
    @inlinable public func word(at offset: Int) -> UInt64 {
        precondition(offset >= 0 && offset <= byteCount - 8, "a read stays within the span")
        // Safe: the bounds were checked.
        return unsafe UInt64(littleEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self))
    }

    /// The bytes in `range` as an array.
    @inlinable public func array(_ range: Range<Int>) -> [UInt8] {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "a range lies within its span")
        return unsafe withUnsafeBytes { unsafe [UInt8]($0[range]) }
    }

    /// The bytes in `range` as text; malformed UTF-8 is repaired with U+FFFD.
    @inlinable public func string(_ range: Range<Int>) -> String {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "a range lies within its span")
        return unsafe withUnsafeBytes { unsafe String(decoding: $0[range], as: UTF8.self) }
    }

    /// True when the bytes in `range` are those of `text`.
    @inlinable public func matches(_ text: StaticString, in range: Range<Int>) -> Bool {
        guard text.utf8CodeUnitCount == range.count, range.lowerBound >= 0, range.upperBound <= byteCount else {
            return false
        }
        // Safe: both sides have range.count bytes; the literal lives for ever.
        return unsafe withUnsafeBytes { bytes in
            for place in 0..<range.count where unsafe bytes[range.lowerBound + place] != text.utf8Start[place] {
                return false
            }
            return true
        }
    }
}

extension Span where Element == UInt8 {
    /// The same bytes, untyped.
    @inlinable public var raw: RawSpan {
        @_lifetime(copy self)
        // Safe: any byte is a valid UInt8.
        get { unsafe bytes }
    }
}
