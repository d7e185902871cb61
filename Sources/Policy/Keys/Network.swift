// Ranges of addresses, as people write them: 10.0.0.0/8, 2001:db8::/32, or one address.
import Core

/// A range of IPv4 or IPv6 addresses.
///
/// Addresses are numbers of 128 bits; an IPv4 address stands as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2), so that a client is the same
/// whether the socket that it reached speaks both versions or one.
public struct Network: Hashable, Sendable, CustomStringConvertible {
    private let bits: UInt128
    private let prefix: Int

    /// The range of one IPv4 address and all that share its first `prefix` bits of 128.
    private init(bits: UInt128, prefix: Int) {
        self.bits = bits
        self.prefix = prefix
    }

    /// The 128 bits that stand for an IPv4 address.
    public static func mapped(_ address: UInt32) -> UInt128 { 0xFFFF << 32 | UInt128(address) }

    private static func isMapped(_ bits: UInt128) -> Bool { bits >> 32 == 0xFFFF }

    private static func mask(_ prefix: Int) -> UInt128 { prefix == 0 ? 0 : ~0 << UInt128(128 - prefix) }

    private var isIPv4: Bool { prefix >= 96 && Network.isMapped(bits) }

    /// True when the address lies in the range; `::/0` holds no IPv4 address.
    public func contains(_ address: UInt128) -> Bool {
        address & Network.mask(prefix) == bits && Network.isMapped(address) == isIPv4
    }

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or an address alone.
    public static func parse(_ text: String) throws(ValueProblem) -> Network {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let (bits, width) = address(parts[0]) else {
            throw ValueProblem("expected a network such as 10.0.0.0/8 or 2001:db8::/32, found '\(text)'")
        }
        var length = width
        if parts.count == 2 {
            guard let given = decimal(parts[1]), given <= width else {
                throw ValueProblem("expected a prefix length from 0 to \(width) behind '/', found '\(text)'")
            }
            length = given
        }
        let network = Network(bits: bits & mask(length + 128 - width), prefix: length + 128 - width)
        guard network.bits == bits else {
            throw ValueProblem("'\(text)' has bits behind its prefix; expected \(network)")
        }
        return network
    }

    /// The 128 bits of an address; nil when the text is none. Names are not resolved, zones (`%eth0`) have no meaning here.
    public static func address(of text: String) -> UInt128? { address(text[...])?.bits }

    private static func address(_ text: Substring) -> (bits: UInt128, width: Int)? {
        text.contains(":") ? six(text).map { ($0, 128) } : four(text).map { (mapped($0), 32) }
    }

    private static func decimal(_ text: Substring) -> Int? {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ $0 &- 0x30 < 10 }),
            text == "0" || text.first != "0"
        else { return nil }
        return Int(text)
    }

    private static func four(_ text: Substring) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            guard let value = decimal(part), value < 256 else { return nil }
            bits = bits << 8 | UInt32(value)
        }
        return bits
    }

    /// Eight groups, of which one run may be left out as `::`; the last two may be an IPv4 address.
    private static func six(_ text: Substring) -> UInt128? {
        let halves = text.split(separator: "::", omittingEmptySubsequences: false)
        guard halves.count <= 2, let left = groups(halves[0], isLast: halves.count == 1) else { return nil }
        guard halves.count == 2 else { return left.count == 8 ? join(left) : nil }
        guard let right = groups(halves[1], isLast: true), left.count + right.count <= 7 else { return nil }
        return join(left + [UInt16](repeating: 0, count: 8 - left.count - right.count) + right)
    }

    private static func groups(_ text: Substring, isLast: Bool) -> [UInt16]? {
        if text.isEmpty { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if part.contains("."), isLast, index == parts.count - 1, let tail = four(part) {
                groups += [UInt16(tail >> 16), UInt16(truncatingIfNeeded: tail)]
                continue
            }
            guard (1...4).contains(part.utf8.count), part.allSatisfy(\.isHexDigit), part.utf8.count == part.count,
                let group = UInt16(part, radix: 16)
            else { return nil }
            groups.append(group)
        }
        return groups.count <= 8 ? groups : nil
    }

    private static func join(_ groups: [UInt16]) -> UInt128 { groups.reduce(0) { $0 << 16 | UInt128($1) } }

    /// The form that `parse` reads, shortest (RFC 5952).
    public var description: String {
        if isIPv4 {
            let bytes = [24, 16, 8, 0].map { String((bits >> UInt128($0)) & 0xFF) }.joined(separator: ".")
            return "\(bytes)/\(prefix - 96)"
        }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: bits >> UInt128(112 - 16 * $0)) }
        var longest = 0..<0
        var start = 0
        while start < 8 {
            let end = groups[start...].firstIndex { $0 != 0 } ?? 8
            if end - start > max(1, longest.count) { longest = start..<end }
            start = max(end, start + 1)
        }
        func words(_ range: Range<Int>) -> String {
            groups[range].map { String($0, radix: 16) }.joined(separator: ":")
        }
        let text =
            longest.isEmpty ? words(0..<8) : "\(words(0..<longest.lowerBound))::\(words(longest.upperBound..<8))"
        return "\(text)/\(prefix)"
    }
}
