// Bounds-checked reading from a span of bytes, so that parsers above need nothing unsafe.

extension RawSpan {
    /// The byte at `offset`.
    @inlinable public func byte(at offset: Int) -> UInt8 {
        // One comparison: a negative offset is a large number without its sign.
        precondition(UInt(bitPattern: offset) < UInt(bitPattern: byteCount), "a read stays within the span")
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
    ///
    /// Most comparisons end at the length, which is why that part is compiled into the caller.
    @inlinable @inline(__always) public func matches(_ text: StaticString, in range: Range<Int>) -> Bool {
        text.utf8CodeUnitCount == range.count && hasSameBytes(as: text, in: range)
    }

    @usableFromInline func hasSameBytes(as text: StaticString, in range: Range<Int>) -> Bool {
        guard range.lowerBound >= 0, range.upperBound <= byteCount else { return false }
        // Safe: both sides have range.count bytes, and no load reaches beyond; the literal lives for ever.
        return unsafe withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return range.isEmpty }
            let left = unsafe base + range.lowerBound
            let right = unsafe UnsafeRawPointer(text.utf8Start)
            func differ<T: FixedWidthInteger & BitwiseCopyable>(_ place: Int, _: T.Type) -> Bool {
                unsafe left.loadUnaligned(fromByteOffset: place, as: T.self)
                    != right.loadUnaligned(fromByteOffset: place, as: T.self)
            }
            let count = range.count
            // The last word overlaps the one before it: no byte by byte at the end.
            if count >= 8 {
                var place = 0
                while place + 8 < count {
                    if differ(place, UInt64.self) { return false }
                    place += 8
                }
                return !differ(count - 8, UInt64.self)
            }
            if count >= 4 { return !differ(0, UInt32.self) && !differ(count - 4, UInt32.self) }
            for place in 0..<count where differ(place, UInt8.self) { return false }
            return true
        }
    }

    /// The big-endian integer at `offset`.
    @inlinable public func integer<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as: T.Type = T.self) -> T {
        precondition(offset >= 0 && MemoryLayout<T>.size <= byteCount - offset, "a read stays within its span")
        // Safe: the bounds check above covers all bytes of T, and an integer has no invalid bit pattern.
        return unsafe T(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// A copy of the bytes.
    @inlinable public func array() -> [UInt8] {
        // Safe: the pointer does not leave the closure.
        unsafe withUnsafeBytes { unsafe [UInt8]($0) }
    }

    /// The bytes as text; malformed UTF-8 is repaired with U+FFFD.
    @inlinable public func string() -> String {
        // Safe: the pointer does not leave the closure.
        unsafe withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }

    /// True when both spans hold the same bytes.
    public func isEqual(to other: borrowing RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        // Safe: both pointers cover byteCount bytes during the call, and no load reaches beyond.
        return unsafe withUnsafeBytes { left in
            unsafe other.withUnsafeBytes { right in
                func differing(_ place: Int) -> UInt64 {
                    unsafe left.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                        ^ right.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                }
                var place = 0
                while place + 32 <= left.count {
                    guard
                        differing(place) | differing(place + 8) | differing(place + 16) | differing(place + 24) == 0
                    else { return false }
                    place += 32
                }
                while place + 8 <= left.count {
                    guard differing(place) == 0 else { return false }
                    place += 8
                }
                while place < left.count {
                    guard unsafe left[place] == right[place] else { return false }
                    place += 1
                }
                return true
            }
        }
    }

    /// Offset of the first line feed or carriage return at or behind `start`, or the end.
    public func lineEnd(from start: Int) -> Int {
        precondition(start >= 0 && start <= byteCount, "a search begins within the span")
        // Safe: the pointer covers byteCount bytes during the call, and no load reaches beyond.
        return unsafe withUnsafeBytes { bytes in
            // A bit in each byte below 0x20, of which text has few; exact for the lowest such byte, and never missing one.
            func controls(_ place: Int) -> UInt64 {
                let word = unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
                return (word &- 0x2020_2020_2020_2020) & ~word & 0x8080_8080_8080_8080
            }
            var place = start
            while place < bytes.count {
                while place + 32 <= bytes.count,
                    controls(place) | controls(place + 8) | controls(place + 16) | controls(place + 24) == 0
                {
                    place += 32
                }
                while place + 8 <= bytes.count {
                    let found = controls(place)
                    guard found == 0 else {
                        place += found.trailingZeroBitCount / 8
                        break
                    }
                    place += 8
                }
                guard place < bytes.count else { break }
                let byte = unsafe bytes[place]
                if byte == 10 || byte == 13 { return place }
                place += 1
            }
            return bytes.count
        }
    }

    /// True when the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
    public var isUTF8: Bool {
        var offset = 0
        let end = byteCount
        while offset < end {
            if end - offset >= 8, word(at: offset) & 0x8080_8080_8080_8080 == 0 {
                offset += 8
                continue
            }
            if byte(at: offset) < 0x80 {
                offset += 1
                continue
            }
            guard let length = lengthOfSequence(at: offset) else { return false }
            offset += length
        }
        return true
    }

    /// Length of the well-formed UTF-8 sequence of two to four bytes at `offset` (Unicode, table 3-7); nil when it is
    /// malformed or cut.
    func lengthOfSequence(at offset: Int) -> Int? {
        let (length, second): (Int, ClosedRange<UInt8>)
        // The second byte carries the limits that exclude overlong forms, surrogates and what lies above U+10FFFF.
        switch byte(at: offset) {
        case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
        default: return nil
        }
        guard length <= byteCount - offset, second.contains(byte(at: offset + 1)) else { return nil }
        if length > 2, byte(at: offset + 2) & 0xC0 != 0x80 { return nil }
        if length > 3, byte(at: offset + 3) & 0xC0 != 0x80 { return nil }
        return length
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

extension RawSpan {
    /// True when the bytes in `range` are those of `text` but for the case of ASCII letters; `text` is lowercase.
    @inlinable public func matchesIgnoringCase(_ text: StaticString, in range: Range<Int>) -> Bool {
        guard text.utf8CodeUnitCount == range.count, range.lowerBound >= 0, range.upperBound <= byteCount else {
            return false
        }
        // Safe: both sides have range.count bytes; the literal lives for ever.
        return unsafe withUnsafeBytes { bytes in
            for place in 0..<range.count {
                let byte = unsafe bytes[range.lowerBound + place]
                let lower = byte &- 0x41 < 26 ? byte | 0x20 : byte
                if unsafe lower != text.utf8Start[place] { return false }
            }
            return true
        }
    }

    /// Offset of the first line feed at or behind `start`; nil when there is none. Looks at eight bytes at a time.
    @inlinable public func lineFeed(from start: Int) -> Int? {
        var place = start
        while place + 8 <= byteCount {
            let feeds = word(at: place) ^ 0x0A0A_0A0A_0A0A_0A0A
            let found = (feeds &- 0x0101_0101_0101_0101) & ~feeds & 0x8080_8080_8080_8080
            if found != 0 { return place + found.trailingZeroBitCount / 8 }
            place += 8
        }
        while place < byteCount {
            if byte(at: place) == 0x0A { return place }
            place += 1
        }
        return nil
    }
}
