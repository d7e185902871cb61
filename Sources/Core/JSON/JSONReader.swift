// A pull parser for JSON (RFC 8259) over bytes that stay where they are: no copies, no allocation.

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

    enum Expectation: Sendable { case value, firstKey, key, firstElement, more, nothing, failed }

    /// The document.
    public let bytes: RawSpan
    /// Offset of the next byte to be read.
    public internal(set) var position = 0
    /// Objects and arrays that are open.
    public internal(set) var depth = 0
    var objects: UInt64 = 0
    var expectation = Expectation.value
    private var failure: JSONError?
    private let limits: JSONLimits
    /// The document's large values, where they are known: each is passed over in one step.
    var known: Span<JSONOutline.Large>
    /// Which of them comes next, and how many bytes were passed over.
    var nextKnown = 0
    var passed = 0

    /// A reader at the start of a document.
    @_lifetime(copy bytes) public init(_ bytes: RawSpan, limits: JSONLimits = JSONLimits()) {
        self.bytes = bytes
        self.limits = limits
        known = Span()
    }

    /// A reader at the start of a document whose large values are known.
    @_lifetime(copy bytes, copy known) init(_ bytes: RawSpan, known: Span<JSONOutline.Large>) {
        self.bytes = bytes
        limits = JSONLimits()
        self.known = known
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
        if !known.isEmpty, try passKnown() { return }
        let start = depth
        if try nextValue() == .end { throw fail("a value") }
        try skip(to: start)
    }

    /// Skips what was opened within `outer` levels and is not closed yet.
    @_lifetime(self: copy self) public mutating func skip(to outer: Int) throws(JSONError) {
        if !known.isEmpty, try leaveKnown(to: outer) { return }
        while depth > outer { _ = try next() }
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

    var inObject: Bool { depth > 0 && objects & (1 << UInt64(depth - 1)) != 0 }

    func peek() -> UInt8? { position < bytes.byteCount ? bytes.byte(at: position) : nil }

    /// Remembered, so that a caller who goes on after an error cannot find events in the middle of a broken text.
    mutating func fail(_ expected: JSONError.StaticText) -> JSONError {
        let error = JSONError(offset: position, expected: expected)
        failure = error
        expectation = .failed
        return error
    }

    @inline(__always) mutating func skipSpace() {
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
        if !known.isEmpty, let text = try knownText() { return text }
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

    mutating func escape() throws(JSONError) {
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

    mutating func multibyte() throws(JSONError) {
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
