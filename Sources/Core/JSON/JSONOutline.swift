// Where the large values of a long document lie: found in parts, so that nobody has to read all of it in one go.

/// Reads a document through, a part at a time, and notes its large values.
///
/// A `JSONReader` that knows them passes over each in one step, so that it reads no more than `JSONOutline.walk` bytes of a document of any size.
/// Grammar, numbers, escapes and UTF-8 are checked here, once, by the same rules.
public struct JSONOutline: Sendable {
    /// A large value: from its first bracket or quote to behind its last.
    struct Large: Sendable {
        let start: UInt32
        let endAndEscapes: UInt32

        var end: Int { Int(endAndEscapes >> 1) }
        var hasEscapes: Bool { endAndEscapes & 1 != 0 }
    }

    /// Large values in the order in which they begin.
    private(set) var found: [Large] = []
    private var mark = JSONReader.Mark(position: 0)
    /// Where the objects and arrays that are open begin.
    private var open: [UInt32] = []
    /// Where the text under way begins, whether it is a key, and whether it has escapes.
    private var text: (start: Int, isKey: Bool, hasEscapes: Bool)?
    /// Blanks in a row so far.
    private var blanks = 0
    private let least: Int

    /// Bytes from which on a value is large.
    public static let least = 1_024
    /// The most that a reader may read of a document beside its large values.
    public static let walk = 1 << 20
    /// The most blanks between two parts of a document; more are no document's.
    static let mostBlanks = 64 * 1024
    /// The longest number.
    static let longestNumber = 1_024

    /// An outline of which nothing is known. Values of `least` bytes are large.
    public init(least: Int = JSONOutline.least) { self.least = least }

    /// Reads about `count` bytes more of the document, which is the same each time; true at its end.
    public mutating func scan(_ bytes: RawSpan, atMost count: Int) throws(JSONError) -> Bool {
        precondition(count > 0, "each part goes on")
        var reader = JSONReader(bytes)
        reader.go(to: mark)
        let stop = min(bytes.byteCount, reader.position + count)
        while reader.position < stop {
            if text == nil { try step(&reader, stop) } else { try goOn(&reader, stop) }
        }
        mark = reader.mark
        guard stop == bytes.byteCount else { return false }
        guard text == nil else { throw reader.fail("the end of a string") }
        guard case .end = try reader.next() else { throw reader.fail("the end of the document") }
        return true
    }

    /// One step of the grammar; of a text the quote alone.
    private mutating func step(_ reader: inout JSONReader, _ stop: Int) throws(JSONError) {
        blanks += reader.skipSpace(to: stop)
        guard blanks <= JSONOutline.mostBlanks else { throw reader.fail("less space") }
        guard reader.position < stop else { return }
        blanks = 0
        if reader.expectation == .more, reader.depth > 0, reader.peek() == UInt8(ascii: ",") {
            reader.position += 1
            reader.expectation = reader.inObject ? .key : .value
            return
        }
        if reader.peek() == UInt8(ascii: "\""), reader.expectation != .more, reader.expectation != .nothing {
            let isKey = reader.expectation == .key || reader.expectation == .firstKey
            text = (reader.position, isKey, false)
            reader.position += 1
            return
        }
        let start = reader.position
        guard reader.hasNumber(atMost: JSONOutline.longestNumber) else { throw reader.fail("a shorter number") }
        switch try reader.next() {
        case .objectStart, .arrayStart: open.append(UInt32(start))
        case .objectEnd, .arrayEnd: if let start = open.popLast() { note(Int(start), reader.position, false) }
        case .key, .string, .number, .bool, .null, .end: break
        }
    }

    /// Goes on with a text, at most to about `stop`.
    private mutating func goOn(_ reader: inout JSONReader, _ stop: Int) throws(JSONError) {
        guard let (start, isKey, _) = text else { return }
        while reader.position < stop {
            reader.skipPlain(to: stop)
            guard reader.position < stop, let byte = reader.peek() else { return }
            switch byte {
            case UInt8(ascii: "\""):
                reader.position += 1
                if !isKey, text?.hasEscapes == true || reader.position - start >= least {
                    note(start, reader.position, text?.hasEscapes == true)
                }
                text = nil
                return try end(isKey, &reader)
            case UInt8(ascii: "\\"):
                text?.hasEscapes = true
                try reader.escape()
            case 0x80...: try reader.multibyte()
            default: throw reader.fail("an escape instead of a control character")
            }
        }
    }

    /// A text is over.
    private func end(_ isKey: Bool, _ reader: inout JSONReader) throws(JSONError) {
        guard isKey else {
            reader.expectation = reader.depth == 0 ? .nothing : .more
            return
        }
        _ = reader.skipSpace(to: min(reader.bytes.byteCount, reader.position + JSONOutline.mostBlanks))
        guard reader.peek() == UInt8(ascii: ":") else { throw reader.fail("a colon") }
        reader.position += 1
        reader.expectation = .value
    }

