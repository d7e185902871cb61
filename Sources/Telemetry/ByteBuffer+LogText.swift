// What a log line is made of: escaped text, hexadecimal identifiers and timestamps.
import Core

extension ByteBuffer {
    /// Appends text with JSON's escapes (RFC 8259, section 7), at most `limit` source bytes of it; repairs malformed UTF-8.
    mutating func append(escaping source: RawSpan, limit: Int) {
        let bytes = Span<UInt8>(_bytes: source)
        let end = min(bytes.count, limit)
        var runStart = 0
        var index = 0
        while index < end {
            let byte = bytes[index]
            if byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
                index += 1
                continue
            }
            if byte >= 0x80 {
                let length = ByteBuffer.lengthOfScalar(in: bytes, at: index)
                if length > 0, index + length <= end {
                    index += length
                    continue
                }
                append(source.extracting(runStart..<index))
                // A scalar that the limit cuts is dropped; a byte that belongs to no scalar becomes U+FFFD.
                if length > 0 {
                    runStart = end
                    break
                }
                append(literal: "\u{FFFD}")
            } else {
                append(source.extracting(runStart..<index))
                append(escape: byte)
            }
            index += 1
            runStart = index
        }
        if runStart < end { append(source.extracting(runStart..<end)) }
        if bytes.count > end { append(literal: "…") }
    }

    private mutating func append(escape byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): append(literal: "\\\"")
        case UInt8(ascii: "\\"): append(literal: "\\\\")
        case UInt8(ascii: "\n"): append(literal: "\\n")
        case UInt8(ascii: "\r"): append(literal: "\\r")
        case UInt8(ascii: "\t"): append(literal: "\\t")
        default:
            append(literal: "\\u00")
            append(hexByte: byte)
        }
    }

    /// Bytes of the well-formed UTF-8 scalar that begins at `index`, 0 when there is none (Unicode table 3-7).
    private static func lengthOfScalar(in bytes: Span<UInt8>, at index: Int) -> Int {
        func isTail(_ offset: Int, _ range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
            index + offset < bytes.count && range.contains(bytes[index + offset])
        }
        switch bytes[index] {
        case 0xC2...0xDF: return isTail(1) ? 2 : 0
        case 0xE0: return isTail(1, 0xA0...0xBF) && isTail(2) ? 3 : 0
        case 0xED: return isTail(1, 0x80...0x9F) && isTail(2) ? 3 : 0
        case 0xE1...0xEF: return isTail(1) && isTail(2) ? 3 : 0
        case 0xF0: return isTail(1, 0x90...0xBF) && isTail(2) && isTail(3) ? 4 : 0
        case 0xF1...0xF3: return isTail(1) && isTail(2) && isTail(3) ? 4 : 0
        case 0xF4: return isTail(1, 0x80...0x8F) && isTail(2) && isTail(3) ? 4 : 0
        default: return 0
        }
    }

    mutating func append(hexByte byte: UInt8) {
        append(ByteBuffer.hexDigit(byte >> 4))
        append(ByteBuffer.hexDigit(byte & 15))
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }

    /// Appends 16 lowercase hexadecimal digits.
    mutating func append(hex value: UInt64) {
        var digits: [16 of UInt8] = .init(repeating: 0)
        for place in 0..<16 {
            digits[place] = ByteBuffer.hexDigit(UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * place)) & 15)
        }
        append(RawSpan(_elements: digits.span))
    }

    /// Appends `2026-11-23T12:00:00.000000Z` for microseconds since 1970 (RFC 3339, UTC). Years outside 0…9999 are clamped.
    mutating func append(timestamp microseconds: Int64) {
        // 0000-01-01T00:00:00Z … 9999-12-31T23:59:59.999999Z, the years that RFC 3339 can write.
        let moment = min(max(microseconds, -62_167_219_200_000_000), 253_402_300_799_999_999)
        let second = moment >= 0 ? moment / 1_000_000 : (moment - 999_999) / 1_000_000
        let day = second >= 0 ? second / 86_400 : (second - 86_399) / 86_400
        let (year, month, dayOfMonth) = ByteBuffer.civilDate(ofDay: day)
        let secondOfDay = second - day * 86_400
        var text: [27 of UInt8] = .init(repeating: UInt8(ascii: "-"))
        func put(_ value: Int64, width: Int, endingAt end: Int) {
            var rest = value
            for place in 1...width {
                text[end - place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
        }
        put(year, width: 4, endingAt: 4)
        put(month, width: 2, endingAt: 7)
        put(dayOfMonth, width: 2, endingAt: 10)
        text[10] = UInt8(ascii: "T")
        put(secondOfDay / 3600, width: 2, endingAt: 13)
        text[13] = UInt8(ascii: ":")
        put(secondOfDay / 60 % 60, width: 2, endingAt: 16)
        text[16] = UInt8(ascii: ":")
        put(secondOfDay % 60, width: 2, endingAt: 19)
        text[19] = UInt8(ascii: ".")
        put(moment - second * 1_000_000, width: 6, endingAt: 26)
        text[26] = UInt8(ascii: "Z")
        append(RawSpan(_elements: text.span))
    }

    /// The Gregorian date of a day counted from 1970-01-01.
    ///
    /// Years are counted from March, so that the leap day is the last of its year; 400 years have 146 097 days.
    private static func civilDate(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = day + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }
}
