// Writes JSON straight into a byte buffer: commas and quotes by itself, text escaped as it streams through.

/// The state of a document being written; the bytes go into the buffer that each call names.
///
/// Misuse, such as a value where a key belongs, is the caller's mistake and not checked beyond nesting.
public struct JSONWriter: Sendable {
    /// A bit for each open object or array: whether a comma goes before its next value.
    private var needsComma: UInt64 = 0
    private var depth = 0

    /// Levels of nesting, as many as `JSONReader` takes.
    public static let maximumDepth = 64

    /// A writer at the start of a value.
    public init() {}

    /// Opens an object.
    public mutating func beginObject(_ output: inout ByteBuffer) { open(UInt8(ascii: "{"), &output) }
    /// Closes an object.
    public mutating func endObject(_ output: inout ByteBuffer) { close(UInt8(ascii: "}"), &output) }
    /// Opens an array.
    public mutating func beginArray(_ output: inout ByteBuffer) { open(UInt8(ascii: "["), &output) }
    /// Closes an array.
    public mutating func endArray(_ output: inout ByteBuffer) { close(UInt8(ascii: "]"), &output) }

    /// A key that needs no escapes.
    public mutating func key(_ name: StaticString, _ output: inout ByteBuffer) {
        separate(&output)
        output.append(UInt8(ascii: "\""))
        output.append(literal: name)
        output.append(integer: UInt16(0x223A))  // ":
        needsComma &= ~bit
    }

    /// A key from text.
    public mutating func key(_ name: String, _ output: inout ByteBuffer) {
        string(name, &output)
        output.append(UInt8(ascii: ":"))
        needsComma &= ~bit
    }

    /// A text value.
    public mutating func string(_ text: String, _ output: inout ByteBuffer) {
        separate(&output)
        output.append(UInt8(ascii: "\""))
        var text = text
        text.makeContiguousUTF8()
        let span = text.utf8Span.span.raw
        JSONWriter.escape(span, &output)
        output.append(UInt8(ascii: "\""))
    }

    /// A text value that needs no escapes.
    public mutating func string(literal text: StaticString, _ output: inout ByteBuffer) {
        separate(&output)
        output.append(UInt8(ascii: "\""))
        output.append(literal: text)
        output.append(UInt8(ascii: "\""))
    }

    /// A text value from UTF-8 bytes; malformed bytes become U+FFFD.
    public mutating func string(_ text: RawSpan, _ output: inout ByteBuffer) {
        beginString(&output)
        JSONWriter.escape(text, &output)
        endString(&output)
    }

    /// Opens a text value that `escape` then fills piece by piece.
    public mutating func beginString(_ output: inout ByteBuffer) {
        separate(&output)
        output.append(UInt8(ascii: "\""))
    }

    /// Closes a text value.
    public mutating func endString(_ output: inout ByteBuffer) { output.append(UInt8(ascii: "\"")) }

    /// An integer.
    public mutating func integer(_ value: some FixedWidthInteger, _ output: inout ByteBuffer) {
        separate(&output)
        output.append(decimal: value)
    }

    /// A truth value.
    public mutating func bool(_ value: Bool, _ output: inout ByteBuffer) {
        separate(&output)
        output.append(literal: value ? "true" : "false")
    }

    /// Null.
    public mutating func null(_ output: inout ByteBuffer) {
        separate(&output)
        output.append(literal: "null")
    }

    /// A value that is JSON already, byte for byte.
    public mutating func raw(_ json: RawSpan, _ output: inout ByteBuffer) {
        separate(&output)
        output.append(json)
    }

    /// A value that is JSON already, such as a number kept as text.
    public mutating func raw(_ json: String, _ output: inout ByteBuffer) {
        separate(&output)
        output.append(json)
    }

    /// The bit of the innermost level; outside of all, where one value stands, none.
    private var bit: UInt64 { depth == 0 ? 0 : 1 << UInt64(depth - 1) }

    private mutating func separate(_ output: inout ByteBuffer) {
        if needsComma & bit != 0 { output.append(UInt8(ascii: ",")) }
        needsComma |= bit
    }

    private mutating func open(_ byte: UInt8, _ output: inout ByteBuffer) {
        separate(&output)
        output.append(byte)
        precondition(depth < JSONWriter.maximumDepth, "nesting is kept in one 64-bit word")
        depth += 1
        needsComma &= ~bit
    }

    private mutating func close(_ byte: UInt8, _ output: inout ByteBuffer) {
        precondition(depth > 0, "only an open object or array can be closed")
        depth -= 1
        output.append(byte)
    }

    /// Appends `text` with what JSON requires escaped; clean runs are copied as one.
    ///
    /// Malformed UTF-8 becomes U+FFFD, byte by byte; so a text given in pieces must be cut between characters.
    public static func escape(_ text: RawSpan, _ output: inout ByteBuffer) {
        // Mostly nothing is to be escaped.
        if JSONScan.isPlain(text) { return output.append(text) }
        escapeSome(text, &output)
    }

    private static func escapeSome(_ text: RawSpan, _ output: inout ByteBuffer) {
        var clean = 0
        var place = 0
        let count = text.byteCount
        while place < count {
            if place + 8 <= count {
                // Eight bytes at a time up to the first that is not plain.
                let special = JSONScan.special(in: text.word(at: place))
                place += special == 0 ? 8 : special.trailingZeroBitCount / 8
                if special == 0 { continue }
            }
            let byte = text.byte(at: place)
            if byte >= 0x80, let length = text.lengthOfSequence(at: place) {
                place += length
                continue
            }
            if byte >= 0x20, byte < 0x80, byte != 0x22, byte != 0x5C {
                place += 1
                continue
            }
            if place > clean { output.append(text.extracting(clean..<place)) }
            escapeOne(byte, &output)
            place += 1
            clean = place
        }
        if place > clean { output.append(text.extracting(clean..<place)) }
    }

    private static func escapeOne(_ byte: UInt8, _ output: inout ByteBuffer) {
        switch byte {
        case UInt8(ascii: "\""): output.append(literal: "\\\"")
        case UInt8(ascii: "\\"): output.append(literal: "\\\\")
        case 0x0A: output.append(literal: "\\n")
        case 0x0D: output.append(literal: "\\r")
        case 0x09: output.append(literal: "\\t")
        case 0x80...: output.append(literal: "\\ufffd")
        default:
            output.append(literal: "\\u00")
            output.append(byte >> 4 + 0x30)
            output.append(byte & 15 < 10 ? byte & 15 + 0x30 : byte & 15 + 0x57)
        }
    }
}
