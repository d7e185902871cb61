// The W3C trace context: which trace a request belongs to and which span called.
import Core

/// A parsed `traceparent` header (W3C Trace Context, section 3.2).
public struct TraceContext: Hashable, Sendable {
    /// The trace.
    public let traceID: Identifier128
    /// The caller's span.
    public let spanID: UInt64
    /// Bit 0: the caller recorded this trace. The other bits are kept as they came.
    public let flags: UInt8

    /// True when the caller recorded this trace.
    public var isSampled: Bool { flags & 1 == 1 }

    /// A context from its parts; nil when the trace or the span is zero, which the standard forbids.
    public init?(traceID: Identifier128, spanID: UInt64, flags: UInt8) {
        guard traceID.high | traceID.low != 0, spanID != 0 else { return nil }
        self.traceID = traceID
        self.spanID = spanID
        self.flags = flags
    }

    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`; nil for anything that the standard calls invalid.
    ///
    /// A version above 00 is read as far as version 00 goes, as the standard asks; version ff is invalid.
    public init?(parsing header: RawSpan) {
        let bytes = Span<UInt8>(_bytes: header)
        guard bytes.count >= 55, bytes[2] == UInt8(ascii: "-"), bytes[35] == UInt8(ascii: "-"),
            bytes[52] == UInt8(ascii: "-"),
            let version = TraceContext.hex(bytes, 0..<2), version != 0xFF,
            version == 0 ? bytes.count == 55 : bytes.count == 55 || bytes[55] == UInt8(ascii: "-"),
            let high = TraceContext.hex(bytes, 3..<19), let low = TraceContext.hex(bytes, 19..<35),
            let span = TraceContext.hex(bytes, 36..<52), let flags = TraceContext.hex(bytes, 53..<55)
        else { return nil }
        self.init(
            traceID: Identifier128(high: high, low: low), spanID: span, flags: UInt8(truncatingIfNeeded: flags))
    }

    /// Reads a header's text; nil for anything that the standard calls invalid.
    public init?(parsing header: String) { self.init(parsing: RawSpan(_elements: header.utf8Span.span)) }

    /// The same trace with `spanID` as the caller, for a request further upstream; nil when `spanID` is zero.
    public func child(spanID: UInt64) -> TraceContext? {
        TraceContext(traceID: traceID, spanID: spanID, flags: flags)
    }

    /// Appends the header's value in version 00: 55 bytes.
    public func write(into buffer: inout ByteBuffer) {
        buffer.append(literal: "00-")
        buffer.append(hex: traceID.high)
        buffer.append(hex: traceID.low)
        buffer.append(UInt8(ascii: "-"))
        buffer.append(hex: spanID)
        buffer.append(UInt8(ascii: "-"))
        buffer.append(hexByte: flags)
    }

    /// Lowercase only: the standard forbids the other digits.
    private static func hex(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt64? {
        var value: UInt64 = 0
        for index in range {
            let digit: UInt8
            switch bytes[index] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = bytes[index] - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = bytes[index] - UInt8(ascii: "a") + 10
            default: return nil
            }
            value = value << 4 | UInt64(digit)
        }
        return value
    }
}

extension TraceContext: CustomStringConvertible {
    /// The header's value.
    public var description: String {
        var buffer = ByteBuffer(capacity: 55)
        write(into: &buffer)
        return buffer.string(of: buffer.slice)
    }
}
