// Which of Redis Cluster's 16,384 slots a key belongs to.

import Core

/// A slot of Redis Cluster. Keys of one slot live on one primary, and only they may meet in one script.
public struct RedisSlot: Hashable, Sendable {
    /// How many slots there are (Redis Cluster specification, "Key distribution model").
    public static let count = 16_384

    /// 0…16,383.
    public let number: UInt16

    /// A slot by its number; nil when there is none.
    init?(_ number: Int) {
        guard (0..<RedisSlot.count).contains(number) else { return nil }
        self.number = UInt16(number)
    }

    /// The slot of a key: of what stands between the first `{` and the next `}`, when that is something; of all of it otherwise.
    public init(key: [UInt8]) {
        var tag = key[...]
        if let open = key.firstIndex(of: UInt8(ascii: "{")) {
            let rest = key[(open + 1)...]
            if let end = rest.firstIndex(of: UInt8(ascii: "}")), end > rest.startIndex { tag = rest[..<end] }
        }
        var sum = SlotSum()
        for byte in tag { sum.add(byte) }
        self = sum.slot
    }

    fileprivate init(sum: UInt16) { number = sum % UInt16(RedisSlot.count) }
}

/// The checksum that slots are made of, byte by byte: CRC-16/XMODEM (polynomial 0x1021, beginning with 0).
struct SlotSum {
    private var value: UInt16 = 0

    /// The polynomial has three terms, so that eight steps of division fold into shifts; no table is needed.
    mutating func add(_ byte: UInt8) {
        var head = UInt8(value >> 8) ^ byte
        head ^= head >> 4
        let wide = UInt16(head)
        value = value << 8 ^ wide << 12 ^ wide << 5 ^ wide
    }

    var slot: RedisSlot { RedisSlot(sum: value) }
}
