// Base64 (RFC 4648, section 4), in which images and files travel inside JSON.
import Core

/// Encodes bytes as Base64: six of them in one step, for a turn of a lane may have a MiB of them to encode.
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    /// Both characters of each twelve bits.
    private static let pairs = alphabet.flatMap { first in alphabet.map { UInt16(first) << 8 | UInt16($0) } }

    static func append(_ bytes: RawSpan, to output: inout ByteBuffer) {
        output.reserve((bytes.byteCount + 2) / 3 * 4)
        let pairs = self.pairs
        var place = 0
        while place + 8 <= bytes.byteCount {
            let group = bytes.integer(at: place, as: UInt64.self)
            let high = UInt32(pairs[Int(group >> 52)]) << 16 | UInt32(pairs[Int(group >> 40 & 4_095)])
            let low = UInt32(pairs[Int(group >> 28 & 4_095)]) << 16 | UInt32(pairs[Int(group >> 16 & 4_095)])
            output.append(integer: UInt64(high) << 32 | UInt64(low))
            place += 6
        }
        while place < bytes.byteCount {
            let left = bytes.byteCount - place
            var group = UInt32(bytes.byte(at: place)) << 16
            if left > 1 { group |= UInt32(bytes.byte(at: place + 1)) << 8 }
            if left > 2 { group |= UInt32(bytes.byte(at: place + 2)) }
            output.append(alphabet[Int(group >> 18)])
            output.append(alphabet[Int(group >> 12 & 63)])
            output.append(left > 1 ? alphabet[Int(group >> 6 & 63)] : UInt8(ascii: "="))
            output.append(left > 2 ? alphabet[Int(group & 63)] : UInt8(ascii: "="))
            place += 3
        }
    }
}
