// The Castagnoli checksum (RFC 3720, appendix B.4) that ends a snapshot.

/// CRC-32C.
public enum CRC32C {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
    }

    /// The checksum of `bytes`, continuing from `previous`.
    public static func checksum(_ bytes: [UInt8], continuing previous: UInt32 = 0) -> UInt32 {
        ~bytes.reduce(~previous) { table[Int(($0 ^ UInt32($1)) & 0xFF)] ^ $0 >> 8 }
    }

    /// The checksum of a span, continuing from `previous`.
    public static func checksum(_ bytes: RawSpan, continuing previous: UInt32 = 0) -> UInt32 {
        let table = table
        var sum = ~previous
        for offset in 0..<bytes.byteCount {
            sum = table[Int((sum ^ UInt32(bytes.byte(at: offset))) & 0xFF)] ^ sum >> 8
        }
        return ~sum
    }
}
