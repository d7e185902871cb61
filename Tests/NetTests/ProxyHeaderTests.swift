// The PROXY header of version 2: every form, in every split, and everything that is none.
import Core
import Testing

@testable import Net

@Suite struct ProxyHeaderTests {
    static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// A header with these parts.
    static func header(_ command: UInt8, _ family: UInt8, _ rest: [UInt8]) -> [UInt8] {
        signature + [command, family, UInt8(rest.count >> 8), UInt8(rest.count & 0xFF)] + rest
    }

    static let four: [UInt8] = [192, 0, 2, 7, 127, 0, 0, 1, 0xC3, 0x50, 0x1D, 0x4D]
    static let six: [UInt8] =
        [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [9] + [UInt8](repeating: 1, count: 16) + [
            0xC3, 0x50, 0x1D, 0x4D,
        ]

    /// Reads as a door does: so many bytes as are asked for, at most `piece` at a time. Nil when the bytes end before the header does.
    private func read(_ bytes: [UInt8], piece: Int) throws -> (header: ProxyHeader, length: Int)? {
        var have = 0
        while true {
            switch try ProxyHeader.read(Array(bytes[..<have])) {
            case .whole(let header): return (header, have)
            case .needs(let total):
                #expect(total > have && total <= ProxyHeader.maximumBytes)
                guard have < bytes.count else { return nil }
                have = min(total, have + piece, bytes.count)
            }
        }
    }

    private func check(_ bytes: [UInt8], _ client: String?) throws {
        for piece in 1...bytes.count + 2 {
            let found = try read(bytes + [0x16, 0x03, 0x01], piece: piece)
            #expect(found?.header.client?.description == client, "in pieces of \(piece)")
            // Not a byte of what follows is taken.
            #expect(found?.length == bytes.count)
        }
        for cut in 0..<bytes.count { #expect(try read(Array(bytes[..<cut]), piece: 3) == nil, "cut at \(cut)") }
    }

    @Test func `clients of both versions are named, in every split`() throws {
        try check(Self.header(0x21, 0x11, Self.four), "192.0.2.7:50000")
        try check(Self.header(0x21, 0x21, Self.six), "[2001:db8::9]:50000")
        let mapped = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 192, 0, 2, 7]
        try check(Self.header(0x21, 0x21, mapped + mapped + [0xC3, 0x50, 0x1D, 0x4D]), "192.0.2.7:50000")
    }

    @Test func `a balancer that speaks for itself, or does not know, names nobody`() throws {
        try check(Self.header(0x20, 0x00, []), nil)
        try check(Self.header(0x20, 0x11, Self.four), nil)
        try check(Self.header(0x20, 0x00, [0xFF, 0xFF, 0xFF]), nil)
        try check(Self.header(0x21, 0x00, [1, 2, 3]), nil)
        try check(Self.header(0x21, 0x31, [UInt8](repeating: 47, count: 216)), nil)
    }

    @Test func `extensions are skipped, and a checksum among them must match`() throws {
        let extensions: [UInt8] = [0x01, 0, 2, 0x68, 0x32, 0x04, 0, 0]
        try check(Self.header(0x21, 0x11, Self.four + extensions), "192.0.2.7:50000")
        var summed = Self.header(0x21, 0x11, Self.four + extensions + [0x03, 0, 4, 0, 0, 0, 0])
        let sum = CRC32C.checksum(summed)
        for place in 0..<4 {
            summed[summed.count - 4 + place] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * place))
        }
        try check(summed, "192.0.2.7:50000")
        summed[17] ^= 1
        #expect(throws: ProxyFault.checksum) { try ProxyHeader.read(summed) }
    }

    @Test func `what is no header is refused as soon as it can be known`() {
        func fault(_ bytes: [UInt8]) -> ProxyFault? {
            do {
                _ = try ProxyHeader.read(bytes)
                return nil
            } catch { return error }
        }
        // The beginning of a TLS handshake, of version 1, and of an HTTP request.
        #expect(fault([0x16]) == .signature)
        #expect(fault(Array("PROXY TCP4 1.2.3.4".utf8)) == .signature)
        #expect(fault(Array("GET / HTTP/1.1".utf8)) == .signature)
        for place in Self.signature.indices {
            var damaged = Self.header(0x21, 0x11, Self.four)
            damaged[place] ^= 0x20
            #expect(fault(damaged) == .signature)
        }
        #expect(fault(Self.header(0x11, 0x11, Self.four)) == .command)
        #expect(fault(Self.header(0x22, 0x11, Self.four)) == .command)
        #expect(fault(Self.header(0x21, 0x12, Self.four)) == .family)
        #expect(fault(Self.header(0x21, 0x41, Self.four)) == .family)
        #expect(fault(Self.header(0x21, 0x11, Array(Self.four.dropLast()))) == .length)
        #expect(fault(Self.header(0x21, 0x21, Self.four)) == .length)
        // The length is judged before its bytes are waited for.
        #expect(fault(Self.signature + [0x21, 0x11, 0x02, 0x19]) == .length)
        #expect(fault(Self.signature + [0x21, 0x11, 0x02, 0x18]) == nil)
        #expect(fault(Self.header(0x21, 0x11, Self.four + [0x01])) == .extensions)
        #expect(fault(Self.header(0x21, 0x11, Self.four + [0x01, 0, 9, 1])) == .extensions)
        #expect(fault(Self.header(0x21, 0x11, Self.four + [0x03, 0, 2, 1, 1])) == .checksum)
    }

    @Test(arguments: 1...50) func `no bytes make the reader trap or ask for more than a header has`(_ seed: Int) {
        var chance = Chance(seed: UInt64(seed))
        for _ in 0..<500 {
            var bytes = Self.header(0x21, [0x11, 0x21, 0x31][Int(chance.below(3))], Self.six)
            for _ in 0..<chance.below(6) {
                bytes[12 + Int(chance.below(UInt64(bytes.count - 12)))] = UInt8(chance.below(256))
            }
            let cut = Int(chance.below(UInt64(bytes.count + 1)))
            if case .needs(let total) = try? ProxyHeader.read(Array(bytes[..<cut])) {
                #expect(total > cut && total <= ProxyHeader.maximumBytes)
            }
        }
    }
}
