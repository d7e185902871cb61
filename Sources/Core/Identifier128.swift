// A 128-bit identifier: idempotency keys, request ids, trace ids.

/// 128 bits that name one thing. Random ids do not collide in practice; no part of them has a meaning.
@frozen public struct Identifier128: Hashable, Sendable, CustomStringConvertible {
    /// The first eight bytes, big-endian.
    public let high: UInt64
    /// The last eight bytes, big-endian.
    public let low: UInt64

    /// An identifier of two halves.
    @inlinable public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// 32 lowercase hexadecimal digits.
    public var hex: String {
        let digits = [high, low].map { half in
            let text = String(half, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return digits.joined()
    }

    /// The same as `hex`.
    public var description: String { hex }
}