    private mutating func note(_ start: Int, _ end: Int, _ hasEscapes: Bool) {
        guard end - start >= least else { return }
        let large = Large(start: UInt32(start), endAndEscapes: UInt32(end) << 1 | (hasEscapes ? 1 : 0))
        // What lies within it was noted before it.
        var place = found.count
        while place > 0, found[place - 1].start > large.start { place -= 1 }
        found.insert(large, at: place)
    }
}

extension JSONReader {
    /// A point in a document between two steps of its reader.
    public struct Mark: Sendable {
        var position: Int
        var depth = 0
        var objects: UInt64 = 0
        var expectation = Expectation.value

        /// Before the value that begins at `position`; behind it the reader takes the document for over.
        public init(position: Int) { self.position = position }
    }

    /// A reader at the start of a document whose large values are known.
    @_lifetime(copy bytes, borrow outline) public init(_ bytes: RawSpan, outline: borrowing JSONOutline) {
        self.init(bytes, known: outline.found.span)
    }

    /// Where it is.
    public var mark: Mark {
        var mark = Mark(position: position)
        (mark.depth, mark.objects, mark.expectation) = (depth, objects, expectation)
        return mark
    }

    /// Goes on at a mark of this document.
    public mutating func go(to mark: Mark) {
        // What is left out was not read here.
        passed += mark.position - position
        (position, depth, objects, expectation) = (mark.position, mark.depth, mark.objects, mark.expectation)
        nextKnown = 0
    }

    /// Another reader of the same document, before the value that begins at `position`.
    @_lifetime(copy self) public func reader(at position: Int) -> JSONReader {
        var other = JSONReader(bytes, known: known)
        other.passed = passed - self.position
        other.go(to: Mark(position: position))
        return other
    }

    /// Counts what another reader of the same document has read.
    @_lifetime(self: copy self) public mutating func count(_ other: borrowing JSONReader) {
        passed = position - (other.position - other.passed)
    }

    // MARK: - Passing over what is known

    /// Where the large value ends that begins at `start`; nil for what is not large.
    private mutating func knownEnd(_ start: Int) throws(JSONError) -> JSONOutline.Large? {
        guard position - passed <= JSONOutline.walk else { throw fail("less between large values") }
        guard nextKnown < known.count else { return nil }
        if known[nextKnown].start < start { findKnown(start) }
        guard nextKnown < known.count, known[nextKnown].start == start else { return nil }
        return known[nextKnown]
    }

    /// Steps over those that lie before `start`: a few, or all that lie in a value that was passed over.
    private mutating func findKnown(_ start: Int) {
        var (low, high) = (nextKnown, known.count)
        while low < high {
            let middle = (low + high) / 2
            if known[middle].start < start { low = middle + 1 } else { high = middle }
        }
        nextKnown = low
    }

    private mutating func pass(to end: Int) {
        passed += end - position
        position = end
    }

    /// The text whose opening quote was just read, when it is large.
    mutating func knownText() throws(JSONError) -> JSONText? {
        let start = position
        guard let large = try knownEnd(start - 1) else { return nil }
        pass(to: large.end)
        return JSONText(range: start..<(large.end - 1), hasEscapes: large.hasEscapes)
    }

    /// Passes over the value that comes next, when it is a large object or array.
    mutating func passKnown() throws(JSONError) -> Bool {
        skipSpace()
        guard expectation == .value || expectation == .firstElement, peek() != UInt8(ascii: "\""),
            let large = try knownEnd(position)
        else { return false }
        pass(to: large.end)
        expectation = depth == 0 ? .nothing : .more
        return true
    }

    /// Passes over the rest of a large object or array of which only the first bracket was read.
    mutating func leaveKnown(to outer: Int) throws(JSONError) -> Bool {
        guard depth == outer + 1, expectation == .firstKey || expectation == .firstElement,
            let large = try knownEnd(position - 1)
        else {
            guard position - passed <= JSONOutline.walk else { throw fail("less between large values") }
            return false
        }
        pass(to: large.end)
        depth = outer
        expectation = depth == 0 ? .nothing : .more
        return true
    }

    /// Skips blanks, at most to `stop`; returns how many there were.
    mutating func skipSpace(to stop: Int) -> Int {
        let start = position
        while position < stop {
            switch bytes.byte(at: position) {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return position - start
            }
        }
        return position - start
    }

    /// True unless a number of more than `most` bytes comes next.
    func hasNumber(atMost most: Int) -> Bool {
        var place = position
        while place < bytes.byteCount, place - position <= most {
            switch bytes.byte(at: place) {
            case 0x30...0x39, UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "e"),
                UInt8(ascii: "E"):
                place += 1
            default: return true
            }
        }
        return place - position <= most
    }

    /// Skips printable ASCII other than quote and backslash, at most to `stop`.
    mutating func skipPlain(to stop: Int) {
        while position + 8 <= stop {
            let special = JSONScan.special(in: bytes.word(at: position))
            guard special == 0 else {
                position += special.trailingZeroBitCount / 8
                return
            }
            position += 8
        }
        while position < stop {
            let byte = bytes.byte(at: position)
            guard byte >= 0x20, byte < 0x80, byte != 0x22, byte != 0x5C else { return }
            position += 1
        }
    }
}
