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
        let bytes = [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) } }
        return Hexadecimal.text(bytes)
    }

    /// The same as `hex`.
    public var description: String { hex }
}
