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
    var isEncoded = false
    var closes = false
    var keepsAlive = false
    var expectsContinue = false
    var hosts = 0
    /// The value of the first Content-Type.
    var contentType: Range<Int>?
}

/// How far a head that arrives in pieces has been looked at.
struct HeadScan {
    /// Bytes that were looked at.
    var seen = 0
    /// Where the line under way begins.
    var lineStart = 0
    /// Lines that are complete.
    var lines = 0
}

enum HeadReader {
    /// Length of the head at the front of `input`, its empty line included; nil when more bytes are needed.
    ///
    /// Every line must end in CRLF: a bare line feed, which some peers take for an end of line, is refused as soon as it is seen.
    static func length(
        of input: borrowing ByteBuffer, scan: inout HeadScan, limits: HTTPLimits
    ) throws(HTTPFailure) -> Int? {
        let bytes = input.bytes
        while let feed = bytes.lineFeed(from: scan.seen) {
            guard feed < limits.head else { throw .headTooLarge }
            guard feed > scan.lineStart, bytes.byte(at: feed - 1) == 13 else {
                throw scan.lines == 0 ? .startLine : .header
            }
            let isEmpty = feed == scan.lineStart + 1
            if isEmpty, scan.lines > 0 {
                scan = HeadScan()
                return feed + 1
            }
            guard !isEmpty else { throw .startLine }
            scan.lines += 1
            scan.lineStart = feed + 1
            scan.seen = feed + 1
            guard scan.lines <= limits.headers + 1 else { throw .headTooLarge }
        }
        scan.seen = bytes.byteCount
        guard bytes.byteCount < limits.head else { throw .headTooLarge }
        return nil
    }

    /// Checks every header line behind the start line, and gathers what decides about framing.
    static func fields(of head: RawSpan) throws(HTTPFailure) -> HeadFields {
        var fields = HeadFields()
        var place = lineEnd(in: head, from: 0) + 2
        while place < head.byteCount - 2 {
            let end = lineEnd(in: head, from: place)
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
            if nameEnd < end, head.byte(at: nameEnd) == UInt8(ascii: ":"),
                head.matchesIgnoringCase(wanted, in: place..<nameEnd)
            {
                return trim(head, (nameEnd + 1)..<end)
            }
            place = end + 2
        }
        return nil
    }

    /// Offset of the carriage return that ends the line at `start`. The head's line ends were checked when its length was found.
    static func lineEnd(in head: RawSpan, from start: Int) -> Int {
        head.lineFeed(from: start).map { $0 - 1 } ?? head.byteCount
    }

    private static func split(
        _ head: RawSpan, line: Range<Int>
    ) throws(HTTPFailure) -> (name: Range<Int>, value: Range<Int>) {
        var colon = line.lowerBound
        while colon < line.upperBound, isNameByte(head.byte(at: colon)) { colon += 1 }
        guard colon > line.lowerBound, colon < line.upperBound, head.byte(at: colon) == UInt8(ascii: ":") else {
            throw .header
        }
        var place = colon + 1
        while place < line.upperBound {
            if place + 8 <= line.upperBound, isPrintable(head.word(at: place)) {
                place += 8
                continue
            }
            let byte = head.byte(at: place)
            guard byte >= 0x20 && byte != 0x7F || byte == 9 else { throw .header }
            place += 1
        }
        return (line.lowerBound..<colon, trim(head, (colon + 1)..<line.upperBound))
    }

    private static func note(
        _ head: RawSpan, _ name: Range<Int>, _ value: Range<Int>, in fields: inout HeadFields
    ) throws(HTTPFailure) {
        switch name.count {
        case 14 where head.matchesIgnoringCase("content-length", in: name):
            guard let length = decimal(head, value), fields.contentLength.map({ $0 == length }) ?? true else {
                throw .contentLength
            }
            fields.contentLength = length
        case 17 where head.matchesIgnoringCase("transfer-encoding", in: name):
            guard !fields.isChunked, head.matchesIgnoringCase("chunked", in: value) else { throw .transferEncoding }
            fields.isChunked = true
        case 16 where head.matchesIgnoringCase("content-encoding", in: name):
            if !value.isEmpty, !head.matchesIgnoringCase("identity", in: value) { fields.isEncoded = true }
        case 10 where head.matchesIgnoringCase("connection", in: name):
            if listHolds(head, value, "close") { fields.closes = true }
            if listHolds(head, value, "keep-alive") { fields.keepsAlive = true }
        case 6 where head.matchesIgnoringCase("expect", in: name):
            fields.expectsContinue = head.matchesIgnoringCase("100-continue", in: value)
        case 12 where fields.contentType == nil && head.matchesIgnoringCase("content-type", in: name):
            fields.contentType = value
        case 4 where head.matchesIgnoringCase("host", in: name): fields.hosts += 1
        default: break
        }
    }

    private static func listHolds(_ head: RawSpan, _ value: Range<Int>, _ word: StaticString) -> Bool {
        var start = value.lowerBound
        for place in value.lowerBound...value.upperBound {
            guard place == value.upperBound || head.byte(at: place) == UInt8(ascii: ",") else { continue }
            if head.matchesIgnoringCase(word, in: trim(head, start..<place)) { return true }
            start = place + 1
        }
        return false
    }

    /// One to eighteen digits and nothing else: no sign, no list, no room for an overflow.
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

    /// True when all eight bytes are 0x20…0x7E; false may also mean that a closer look is needed.
    private static func isPrintable(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let below = (word &- ones &* 0x20) | (word &+ ones)
        return (below | word) & (ones &* 0x80) == 0
    }

    /// The characters of a `token` (RFC 9110, 5.6.2), one bit each.
    static func isNameByte(_ byte: UInt8) -> Bool {
        guard byte < 0x80 else { return false }
        let word: UInt64 = byte < 64 ? 0x03FF_6CFA_0000_0000 : 0x57FF_FFFF_C7FF_FFFE
        return word >> UInt64(byte & 63) & 1 == 1
    }
}
