// Where connections come from, as limits count them: an IPv4 address, or the first 64 bits of an IPv6 address.

/// One source of connections. Who has an IPv6 address mostly has its /64, with 2^64 addresses: it counts as one.
struct Source: Hashable, Sendable {
    private let bits: UInt64
    private let isSix: Bool

    /// The source that an address belongs to; all Unix sockets are one.
    init(_ address: SocketAddress) {
        switch address {
        case .ipv4(let number, _): (bits, isSix) = (UInt64(number), false)
        case .ipv6(let bytes, _):
            let isMapped =
                bytes.count == 16 && bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
            bits = (isMapped ? bytes[12...] : bytes[..<min(8, bytes.count)]).reduce(0) { $0 << 8 | UInt64($1) }
            isSix = !isMapped
        case .unix: (bits, isSix) = (.max, false)
        }
    }
}
