// The Castagnoli checksum (RFC 3720, appendix B.4) that ends a snapshot.

/// CRC-32C.
public enum CRC32C {
    /// Eight tables of 256 entries, one behind the other: table k advances a byte that stands k places before the end
    /// of a group of eight, so that eight bytes cost eight independent look-ups (Intel's "slicing by 8").
    private static let tables: [UInt32] = {
        var tables: [UInt32] = []
        for index: UInt32 in 0..<256 {
            var value = index
            for _ in 0..<8 { value = value & 1 == 1 ? (value >> 1) ^ 0x82F6_3B78 : value >> 1 }
            tables.append(value)
        }
        for place in 256..<2_048 {
            let previous = tables[place - 256]
            tables.append(tables[Int(previous & 0xFF)] ^ (previous >> 8))
        }
        return tables
    }()

    /// The checksum of `bytes`, continuing from `previous`.
    public static func checksum(_ bytes: [UInt8], continuing previous: UInt32 = 0) -> UInt32 {
        checksum(bytes.span.raw, continuing: previous)
    }

    /// The checksum of a span, continuing from `previous`.
    public static func checksum(_ bytes: RawSpan, continuing previous: UInt32 = 0) -> UInt32 {
        let storage = tables
        let tables = storage.span
        var sum = ~previous
        var offset = 0
        while offset + 8 <= bytes.byteCount {
            let word = bytes.word(at: offset) ^ UInt64(sum)
            sum = 0
            for place in 0..<8 {
                let byte = Int(truncatingIfNeeded: word >> (UInt64(place) * 8)) & 0xFF
                sum ^= tables[(7 - place) * 256 + byte]
            }
            offset += 8
        }
        while offset < bytes.byteCount {
            let index = Int((sum ^ UInt32(bytes.byte(at: offset))) & 0xFF)
            sum = tables[index] ^ (sum >> 8)
            offset += 1
        }
        return ~sum
    }
}
