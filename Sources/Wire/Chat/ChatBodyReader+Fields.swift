// The pieces that body items are made of: lengths, texts, decimals, JSON.

import Core

extension ChatBodyReader {
    func invalid(_ field: StaticString, _ expected: String) -> BodyError {
        BodyError(.invalidRequest, at: itemStart, field, expected)
    }

    func tooMany(_ field: StaticString, _ expected: String) -> BodyError {
        BodyError(.tooLarge, at: itemStart, field, expected)
    }

    /// A setting stands once.
    mutating func once(_ tag: UInt8) throws(BodyError) {
        isInMessage = false
        let bit: UInt64 = 1 << UInt64(tag & 0x3F)
        guard seen & bit == 0 else { throw invalid("body", "each setting once") }
        seen |= bit
    }

    /// A little-endian base-128 integer of at most 32 bits, in the fewest bytes.
    mutating func varint(end: Int) throws(BodyError) -> Int {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while cursor < end, shift < 35 {
            let byte = span.byte(at: cursor)
            cursor += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 {
                guard byte != 0 || shift == 0, value <= UInt32.max else { break }
                return Int(value)
            }
            shift += 7
        }
        throw invalid("body", "a length of at most 32 bits in the fewest bytes")
    }

    /// Everything up to the item's end.
    mutating func rest(_ end: Int) -> ByteSlice {
        let slice = ByteSlice(start: base + cursor, count: end - cursor)
        cursor = end
        return slice
    }

    /// Everything up to the item's end, as text.
    mutating func text(
        _ field: StaticString, _ end: Int, _ lengths: ClosedRange<Int> = 0...Int.max
    ) throws(BodyError) -> ByteSlice {
        guard lengths.contains(end - cursor) else { throw invalid(field, "a text within its length limits") }
        guard span.extracting(cursor..<end).isUTF8 else { throw invalid(field, "UTF-8") }
        return rest(end)
    }

    /// Everything up to the item's end, as a name: people read it in lists and logs.
    mutating func name(_ field: StaticString, _ end: Int, _ lengths: ClosedRange<Int>) throws(BodyError) -> ByteSlice {
        let start = cursor
        let slice = try text(field, end, lengths)
        guard !span.extracting(start..<end).hasControls else {
            throw invalid(field, "a name without control and formatting characters")
        }
        return slice
    }

    /// A short name behind its own length.
    mutating func nameHead(
        _ field: StaticString, _ end: Int, _ lengths: ClosedRange<Int>
    ) throws(BodyError) -> ByteSlice {
        let length = try varint(end: end)
        guard length <= end - cursor else { throw invalid(field, "as many bytes as its length says") }
        return try name(field, cursor + length, lengths)
    }

    /// A short text behind its own length.
    mutating func head(
        _ field: StaticString, _ end: Int, _ lengths: ClosedRange<Int>
    ) throws(BodyError) -> ByteSlice {
        let length = try varint(end: end)
        guard length <= end - cursor else { throw invalid(field, "as many bytes as its length says") }
        return try text(field, cursor + length, lengths)
    }

    mutating func small(
        _ field: StaticString, _ end: Int, _ values: ClosedRange<UInt8>
    ) throws(BodyError) -> Int {
        guard end - cursor == 1, values.contains(span.byte(at: cursor)) else {
            throw invalid(field, "one byte within its range")
        }
        cursor = end
        return Int(span.byte(at: end - 1))
    }

    /// A number by JSON's grammar, of at most 32 bytes: it is written into the provider's request as it is.
    mutating func decimal(_ field: StaticString, _ end: Int) throws(BodyError) -> ByteSlice {
        guard (1...32).contains(end - cursor) else { throw invalid(field, "a decimal of 1 to 32 bytes") }
        guard Self.isNumber(span.extracting(cursor..<end)) else {
            throw invalid(field, "a decimal by JSON's grammar")
        }
        return rest(end)
    }

    /// A JSON object, complete and not too deep: it is written into the provider's request as it is.
    mutating func object(_ field: StaticString, _ end: Int, limit: Int) throws(BodyError) -> ByteSlice {
        guard end - cursor <= limit else { throw tooMany(field, "at most \(limit) bytes") }
        guard Self.isObject(span.extracting(cursor..<end), depth: limits.jsonDepth) else {
            throw invalid(field, "a JSON object, complete and nested at most \(limits.jsonDepth) deep")
        }
        return rest(end)
    }

    private static func isNumber(_ text: RawSpan) -> Bool {
        var reader = JSONReader(text)
        // White space around it would be harmless, but one number has one spelling here.
        guard case .number(let digits)? = try? reader.next(), digits.range == 0..<text.byteCount else { return false }
        return (try? reader.next()) == .end
    }

    private static func isObject(_ text: RawSpan, depth: Int) -> Bool {
        var reader = JSONReader(text, limits: JSONLimits(depth: depth, size: text.byteCount))
        guard (try? reader.next()) == .objectStart else { return false }
        while reader.depth > 0 {
            guard (try? reader.next()) != nil else { return false }
        }
        return (try? reader.next()) == .end
    }
}
