// Holds the byte queue to its promises: order, bounds, slices that survive consumption, memory that is given back.
import Core
import Testing

@Suite struct ByteBufferTests {
    @Test func `bytes come out in the order they went in`() {
        var buffer = ByteBuffer()
        buffer.append(UInt8(7))
        buffer.append(integer: UInt32(0x0102_0304))
        buffer.append("é")
        buffer.append(literal: "ok")
        #expect(buffer.array() == [7, 1, 2, 3, 4, 0xC3, 0xA9, 0x6F, 0x6B])
        #expect(buffer.integer(at: 1, as: UInt32.self) == 0x0102_0304)
        buffer.consume(5)
        #expect(buffer.count == 4)
        #expect(buffer.byte(at: 0) == 0xC3)
    }

    @Test func `a slice outlives the consumption of its bytes`() {
        var buffer = ByteBuffer([1, 2, 3, 4])
        let slice = buffer.slice(at: 1, count: 2)
        buffer.consume(4)
        #expect(buffer.count == 0)
        #expect(buffer.array(of: slice) == [2, 3])
    }

    @Test func `growth and compaction keep what waits`() {
        var buffer = ByteBuffer()
        var expected: [UInt8] = []
        for round in 0..<2_000 {
            buffer.append([UInt8](repeating: UInt8(truncatingIfNeeded: round), count: round % 37))
            expected += [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: round % 37)
            let drop = min(expected.count, round % 29)
            buffer.consume(drop)
            expected.removeFirst(drop)
        }
        #expect(buffer.array() == expected)
    }

    @Test func `an empty buffer gives its memory back`() {
        var buffer = ByteBuffer(capacity: 4_096)
        buffer.append("x")
        buffer.releaseIfEmpty()
        #expect(buffer.allocatedBytes >= 4_096)
        buffer.consume(1)
        buffer.releaseIfEmpty()
        #expect(buffer.allocatedBytes == 0)
    }
}
