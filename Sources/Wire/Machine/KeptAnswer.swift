// What the server keeps of an answer that may be continued: the pieces that its client has not confirmed, and those that wait.

import Core

/// The unconfirmed end of one answer, as the frames that were or will be sent. Its positions are response bytes, counted as credit
/// counts them: the payloads of DELTA and EVENT.
///
/// Memory: three bytes a piece more than `count`; with pieces of two bytes, the smallest that there are, two and a half times `count`.
public struct KeptAnswer: ~Copyable {
    /// What a piece is.
    public enum Kind: UInt8, Sendable {
        /// The payload of a DELTA.
        case delta
        /// The payload of an EVENT.
        case event
    }

    /// Bytes in front of each piece: its length and its kind.
    private static let mark = 3

    private var pieces = ByteBuffer()
    /// Everything in front of this is confirmed.
    public private(set) var start: UInt32 = 0
    /// What was handed to a connection ends here.
    public private(set) var sent: UInt32 = 0
    /// The answer so far ends here.
    public private(set) var end: UInt32 = 0
    /// Where the first piece that was not sent begins in `pieces`.
    private var sentPlace = 0
    /// Where the newest piece begins in `pieces`.
    private var newest = 0

    /// An answer of which nothing has come.
    public init() {}

    /// Response bytes that are kept.
    public var count: Int { Int(end - start) }

    /// Memory that is held.
    public var allocatedBytes: Int { pieces.allocatedBytes }

    /// True when nothing waits to be sent.
    public var isSent: Bool { sent == end }

    // MARK: - What comes

    /// Takes a piece of text. It joins the piece before where that waits and is of the same kind.
    public mutating func append(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        precondition(choice < 16, "an answer has at most 16 choices")
        let tag = choice << 4 | kind.rawValue
        var offset = 0
        while offset < bytes.byteCount {
            var room = StreamEvent.maximumPayload - 1
            if isOpen(tag) {
                room = StreamEvent.maximumPayload - Int(pieces.integer(at: newest, as: UInt16.self))
                if room == 0 { room = begin(tag) }
            } else {
                room = begin(tag)
            }
            let part = min(room, bytes.byteCount - offset)
            pieces.append(bytes.extracting(offset..<offset + part))
            pieces.overwrite(at: newest, with: UInt16(pieces.count - newest - Self.mark))
            end += UInt32(part)
            offset += part
        }
    }

    /// True when the newest piece waits and may grow by text of that tag.
    private func isOpen(_ tag: UInt8) -> Bool {
        guard newest >= sentPlace, sentPlace < pieces.count else { return false }
        return pieces.byte(at: newest + 2) == Kind.delta.rawValue && pieces.byte(at: newest + Self.mark) == tag
    }

    /// Begins a piece of text; returns the room in it.
    private mutating func begin(_ tag: UInt8) -> Int {
        newest = pieces.count
        pieces.append(integer: UInt16(1))
        pieces.append(Kind.delta.rawValue)
        pieces.append(tag)
        end += 1
        return StreamEvent.maximumPayload - 1
    }

    /// Takes what is not text.
    public mutating func append(_ event: StreamEvent) {
        var frame = ByteBuffer()
        event.encode(into: &frame, stream: 1)
        frame.consume(FrameHeader.size)
        newest = pieces.count
        pieces.append(integer: UInt16(frame.count))
        pieces.append(Kind.event.rawValue)
        end += UInt32(frame.count)
        pieces.append(draining: &frame)
    }

    // MARK: - What goes

    /// Hands the next piece that was not sent to `send`; nil when there is none.
    public mutating func sendNext<R>(_ send: (Kind, RawSpan) -> R) -> R? {
        guard sentPlace < pieces.count else { return nil }
        let length = Int(pieces.integer(at: sentPlace, as: UInt16.self))
        let kind = Kind(rawValue: pieces.byte(at: sentPlace + 2)) ?? .delta
        let result = pieces.withBytes(of: pieces.slice(at: sentPlace + Self.mark, count: length)) { send(kind, $0) }
        sentPlace += Self.mark + length
        sent += UInt32(length)
        return result
    }

    /// Copies the next pieces that were not sent, as many as fit `limit` response bytes but one at least; nil when there is none.
    /// They are sent where `each(of:)` takes them apart.
    public mutating func batch(limit: Int) -> (pieces: [UInt8], count: Int)? {
        let first = (place: sentPlace, sent: sent)
        while sentPlace < pieces.count {
            let length = Int(pieces.integer(at: sentPlace, as: UInt16.self))
            guard sentPlace == first.place || Int(sent - first.sent) + length <= limit else { break }
            sentPlace += Self.mark + length
            sent += UInt32(length)
        }
        guard sentPlace > first.place else { return nil }
        let bytes = pieces.array(of: pieces.slice(at: first.place, count: sentPlace - first.place))
        return (bytes, Int(sent - first.sent))
    }

    /// Takes a batch apart.
    public static func each(of batch: [UInt8], _ body: (Kind, RawSpan) -> Void) {
        let bytes = batch.span.raw
        var place = 0
        while place < bytes.byteCount {
            let length = Int(bytes.integer(at: place, as: UInt16.self))
            let kind = Kind(rawValue: batch[place + 2]) ?? .delta
            place += Self.mark
            body(kind, bytes.extracting(place..<place + length))
            place += length
        }
    }

    /// The client has everything in front of `position` for certain.
    public mutating func forget(until position: UInt32) {
        while start < sent {
            let length = UInt32(pieces.integer(at: 0, as: UInt16.self))
            guard position >= start, position - start >= length else { return }
            drop(Int(length))
        }
    }

    private mutating func drop(_ length: Int) {
        let size = Self.mark + length
        pieces.consume(size)
        start += UInt32(length)
        sentPlace -= size
        newest = max(0, newest - size)
    }

    /// Begins to send again behind `position`, and forgets what lies before. False, and nothing changes, when `position` is not the
    /// end of a piece that was sent and is kept: no client that tells the truth names such a place.
    public mutating func rewind(to position: UInt32) -> Bool {
        guard position >= start, position <= sent else { return false }
        var (place, at) = (0, start)
        while at < position {
            let length = pieces.integer(at: place, as: UInt16.self)
            at += UInt32(length)
            place += Self.mark + Int(length)
        }
        guard at == position else { return false }
        pieces.consume(place)
        newest = max(0, newest - place)
        (start, sent, sentPlace) = (position, position, 0)
        return true
    }
}
