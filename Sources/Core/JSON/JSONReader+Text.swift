// What a text or number of a document means.

extension JSONReader {
    /// True when `text` spells `word`, escapes resolved.
    @inlinable @inline(__always) public func matches(_ text: JSONText, _ word: StaticString) -> Bool {
        text.hasEscapes ? matchesUnescaped(text, word) : bytes.matches(word, in: text.range)
    }

    @usableFromInline func matchesUnescaped(_ text: JSONText, _ word: StaticString) -> Bool {
        var plain = ByteBuffer()
        unescape(text, into: &plain)
        let range = 0..<plain.count
        return plain.bytes.matches(word, in: range)
    }

    /// Appends what `text` stands for as UTF-8; a lone surrogate becomes U+FFFD.
    public func unescape(_ text: JSONText, into output: inout ByteBuffer) {
        guard text.hasEscapes else { return output.append(bytes.extracting(text.range)) }
        var place = text.range.lowerBound
        let end = text.range.upperBound
        while place < end {
            let start = place
            while place < end, bytes.byte(at: place) != UInt8(ascii: "\\") { place += 1 }
            if place > start { output.append(bytes.extracting(start..<place)) }
            guard place < end else { return }
            place = unescapeOne(at: place + 1, end: end, into: &output)
        }
    }

    /// The same for a text that goes on where another ended: `half` is the first half of a surrogate pair that waits for its other half, 0 for
    /// none. False for a half that has no other; `output` then holds what came before it.
    public func unescape(_ text: JSONText, into output: inout ByteBuffer, half: inout UInt32) -> Bool {
        var place = text.range.lowerBound
        let end = text.range.upperBound
        while place < end {
            let isUnit = bytes.byte(at: place) == UInt8(ascii: "\\") && bytes.byte(at: place + 1) == UInt8(ascii: "u")
            let unit = isUnit ? codeUnit(at: place + 2) : 0
            switch (unit & 0xFC00, half) {
            case (0xD800, 0):
                half = unit
                place += 6
                continue
            case (0xDC00, 1...):
                let scalar = Unicode.Scalar(0x10000 + (half & 0x3FF) << 10 + unit & 0x3FF) ?? "\u{FFFD}"
                for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { output.append(byte) }
                half = 0
                place += 6
                continue
            case (0xDC00, _), (_, 1...): return false
            default: break
            }
            if bytes.byte(at: place) == UInt8(ascii: "\\") {
                place = unescapeOne(at: place + 1, end: end, into: &output)
            } else {
                let start = place
                while place < end, bytes.byte(at: place) != UInt8(ascii: "\\") { place += 1 }
                output.append(bytes.extracting(start..<place))
            }
        }
        return true
    }

    /// Appends what the escape behind the backslash stands for; returns the offset behind it.
    private func unescapeOne(at place: Int, end: Int, into output: inout ByteBuffer) -> Int {
        let byte = bytes.byte(at: place)
        switch byte {
        case UInt8(ascii: "b"): output.append(UInt8(8))
        case UInt8(ascii: "f"): output.append(UInt8(12))
        case UInt8(ascii: "n"): output.append(UInt8(10))
        case UInt8(ascii: "r"): output.append(UInt8(13))
        case UInt8(ascii: "t"): output.append(UInt8(9))
        case UInt8(ascii: "u"): return unescapeUnicode(at: place + 1, end: end, into: &output)
        default: output.append(byte)
        }
        return place + 1
    }

    private func unescapeUnicode(at place: Int, end: Int, into output: inout ByteBuffer) -> Int {
        let first = codeUnit(at: place)
        var next = place + 4
        var scalar = Unicode.Scalar(first)
        if first & 0xFC00 == 0xD800, next + 6 <= end, bytes.byte(at: next) == UInt8(ascii: "\\"),
            bytes.byte(at: next + 1) == UInt8(ascii: "u"), codeUnit(at: next + 2) & 0xFC00 == 0xDC00
        {
            scalar = Unicode.Scalar(0x10000 + (first & 0x3FF) << 10 + codeUnit(at: next + 2) & 0x3FF)
            next += 6
        }
        for byte in UTF8.encode(scalar ?? "\u{FFFD}") ?? UTF8.encodedReplacementCharacter { output.append(byte) }
        return next
    }

    private func codeUnit(at place: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 << 4 | (JSONScan.hexValue(bytes.byte(at: place + $1)) ?? 0) }
    }

    /// The beginning of a text of about `count` bytes, at least 8, that ends neither within a character nor within an escape.
    public func prefix(of text: JSONText, atMost count: Int) -> JSONText {
        precondition(count >= 8, "there is room for a character and for an escape")
        let start = text.range.lowerBound
        guard text.range.count > count else { return text }
        var end = start + count
        while end > start, bytes.byte(at: end) & 0xC0 == 0x80 { end -= 1 }
        guard text.hasEscapes else { return JSONText(range: start..<end, hasEscapes: false) }
        for place in stride(from: end - 1, through: end - 5, by: -1) where bytes.byte(at: place) == UInt8(ascii: "\\") {
            var first = place
            while first > start, bytes.byte(at: first - 1) == UInt8(ascii: "\\") { first -= 1 }
            // Of a row of backslashes each second one stands for itself.
            let begins = (place - first) % 2 == 0 ? place : place - 1
            let length = bytes.byte(at: begins + 1) == UInt8(ascii: "u") ? 6 : 2
            if begins + length > end { end = begins }
            break
        }
        return JSONText(range: start..<end, hasEscapes: true)
    }

    /// The text as a string.
    public func string(_ text: JSONText) -> String {
        guard text.hasEscapes else { return bytes.string(text.range) }
        var plain = ByteBuffer()
        unescape(text, into: &plain)
        return plain.string(of: plain.slice)
    }

    /// The number as an integer; nil when it has a fraction or an exponent, or does not fit.
    public func integer(_ range: Range<Int>) -> Int64? {
        var value: Int64 = 0
        let isNegative = bytes.byte(at: range.lowerBound) == UInt8(ascii: "-")
        for place in (isNegative ? range.lowerBound + 1 : range.lowerBound)..<range.upperBound {
            let digit = bytes.byte(at: place) &- 0x30
            guard digit < 10 else { return nil }
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = shifted.subtractingReportingOverflow(Int64(digit))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        // Counted downwards, so that the smallest integer fits too.
        return isNegative ? value : value == .min ? nil : -value
    }
}
