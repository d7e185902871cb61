// Comparing and searching spans in blocks finds what looking at each byte finds.
import Core
import Testing

@Suite struct SpanTests {
    private func lineEnd(_ bytes: [UInt8], _ start: Int) -> Int { bytes.span.bytes.lineEnd(from: start) }

    private func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.span.bytes.isEqual(to: right.span.bytes)
    }

    @Test func `a line end is found wherever it stands`() {
        for count in 0...80 {
            for start in 0...count {
                // Control characters that end no line, and bytes of UTF-8, must not be taken for one.
                for filler: UInt8 in [0x61, 0x09, 0x1F, 0x8D, 0xFF, 0x0B, 0x0E] {
                    let bytes = [UInt8](repeating: filler, count: count)
                    #expect(lineEnd(bytes, start) == count)
                }
            }
        }
        for place in 0..<80 {
            for end: UInt8 in [10, 13] {
                var bytes = (0..<80).map { UInt8(0x20 + $0) }
                bytes[place] = end
                if place > 3 { bytes[place - 3] = 0x09 }
                if place + 1 < 80 { bytes[place + 1] = 23 - end }
                for start in 0...place { #expect(lineEnd(bytes, start) == place) }
            }
        }
    }

    @Test func `any order of bytes is searched as one by one`() {
        var chance = Chance(seed: 7)
        for _ in 0..<2_000 {
            let bytes = (0..<Int(chance.below(100))).map { _ in
                [UInt8(chance.below(256)), 9, 10, 13, 0x61, 0x61, 0x61][Int(chance.below(7))]
            }
            let start = Int(chance.below(UInt64(bytes.count + 1)))
            let expected = bytes[start...].firstIndex { $0 == 10 || $0 == 13 } ?? bytes.count
            #expect(lineEnd(bytes, start) == expected)
        }
    }

    @Test func `spans are equal exactly when every byte is`() {
        for count in 0...80 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            #expect(areEqual(bytes, bytes))
            #expect(!areEqual(bytes, bytes + [0]))
            for place in 0..<count {
                var other = bytes
                other[place] ^= 1 << UInt8(place % 8)
                #expect(!areEqual(bytes, other))
            }
        }
    }
}
