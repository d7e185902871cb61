// Reading integers, text and arrays out of a raw span; every access is bounds-checked.

extension RawSpan {
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
    @inlinable public func isEqual(to other: borrowing RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        for offset in 0..<byteCount where byte(at: offset) != other.byte(at: offset) { return false }
        return true
    }

    /// True when the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
    public var isUTF8: Bool {
        var offset = 0
        let end = byteCount
        while offset < end {
            if end - offset >= 8, integer(at: offset, as: UInt64.self) & 0x8080_8080_8080_8080 == 0 {
                offset += 8
                continue
            }
            let lead = byte(at: offset)
            if lead < 0x80 {
                offset += 1
                continue
            }
            let length = lengthOfSequence(lead)
            guard length > 0, end - offset >= length, hasValidTail(at: offset, lead: lead, length: length) else {
                return false
            }
            offset += length
        }
        return true
    }

    private func lengthOfSequence(_ lead: UInt8) -> Int {
        switch lead {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 0
        }
    }

    private func hasValidTail(at offset: Int, lead: UInt8, length: Int) -> Bool {
        // The second byte carries the limits that exclude overlong forms, surrogates and what lies above U+10FFFF.
        let second = byte(at: offset + 1)
        let allowed: ClosedRange<UInt8>
        switch lead {
        case 0xE0: allowed = 0xA0...0xBF
        case 0xED: allowed = 0x80...0x9F
        case 0xF0: allowed = 0x90...0xBF
        case 0xF4: allowed = 0x80...0x8F
        default: allowed = 0x80...0xBF
        }
        guard allowed.contains(second) else { return false }
        for tail in 2..<max(2, length) where byte(at: offset + tail) & 0xC0 != 0x80 { return false }
        return true
    }
}
