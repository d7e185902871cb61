// What a log line is made of: escaped text, hexadecimal identifiers and timestamps.
import Core

extension ByteBuffer {
    /// Appends text with JSON's escapes, at most `limit` source bytes of it; cut text ends in `…`. Repairs malformed UTF-8, and spells
    /// what a terminal would obey.
    mutating func append(escaping source: RawSpan, limit: Int) {
        guard source.byteCount > limit else { return append(spelling: source) }
        var end = limit
        // Never in the middle of a character: at most three continuation bytes belong to one.
        while end > max(0, limit - 3), source.byte(at: end) & 0xC0 == 0x80 { end -= 1 }
        append(spelling: source.extracting(0..<end))
        append(literal: "…")
    }

    private mutating func append(spelling source: RawSpan) {
        let mark = count
        JSONWriter.escape(source, &self)
        // JSON escapes controls of one byte; the others, which are rare, are spelled here.
        guard bytes.extracting(mark..<count).hasControls else { return }
        let spelled = bytes.extracting(mark..<count).string().visible()
        removeLast(count - mark)
        append(spelled)
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
