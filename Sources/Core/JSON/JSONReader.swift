// A pull parser for JSON (RFC 8259) over bytes that stay where they are: no copies, no allocation.

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

/// Reads a document piece by piece. Everything it skips it also validates: grammar, numbers, escapes, UTF-8.
///
/// A lone surrogate in an escape (`\ud800`) is grammatical and therefore accepted; unescaping gives U+FFFD for it.
/// Repeated keys are reported as they come.
public struct JSONReader: ~Escapable {
    /// What comes next in the document.
    public enum Event: Equatable, Sendable {
        case objectStart, objectEnd, arrayStart, arrayEnd
        case key(JSONText)
        case string(JSONText)
        case number(JSONText)
        case bool(Bool)
        case null
        /// The document is complete; asked again, the answer stays the same.
        case end
    }

    private enum Expectation { case value, firstKey, key, firstElement, more, nothing, failed }

    /// The document.
    public let bytes: RawSpan
    /// Offset of the next byte to be read.
    public private(set) var position = 0
    /// Objects and arrays that are open.
    public private(set) var depth = 0
    private var objects: UInt64 = 0
    private var expectation = Expectation.value
    private var failure: JSONError?
    private let limits: JSONLimits

    /// A reader at the start of a document.
    @_lifetime(copy bytes) public init(_ bytes: RawSpan, limits: JSONLimits = JSONLimits()) {
        self.bytes = bytes
        self.limits = limits
    }

    /// The next event; throws where the bytes stop being JSON, and then again each time.
    @_lifetime(self: copy self) public mutating func next() throws(JSONError) -> Event {
        skipSpace()
        switch expectation {
        case .value: return try value()
        case .firstKey: return peek() == UInt8(ascii: "}") ? close(object: true) : try key()
        case .key: return try key()
        case .firstElement: return peek() == UInt8(ascii: "]") ? close(object: false) : try value()
        case .more: return try more()
        case .nothing:
            guard position == bytes.byteCount else { throw fail("the end of the document") }
            return .end
        case .failed: throw failure ?? JSONError(offset: position, expected: "a document")
        }
    }

    /// The key of the next member of the object that is open; nil at the object's end, which is then behind.
    @_lifetime(self: copy self) public mutating func nextKey() throws(JSONError) -> JSONText? {
        skipSpace()
        switch (expectation, peek()) {
        case (.more, UInt8(ascii: ",")) where inObject:
            position += 1
            skipSpace()
        case (.more, UInt8(ascii: "}")) where inObject, (.firstKey, UInt8(ascii: "}")):
            _ = close(object: true)
            return nil
        case (.firstKey, _), (.key, _): break
        default:
            guard case .key(let key) = try next() else { return nil }
            return key
        }
        return try keyText()
    }

    /// The value that comes next, or what begins it.
    @_lifetime(self: copy self) public mutating func nextValue() throws(JSONError) -> Event {
        guard expectation == .value else { return try next() }
        skipSpace()
        return try value()
    }

    /// Skips the value that comes next, whole.
    @_lifetime(self: copy self) public mutating func skipValue() throws(JSONError) {
        let start = depth
        if try nextValue() == .end { throw fail("a value") }
        while depth > start { _ = try next() }
    }

    /// The bytes of the value that comes next, skipping it; for values that are passed through as they are.
    @_lifetime(self: copy self) public mutating func rawValue() throws(JSONError) -> Range<Int> {
        skipSpace()
        let start = position
        try skipValue()
        return start..<position
    }

    /// The bytes of the next element of the array that is open; nil at its end, which is then behind.
    @_lifetime(self: copy self) public mutating func nextElement() throws(JSONError) -> Range<Int>? {
        skipSpace()
        if expectation == .more, peek() == UInt8(ascii: ",") {
            position += 1
            skipSpace()
            expectation = .value
        }
        if expectation != .value, peek() == UInt8(ascii: "]") {
            _ = try next()
            return nil
        }
        return try rawValue()
    }

    /// The text whose opening quote stands right before `start`; nil when it does not end, or breaks a rule.
    public static func text(in bytes: RawSpan, from start: Int) -> JSONText? {
        var reader = JSONReader(bytes)
        reader.position = start - 1
        return try? reader.string()
    }

    private var inObject: Bool { depth > 0 && objects & (1 << UInt64(depth - 1)) != 0 }

    private func peek() -> UInt8? { position < bytes.byteCount ? bytes.byte(at: position) : nil }

    /// Remembered, so that a caller who goes on after an error cannot find events in the middle of a broken text.
    private mutating func fail(_ expected: JSONError.StaticText) -> JSONError {
        let error = JSONError(offset: position, expected: expected)
        failure = error
        expectation = .failed
        return error
    }

    @inline(__always) private mutating func skipSpace() {
        // Providers write no space: one look is mostly all.
        if position < bytes.byteCount, bytes.byte(at: position) > 0x20 { return }
        skipSpaces()
    }

