// Reads the head of a message where it lies: framing is decided at once, other fields are looked up when asked for.
import Core

/// How a message's body is delimited.
enum BodyFraming: Equatable {
    case none
    case length(Int)
    case chunked
    case untilClose
}

/// What a head says about the body and the connection.
struct HeadFields: Equatable {
    var contentLength: Int?
    var isChunked = false
    var closes = false
    var keepsAlive = false
    var expectsContinue = false
}

enum HeadReader {
    /// Length of the head at the front of `input`, its empty line included; nil when more bytes are needed. `scanned` remembers where to go on.
    static func length(
        of input: borrowing ByteBuffer, scanned: inout Int, limit: Int
    ) throws(HTTPFailure) -> Int? {
        let bytes = input.bytes
        var place = max(0, scanned - 3)
        while place + 4 <= bytes.byteCount {
            if bytes.byte(at: place + 3) > 13 {
                place += 4
            } else if bytes.byte(at: place) == 13, bytes.byte(at: place + 1) == 10, bytes.byte(at: place + 2) == 13,
                bytes.byte(at: place + 3) == 10
            {
                guard place + 4 <= limit else { throw .headTooLarge }
                scanned = 0
                return place + 4
            } else {
                place += 1
            }
            if place > limit { throw .headTooLarge }
        }
        scanned = bytes.byteCount
        guard bytes.byteCount < limit else { throw .headTooLarge }
        return nil
    }

    /// Checks every header line behind the start line, and gathers what decides about framing.
    static func fields(of head: RawSpan, limits: HTTPLimits) throws(HTTPFailure) -> HeadFields {
        var fields = HeadFields()
        var place = lineEnd(in: head, from: 0) + 2
        var count = 0
        while place < head.byteCount - 2 {
            let end = lineEnd(in: head, from: place)
            count += 1
            guard count <= limits.headers else { throw .headTooLarge }
            let (name, value) = try split(head, line: place..<end)
            try note(head, name, value, in: &fields)
            place = end + 2
        }
        if fields.isChunked, fields.contentLength != nil { throw .transferEncoding }
        return fields
    }

    /// The value of the first header of this lowercase name; nil when there is none.
    static func value(of wanted: StaticString, in head: RawSpan) -> Range<Int>? {
        var place = lineEnd(in: head, from: 0) + 2
        while place < head.byteCount - 2 {
            let end = lineEnd(in: head, from: place)
            let nameEnd = place + wanted.utf8CodeUnitCount
            if nameEnd < end, head.byte(at: nameEnd) == UInt8(ascii: ":"), equals(head, place..<nameEnd, wanted) {
                return trim(head, (nameEnd + 1)..<end)
            }
            place = end + 2
        }
        return nil
    }

    /// Offset of the carriage return that ends the line at `start`; the end of the head when there is none.
    static func lineEnd(in head: RawSpan, from start: Int) -> Int {
        var place = start
        while place + 1 < head.byteCount {
            if head.byte(at: place) == 13, head.byte(at: place + 1) == 10 { return place }
            place += 1
        }
        return head.byteCount
    }

    private static func split(
        _ head: RawSpan, line: Range<Int>
    ) throws(HTTPFailure) -> (name: Range<Int>, value: Range<Int>) {
        var colon = line.lowerBound
        while colon < line.upperBound, isNameByte(head.byte(at: colon)) { colon += 1 }
        guard colon > line.lowerBound, colon < line.upperBound, head.byte(at: colon) == UInt8(ascii: ":") else {
            throw .header
        }
        for place in (colon + 1)..<line.upperBound {
            let byte = head.byte(at: place)
            guard byte >= 0x20 && byte != 0x7F || byte == 9 else { throw .header }
        }
        return (line.lowerBound..<colon, trim(head, (colon + 1)..<line.upperBound))
    }

    private static func note(
        _ head: RawSpan, _ name: Range<Int>, _ value: Range<Int>, in fields: inout HeadFields
    ) throws(HTTPFailure) {
        switch name.count {
        case 14 where equals(head, name, "content-length"):
            guard let length = decimal(head, value), fields.contentLength.map({ $0 == length }) ?? true else {
                throw .contentLength
            }
            fields.contentLength = length
        case 17 where equals(head, name, "transfer-encoding"):
            guard !fields.isChunked, equals(head, value, "chunked") else { throw .transferEncoding }
            fields.isChunked = true
        case 10 where equals(head, name, "connection"):
            if listHolds(head, value, "close") { fields.closes = true }
            if listHolds(head, value, "keep-alive") { fields.keepsAlive = true }
        case 6 where equals(head, name, "expect"):
            fields.expectsContinue = equals(head, value, "100-continue")
        default: break
        }
    }

    private static func listHolds(_ head: RawSpan, _ value: Range<Int>, _ word: StaticString) -> Bool {
        var start = value.lowerBound
        for place in value.lowerBound...value.upperBound {
            guard place == value.upperBound || head.byte(at: place) == UInt8(ascii: ",") else { continue }
            if equals(head, trim(head, start..<place), word) { return true }
            start = place + 1
        }
        return false
    }

    /// Equality without regard to ASCII case; `word` is lowercase.
    static func equals(_ head: RawSpan, _ range: Range<Int>, _ word: StaticString) -> Bool {
        guard range.count == word.utf8CodeUnitCount else { return false }
        if head.matches(word, in: range) { return true }
        var lower = ByteBuffer(capacity: range.count)
        for place in range {
            let byte = head.byte(at: place)
            lower.append(byte &- 0x41 < 26 ? byte | 0x20 : byte)
        }
        return lower.bytes.matches(word, in: 0..<range.count)
    }

    static func decimal(_ head: RawSpan, _ range: Range<Int>) -> Int? {
        guard !range.isEmpty, range.count <= 18 else { return nil }
        var value = 0
        for place in range {
            let digit = head.byte(at: place) &- 0x30
            guard digit < 10 else { return nil }
            value = value * 10 + Int(digit)
        }
        return value
    }

    private static func trim(_ head: RawSpan, _ range: Range<Int>) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end, head.byte(at: start) == 0x20 || head.byte(at: start) == 9 { start += 1 }
        while end > start, head.byte(at: end - 1) == 0x20 || head.byte(at: end - 1) == 9 { end -= 1 }
        return start..<end
    }

    /// The characters of a `token` (RFC 9110, 5.6.2).
    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        case UInt8(ascii: "!"), UInt8(ascii: "#")...UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^")...UInt8(ascii: "`"), UInt8(ascii: "|"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
