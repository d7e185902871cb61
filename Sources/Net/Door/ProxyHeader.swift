// The PROXY protocol's binary header, version 2: how a balancer tells whose connection it passes on.
import Core

/// Why bytes are no header; the connection ends.
public enum ProxyFault: Error, Equatable, Sendable {
    /// The first twelve bytes are not the protocol's.
    case signature
    /// Another version than 2, or a command other than LOCAL and PROXY.
    case command
    /// A transport other than a stream, or a family that is not known.
    case family
    /// Longer than `ProxyHeader.maximumBytes`, or too short for its addresses.
    case length
    /// An extension reaches beyond the header's end.
    case extensions
    /// The header's own checksum does not match.
    case checksum
}

/// A header as the PROXY protocol, section 2.2, lays it out.
public struct ProxyHeader: Equatable, Sendable {
    /// Who connected to the balancer; nil when the balancer speaks for itself (LOCAL), or does not know.
    public let client: SocketAddress?

    /// Signature, version and command, family, length.
    public static let fixedBytes = 16
    /// The longest header that is read: the protocol's senders keep below 536 bytes behind the fixed part.
    public static let maximumBytes = fixedBytes + 536

    /// How far a header has come.
    public enum Step: Equatable, Sendable {
        /// So many bytes are needed in all before more can be said. Never more than belong to the header.
        case needs(Int)
        /// The header is whole.
        case whole(ProxyHeader)
    }

    private static let signature: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]

    /// Reads the beginning of a connection. `bytes` are those that came so far, and no more than were asked for.
    ///
    /// - Throws: as soon as the bytes cannot become a header.
    public static func read(_ bytes: [UInt8]) throws(ProxyFault) -> Step {
        guard zip(bytes, signature).allSatisfy({ $0 == $1 }) else { throw .signature }
        guard bytes.count >= fixedBytes else { return .needs(fixedBytes) }
        guard bytes[12] == 0x20 || bytes[12] == 0x21 else { throw .command }
        let isLocal = bytes[12] == 0x20
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard length <= maximumBytes - fixedBytes else { throw .length }
        let addresses = try addressBytes(family: bytes[13], isLocal: isLocal)
        guard length >= addresses else { throw .length }
        guard bytes.count >= fixedBytes + length else { return .needs(fixedBytes + length) }
        // What a balancer says for itself has no meaning beyond its length.
        guard !isLocal, bytes[13] != 0 else { return .whole(ProxyHeader(client: nil)) }
        try checkExtensions(bytes, from: fixedBytes + addresses, to: fixedBytes + length)
        return .whole(ProxyHeader(client: client(bytes)))
    }

    private static func addressBytes(family: UInt8, isLocal: Bool) throws(ProxyFault) -> Int {
        guard !isLocal else { return 0 }
        switch family {
        case 0x00: return 0
        case 0x11: return 12
        case 0x21: return 36
        case 0x31: return 216
        default: throw .family
        }
    }

    private static func client(_ bytes: [UInt8]) -> SocketAddress? {
        func number(_ place: Int, _ count: Int) -> UInt32 {
            bytes[place..<place + count].reduce(0) { $0 << 8 | UInt32($1) }
        }
        switch bytes[13] {
        case 0x11: return .ipv4(number(16, 4), port: UInt16(number(24, 2)))
        case 0x21:
            let port = UInt16(number(48, 2))
            // A balancer that listens on both versions names IPv4 clients like this (RFC 4291, 2.5.5.2).
            let isMapped = bytes[16..<26].allSatisfy { $0 == 0 } && bytes[26] == 0xFF && bytes[27] == 0xFF
            return isMapped ? .ipv4(number(28, 4), port: port) : .ipv6(Array(bytes[16..<32]), port: port)
        default: return nil
        }
    }

    /// Extensions (type, length, value) are skipped, but for a checksum of the header, which must match.
    private static func checkExtensions(_ bytes: [UInt8], from start: Int, to end: Int) throws(ProxyFault) {
        var place = start
        while place < end {
            guard place + 3 <= end else { throw .extensions }
            let length = Int(bytes[place + 1]) << 8 | Int(bytes[place + 2])
            let value = place + 3
            guard value + length <= end else { throw .extensions }
            if bytes[place] == 0x03 {
                guard length == 4 else { throw .checksum }
                var blank = Array(bytes[..<end])
                let stated = blank[value..<value + 4].reduce(0) { $0 << 8 | UInt32($1) }
                for offset in 0..<4 { blank[value + offset] = 0 }
                guard CRC32C.checksum(blank) == stated else { throw .checksum }
            }
            place = value + length
        }
    }
}
