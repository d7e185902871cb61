// Bytes that must not be seen: they never print, and comparing them takes the same time wherever they differ.

/// A secret, such as a provider's API key. Its description is always `•••`.
public final class Secret: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let bytes: [UInt8]

    /// Takes the bytes in.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Takes the UTF-8 bytes of `text` in.
    public convenience init(_ text: String) { self.init(Array(text.utf8)) }

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