    private mutating func skipSpaces() {
        while position < bytes.byteCount {
            switch bytes.byte(at: position) {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    @inline(__always) private mutating func more() throws(JSONError) -> Event {
        switch (peek(), inObject) {
        case (UInt8(ascii: ","), let inObject):
            position += 1
            skipSpace()
            return inObject ? try key() : try value()
        case (UInt8(ascii: "}"), true): return close(object: true)
        case (UInt8(ascii: "]"), false): return close(object: false)
        case (_, true): throw fail("a comma or the end of the object")
        case (_, false): throw fail("a comma or the end of the array")
        }
    }

    private mutating func close(object: Bool) -> Event {
        position += 1
        depth -= 1
        expectation = depth == 0 ? .nothing : .more
        return object ? .objectEnd : .arrayEnd
    }

    private mutating func open(object: Bool) throws(JSONError) -> Event {
        guard depth < limits.depth else { throw fail("less nesting") }
        position += 1
        objects = object ? objects | (1 << UInt64(depth)) : objects & ~(1 << UInt64(depth))
        depth += 1
        expectation = object ? .firstKey : .firstElement
        return object ? .objectStart : .arrayStart
    }

    @inline(__always) private mutating func key() throws(JSONError) -> Event { .key(try keyText()) }

    private mutating func keyText() throws(JSONError) -> JSONText {
        guard peek() == UInt8(ascii: "\"") else { throw fail("a key") }
        let text = try string()
        skipSpace()
        guard peek() == UInt8(ascii: ":") else { throw fail("a colon") }
        position += 1
        expectation = .value
        return text
    }

    private mutating func value() throws(JSONError) -> Event {
        guard bytes.byteCount <= limits.size else { throw fail("a smaller document") }
        let event: Event
        switch peek() {
        case UInt8(ascii: "{"): return try open(object: true)
        case UInt8(ascii: "["): return try open(object: false)
        case UInt8(ascii: "\""): event = .string(try string())
        case UInt8(ascii: "t"): event = try word("true", .bool(true))
        case UInt8(ascii: "f"): event = try word("false", .bool(false))
        case UInt8(ascii: "n"): event = try word("null", .null)
        case .some(let byte) where byte == UInt8(ascii: "-") || byte &- 0x30 < 10: event = .number(try number())
        default: throw fail("a value")
        }
        expectation = depth == 0 ? .nothing : .more
        return event
    }

    private mutating func word(_ word: StaticString, _ event: Event) throws(JSONError) -> Event {
        let end = position + word.utf8CodeUnitCount
        guard end <= bytes.byteCount, bytes.matches(word, in: position..<end) else { throw fail("a value") }
        position = end
        return event
    }

    private mutating func number() throws(JSONError) -> JSONText {
        let start = position
        if peek() == UInt8(ascii: "-") { position += 1 }
        if peek() == UInt8(ascii: "0") { position += 1 } else { try digits() }
        if peek() == UInt8(ascii: ".") {
            position += 1
            try digits()
        }
        if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
            position += 1
            if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        return JSONText(range: start..<position, hasEscapes: false)
    }

    @inline(__always) private mutating func digits() throws(JSONError) {
        let start = position
        while let byte = peek(), byte &- 0x30 < 10 { position += 1 }
        guard position > start else { throw fail("a digit") }
    }

    @inline(__always) private mutating func string() throws(JSONError) -> JSONText {
        position += 1
        let start = position
        skipPlain()
        guard peek() == UInt8(ascii: "\"") else { return try unusualString(from: start) }
        position += 1
        return JSONText(range: start..<(position - 1), hasEscapes: false)
    }

    /// Goes on with a string that holds more than plain ASCII, or does not end.
    private mutating func unusualString(from start: Int) throws(JSONError) -> JSONText {
        var hasEscapes = false
        while true {
            skipPlain()
            guard let byte = peek() else { throw fail("the end of a string") }
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return JSONText(range: start..<(position - 1), hasEscapes: hasEscapes)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                try escape()
            case 0x80...: try multibyte()
            default: throw fail("an escape instead of a control character")
            }
        }
    }

    /// Skips printable ASCII other than quote and backslash, eight bytes at a time.
    @inline(__always) private mutating func skipPlain() {
        while position + 8 <= bytes.byteCount {
            let special = JSONScan.special(in: bytes.word(at: position))
            guard special == 0 else {
                position += special.trailingZeroBitCount / 8
                return
            }
            position += 8
        }
        while let byte = peek(), byte >= 0x20, byte < 0x80, byte != 0x22, byte != 0x5C { position += 1 }
    }

    private mutating func escape() throws(JSONError) {
        position += 1
        switch peek() {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 1
        case UInt8(ascii: "u"):
            position += 1
            for _ in 0..<4 {
                guard let byte = peek(), JSONScan.hexValue(byte) != nil else { throw fail("a hexadecimal digit") }
                position += 1
            }
        default: throw fail("an escape")
        }
    }

    private mutating func multibyte() throws(JSONError) {
        guard let length = bytes.lengthOfSequence(at: position) else { throw fail("valid UTF-8") }
        position += length
    }
}

/// Byte classes that reader and writer share.
@usableFromInline enum JSONScan {
    /// A bit set in each byte of the result whose byte in `word` is below 0x20, at or above 0x80, a quote or a backslash; exact for the lowest one.
    @inlinable static func special(in word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let quote = word ^ (ones &* 0x22)
        let backslash = word ^ (ones &* 0x5C)
        let below = (word &- ones &* 0x20) & ~word
        return (below | ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | word) & highs
    }

    /// True for printable ASCII without quote and backslash. The last eight bytes overlap those before them.
    static func isPlain(_ text: RawSpan) -> Bool {
        let count = text.byteCount
        guard count >= 8 else {
            for place in 0..<count {
                let byte = text.byte(at: place)
                guard byte >= 0x20, byte < 0x80, byte != 0x22, byte != 0x5C else { return false }
            }
            return true
        }
        var place = 0
        while place + 8 < count {
            guard special(in: text.word(at: place)) == 0 else { return false }
            place += 8
        }
        return special(in: text.word(at: count - 8)) == 0
    }

    @inlinable static func hexValue(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }
}
