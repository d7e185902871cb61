// What a document's reader hands out and refuses: texts and numbers where they lie, errors, limits.

/// A piece of text inside a JSON document, without its quotes.
public struct JSONText: Equatable, Sendable {
    // Two halves of a word, so that an event travels in registers; documents have less than 2 GiB.
    @usableFromInline let start: UInt32
    @usableFromInline let lengthAndEscapes: UInt32

    /// Where the bytes lie in the document.
    @inlinable @inline(__always) public var range: Range<Int> {
        let start = Int(self.start)
        return start..<start + Int(lengthAndEscapes >> 1)
    }

    /// True when the bytes contain escapes, so that they must be unescaped before use.
    @inlinable @inline(__always) public var hasEscapes: Bool { lengthAndEscapes & 1 != 0 }

    /// A text at `range`.
    @inlinable @inline(__always) public init(range: Range<Int>, hasEscapes: Bool) {
        start = UInt32(truncatingIfNeeded: range.lowerBound)
        lengthAndEscapes = UInt32(truncatingIfNeeded: range.count) << 1 | (hasEscapes ? 1 : 0)
    }
}

/// Why a document is not JSON: what was expected where.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Offset of the offending byte from the start of the document.
    public let offset: Int
    /// What was expected.
    public let expected: StaticText

    /// For example `byte 17: expected a comma or the end of the array`.
    public var description: String { "byte \(offset): expected \(expected.text)" }

    /// A literal that compares by content; without reference counts, so that a reader stays a plain value.
    public struct StaticText: Equatable, Sendable, ExpressibleByStringLiteral {
        private let literal: StaticString

        /// From a literal.
        public init(stringLiteral literal: StaticString) { self.literal = literal }

        /// The text.
        public var text: String { literal.description }

        /// The same text.
        public static func == (left: StaticText, right: StaticText) -> Bool { left.text == right.text }
    }
}

/// Bounds of a document.
public struct JSONLimits: Sendable {
    /// Nesting of objects and arrays, at most 64.
    public var depth: Int
    /// Bytes of the whole document, less than 2 GiB.
    public var size: Int

    /// Nesting of at most `depth` levels and at most `size` bytes.
    public init(depth: Int = 64, size: Int = 64 << 20) {
        precondition((1...64).contains(depth), "nesting is kept in one 64-bit word")
        precondition(size < 1 << 31, "a place in a document is kept in 32 bits")
        self.depth = depth
        self.size = size
    }
}
