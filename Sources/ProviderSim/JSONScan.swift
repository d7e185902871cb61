// A forward-only reader of JSON text, for the few members that the simulator looks at.
import Core

/// A place in a JSON text that moves forward. The text is an argument of each call, so that no borrow is stored.
struct JSONScan {
    /// Deepest nesting that is skipped.
    static let depthLimit = 64

    private(set) var offset = 0

    /// The next byte that is not white space; nil at the end of the text.
    mutating func peek(_ text: Span<UInt8>) -> UInt8? {
        while offset < text.count {
            switch text[offset] {
            case 0x20, 0x09, 0x0A, 0x0D: offset += 1
            default: return text[offset]
            }
        }
        return nil
    }

    private func fail() -> APIError {
        .invalid("We could not parse the JSON body of your request: unexpected byte at offset \(offset).")
    }

    mutating func take(_ byte: UInt8, _ text: Span<UInt8>) throws(APIError) {
        guard peek(text) == byte else { throw fail() }
        offset += 1
    }

    /// The next key of an object that was entered by taking `{`; nil at its end.
    mutating func nextKey(_ text: Span<UInt8>, isFirst: inout Bool) throws(APIError) -> Range<Int>? {
        if peek(text) == UInt8(ascii: "}") {
            offset += 1
            return nil
        }
        if !isFirst { try take(UInt8(ascii: ","), text) }
        isFirst = false
        let key = try string(text)
        try take(UInt8(ascii: ":"), text)
        return key
    }

    /// True when an array that was entered by taking `[` has another element; false at its end.
    mutating func nextElement(_ text: Span<UInt8>, isFirst: inout Bool) throws(APIError) -> Bool {
        if peek(text) == UInt8(ascii: "]") {
            offset += 1
            return false
        }
        if !isFirst { try take(UInt8(ascii: ","), text) }
        isFirst = false
        return true
    }

    /// The inside of a string, escapes untouched.
    mutating func string(_ text: Span<UInt8>) throws(APIError) -> Range<Int> {
        try take(UInt8(ascii: "\""), text)
        let start = offset
        while offset < text.count {
            switch text[offset] {
            case UInt8(ascii: "\""):
                offset += 1
                return start..<(offset - 1)
            case UInt8(ascii: "\\"): offset += 2
            case 0..<0x20: throw fail()
            default: offset += 1
            }
        }
        throw fail()
    }

    /// A whole number; nil for any other value, which is skipped.
    mutating func integer(_ text: Span<UInt8>) throws(APIError) -> Int? {
        _ = peek(text)
        let start = offset
        try skip(text)
        return SimulatorRequest.number(text, start..<offset)
    }

    /// True for `true`; false for any other value, which is skipped.
    mutating func isTrue(_ text: Span<UInt8>) throws(APIError) -> Bool {
        let first = peek(text)
        try skip(text)
        return first == UInt8(ascii: "t")
    }

    /// Skips one value.
    mutating func skip(_ text: Span<UInt8>, depth: Int = 0) throws(APIError) {
        guard depth < JSONScan.depthLimit else { throw fail() }
        var isFirst = true
        switch peek(text) {
        case UInt8(ascii: "\""): _ = try string(text)
        case UInt8(ascii: "{"):
            offset += 1
            while try nextKey(text, isFirst: &isFirst) != nil { try skip(text, depth: depth + 1) }
        case UInt8(ascii: "["):
            offset += 1
            while try nextElement(text, isFirst: &isFirst) { try skip(text, depth: depth + 1) }
        case UInt8(ascii: "t"): try literal("true", text)
        case UInt8(ascii: "f"): try literal("false", text)
        case UInt8(ascii: "n"): try literal("null", text)
        case .some(UInt8(ascii: "0")...UInt8(ascii: "9")), UInt8(ascii: "-"): skipNumber(text)
        default: throw fail()
        }
    }

    private mutating func literal(_ word: String, _ text: Span<UInt8>) throws(APIError) {
        let end = offset + word.utf8.count
        guard end <= text.count, SimulatorRequest.equals(text, offset..<end, word) else { throw fail() }
        offset = end
    }

    private mutating func skipNumber(_ text: Span<UInt8>) {
        while offset < text.count {
            switch text[offset] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
                UInt8(ascii: "e"), UInt8(ascii: "E"):
                offset += 1
            default: return
            }
        }
    }
}
