// One log line: a JSON object written field by field into a buffer that the caller keeps.
import Core

/// One log line being written, without allocating once the buffer has grown to its usual size.
///
///     var record = LogRecord(.info, "request", at: lane.wallClockMicroseconds, into: &line)
///     record.field("tenant", tenant)
///     record.field("duration_us", duration: end - start)
///     record.end(returning: &line)
///
/// The record takes the buffer and gives it back at `end`. Keys are literals and are written as they stand: snake case, no
/// character that JSON would escape. Every text is cut at `textLimit` bytes, so one line stays bounded.
public struct LogRecord: ~Copyable {
    /// Most bytes of one text field before escaping; longer text is cut at a character and ends in `…`.
    public static let textLimit = 4096

    private var line: ByteBuffer

    /// Begins a line with the time (RFC 3339, UTC, microseconds), the level and the event's name.
    ///
    /// - Parameter wallClockMicroseconds: microseconds since 1970-01-01T00:00:00Z.
    public init(
        _ level: LogLevel, _ event: StaticString, at wallClockMicroseconds: Int64, into buffer: inout ByteBuffer
    ) {
        line = ByteBuffer()
        swap(&line, &buffer)
        line.reserve(512)
        line.append(literal: "{\"time\":\"")
        line.append(timestamp: wallClockMicroseconds)
        line.append(literal: "\",\"level\":\"")
        line.append(literal: level.name)
        line.append(literal: "\",\"event\":\"")
        line.append(literal: event)
        line.append(UInt8(ascii: "\""))
    }

    /// Ends the line with a line feed and gives the buffer back, with the line behind whatever it held before.
    public consuming func end(returning buffer: inout ByteBuffer) {
        line.append(literal: "}\n")
        swap(&line, &buffer)
    }

    /// A whole number.
    @inlinable public mutating func field(_ key: StaticString, _ value: some FixedWidthInteger) {
        if let signed = Int64(exactly: value) {
            field(key, signed: signed)
        } else {
            field(key, unsigned: UInt64(clamping: value))
        }
    }

    @usableFromInline mutating func field(_ key: StaticString, signed value: Int64) {
        begin(key)
        line.append(decimal: value)
    }

    @usableFromInline mutating func field(_ key: StaticString, unsigned value: UInt64) {
        begin(key)
        line.append(decimal: value)
    }

    /// True or false.
    public mutating func field(_ key: StaticString, _ value: Bool) {
        begin(key)
        line.append(literal: value ? "true" : "false")
    }

    /// A fixed word, written as it stands.
    public mutating func field(_ key: StaticString, word: StaticString) {
        begin(key)
        line.append(UInt8(ascii: "\""))
        line.append(literal: word)
        line.append(UInt8(ascii: "\""))
    }

    /// Text.
    public mutating func field(_ key: StaticString, _ text: String) {
        begin(key)
        line.append(UInt8(ascii: "\""))
        line.append(escaping: RawSpan(_elements: text.utf8Span.span), limit: LogRecord.textLimit)
        line.append(UInt8(ascii: "\""))
    }

    /// Fields that were written before, by `prepared`.
    public mutating func fields(_ prepared: [UInt8]) { line.append(prepared) }

    /// The fields that `write` writes as bytes, for those that many lines share.
    public static func prepared(_ write: (inout LogRecord) -> Void) -> [UInt8] {
        var nothing = ByteBuffer()
        var record = LogRecord(.info, "", at: 0, into: &nothing)
        let start = record.line.count
        write(&record)
        return record.line.bytes.array(start..<record.line.count)
    }

    /// Text from a buffer; bytes that are not UTF-8 become U+FFFD.
    public mutating func field(_ key: StaticString, bytes: RawSpan) {
        begin(key)
        line.append(UInt8(ascii: "\""))
        line.append(escaping: bytes, limit: LogRecord.textLimit)
        line.append(UInt8(ascii: "\""))
    }

    /// A list of objects: each begins with a whole number, and `write` appends its other fields. The caller bounds how many there are.
    public mutating func list<Element>(
        _ key: StaticString, _ elements: [Element], first: StaticString, _ number: (Element) -> Int,
        _ write: (Element, inout LogRecord) -> Void
    ) {
        begin(key)
        line.append(UInt8(ascii: "["))
        for (place, element) in elements.enumerated() {
            line.append(literal: place == 0 ? "{\"" : ",{\"")
            line.append(literal: first)
            line.append(literal: "\":")
            line.append(decimal: Int64(number(element)))
            write(element, &self)
            line.append(UInt8(ascii: "}"))
        }
        line.append(UInt8(ascii: "]"))
    }

    /// A length of time in whole microseconds (name the key `…_us`).
    public mutating func field(_ key: StaticString, duration: Duration) {
        field(key, signed: duration.nanoseconds / 1000)
    }

    /// The time between two moments in whole microseconds (name the key `…_us`); the cheapest way to log a duration.
    public mutating func field(_ key: StaticString, from start: Instant, to end: Instant) {
        field(key, signed: (end.nanoseconds &- start.nanoseconds) / 1000)
    }

    /// An identifier of 128 bits in 32 hexadecimal digits.
    public mutating func field(_ key: StaticString, _ identifier: Identifier128) {
        begin(key)
        line.append(UInt8(ascii: "\""))
        line.append(hex: identifier.high)
        line.append(hex: identifier.low)
        line.append(UInt8(ascii: "\""))
    }

    /// An identifier of 64 bits in 16 hexadecimal digits.
    public mutating func field(_ key: StaticString, hex value: UInt64) {
        begin(key)
        line.append(UInt8(ascii: "\""))
        line.append(hex: value)
        line.append(UInt8(ascii: "\""))
    }

    /// An instant in RFC 3339 form.
    public mutating func field(_ key: StaticString, wallClockMicroseconds: Int64) {
        begin(key)
        line.append(UInt8(ascii: "\""))
        line.append(timestamp: wallClockMicroseconds)
        line.append(UInt8(ascii: "\""))
    }

    private mutating func begin(_ key: StaticString) {
        // Two bytes in one store are cheaper than a literal, and a line has two such pairs for each field.
        line.append(integer: UInt16(0x2C22))  // ,"
        line.append(literal: key)
        line.append(integer: UInt16(0x223A))  // ":
    }
}
