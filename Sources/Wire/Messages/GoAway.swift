// GOAWAY and CONN_ERROR: how a connection ends politely, and how it ends otherwise.

import Core

/// No new streams above an id. PROTOCOL.md, section 6.6.
public struct GoAway: Sendable, Equatable {
    /// Streams above this id were not and will not be processed; `UInt32.max` announces only.
    public var lastStream: UInt32
    /// Why.
    public var reason: GoAwayReason
    /// How long running streams may go on, in milliseconds.
    public var drainMilliseconds: UInt32
    /// For people, at most 128 bytes.
    public var text: String

    /// A farewell.
    public init(lastStream: UInt32, reason: GoAwayReason, drainMilliseconds: UInt32, text: String = "") {
        self.lastStream = lastStream
        self.reason = reason
        self.drainMilliseconds = drainMilliseconds
        self.text = text
    }

    /// True for the first phase, in which streams may still be opened.
    public var isAnnouncement: Bool { lastStream == .max }

    func encode(into buffer: inout ByteBuffer) {
        let mark = buffer.beginFrame(.goAway)
        buffer.append(integer: lastStream)
        buffer.append(integer: reason.rawValue)
        buffer.append(integer: UInt16(0))
        buffer.append(integer: drainMilliseconds)
        buffer.append(text.fitting(128))
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader) throws(WireFault) {
        guard reader.remaining >= 12, reader.remaining <= 12 + 128 else {
            throw WireFault(.wrongFixedLength)
        }
        lastStream = try reader.integer()
        reason = GoAwayReason(rawValue: try reader.integer()) ?? .unrecognized
        guard try reader.integer(UInt16.self) == 0 else { throw WireFault(.reservedNotZero) }
        drainMilliseconds = try reader.integer()
        text = try reader.text(reader.remaining)
    }
}

/// Why a connection failed. PROTOCOL.md, section 7.
public struct ConnectionError: Error, Sendable, Equatable {
    /// Who found the reason.
    public enum Origin: UInt8, Sendable {
        /// This side; the peer is told by CONN_ERROR.
        case local
        /// The peer; it sent CONN_ERROR.
        case peer
        /// The transport ended.
        case transport
    }

    /// The code.
    public var code: ErrorCode
    /// The code as it travels.
    public var rawCode: UInt16
    /// The rule that was broken, a `Violation`; with `version`, the server's lowest version × 256 + its highest.
    public var detail: UInt16
    /// The highest stream that may have been processed.
    public var lastStream: UInt32
    /// Who found it.
    public var origin: Origin

    /// An error with the rule behind it.
    public init(code: ErrorCode, detail: UInt16 = 0, lastStream: UInt32 = 0, origin: Origin = .local) {
        self.code = code
        self.rawCode = code.rawValue
        self.detail = detail
        self.lastStream = lastStream
        self.origin = origin
    }

    /// The broken rule, when it is one that this version knows.
    public var violation: Violation? { code == .version ? .versionRange : Violation(rawValue: detail) }

    func encode(into buffer: inout ByteBuffer) {
        let mark = buffer.beginFrame(.connectionError)
        buffer.append(integer: rawCode)
        buffer.append(integer: detail)
        buffer.append(integer: lastStream)
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader) throws(WireFault) {
        guard reader.remaining == 8 else { throw WireFault(.wrongFixedLength) }
        let rawCode: UInt16 = try reader.integer()
        self.init(
            code: ErrorCode(rawValue: rawCode) ?? .unrecognized, detail: try reader.integer(),
            lastStream: try reader.integer(), origin: .peer)
        self.rawCode = rawCode
    }
}

extension ConnectionError: CustomStringConvertible {
    /// `PROTOCOL (fieldValue), found by local`.
    public var description: String {
        let rule = violation.map { "\($0)" } ?? "\(detail)"
        return "\(code.name) (\(rule)), found by \(origin)"
    }
}
