// Bytes that must not be seen: they never print, comparing them takes the same time wherever they differ, and they are
// cleared when nobody needs them any more.

/// A secret, such as a provider's API key. Its description is always `•••`.
///
/// The memory is overwritten when the last owner lets go. Copies that a caller makes of the lent bytes are the caller's.
public final class Secret: @unchecked Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    // Unchecked, because it is a variable; it is written by `deinit` alone, when no other thread can hold the object.
    private var bytes: [UInt8]

    /// Takes the bytes in.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Takes the UTF-8 bytes of `text` in.
    public convenience init(_ text: String) { self.init(Array(text.utf8)) }

    deinit { Secret.clear(&bytes) }

    /// Not optimized, so that writes to memory that is never read again are still made.
    @_optimize(none) private static func clear(_ bytes: inout [UInt8]) {
        for index in bytes.indices { bytes[index] = 0 }
    }

    /// Lends the bytes; do not keep them.
    public func withBytes<R>(_ body: ([UInt8]) throws -> R) rethrows -> R { try body(bytes) }

    /// Length in bytes.
    public var count: Int { bytes.count }

    /// Equality in constant time for equal lengths.
    public func equals(_ other: [UInt8]) -> Bool {
        guard bytes.count == other.count else { return false }
        return zip(bytes, other).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    /// Never the content.
    public var description: String { "•••" }
    /// Never the content.
    public var debugDescription: String { "•••" }
    /// Shows nothing to reflection.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
