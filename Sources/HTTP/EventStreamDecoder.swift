// Decodes server-sent events (WHATWG HTML, 9.2.6) from a body that arrives in any pieces.
import Core

/// Finds the `data` of each event. A whole event inside one piece is handed out where it lies; only what a split cuts is copied.
public struct EventStreamDecoder: ~Copyable {
    /// Bounds of what a server may send.
    public struct Limits: Sendable {
        /// Bytes of one line.
        public var line = 16 << 20
        /// Bytes of one event's data.
        public var event = 16 << 20
        /// The defaults, wide enough for images and long tool arguments.
        public init() {}
    }

    /// Memory that is kept between events; what a large event needed is given back.
    private static let keptMemory = 16 * 1024

    private var partial = ByteBuffer()
    private var gathered = ByteBuffer()
    private var hasGathered = false
    private var skipsLineFeed = false
    private var isAtStart = true
    private let limits: Limits
    /// Events handed out so far.
    public private(set) var events = 0

    /// A decoder at the start of a stream.
    public init(limits: Limits = Limits()) { self.limits = limits }

    /// Decodes `bytes`, calling `onEvent` with the data of each event that is complete. Stops early when `onEvent` returns false.
    public mutating func decode(_ bytes: RawSpan, _ onEvent: (RawSpan) -> Bool) throws(HTTPFailure) {
        var place = 0
        if skipsLineFeed, bytes.byteCount > 0 {
            if bytes.byte(at: 0) == 10 { place = 1 }
            skipsLineFeed = false
        }
        while place < bytes.byteCount {
            let end = bytes.lineEnd(from: place)
            guard partial.count + end - place <= limits.line else { throw .eventTooLarge }
            guard end < bytes.byteCount else { return partial.append(bytes.extracting(place..<end)) }
            var next = end + 1
            if bytes.byte(at: end) == 13 {
                if next == bytes.byteCount {
                    skipsLineFeed = true
                } else if bytes.byte(at: next) == 10 {
                    next += 1
                }
            }
            let goesOn: Bool
            // The usual case: the empty line follows at once, so the data need not be gathered.
            let endsEvent = next < bytes.byteCount && bytes.byte(at: next) == 10
            let usedEnd: Bool
            if partial.count > 0 {
                partial.append(bytes.extracting(place..<end))
                var line = ByteBuffer()
                swap(&line, &partial)
                (goesOn, usedEnd) = try take(line.bytes, endsEvent: endsEvent, onEvent)
                line.removeAll()
                if line.allocatedBytes <= EventStreamDecoder.keptMemory { swap(&line, &partial) }
            } else {
                (goesOn, usedEnd) = try take(bytes.extracting(place..<end), endsEvent: endsEvent, onEvent)
            }
            if usedEnd { next += 1 }
            guard goesOn else { return }
            place = next
        }
    }

    /// Handles one line without its end. The second value tells that the empty line behind it was used too.
    private mutating func take(
        _ raw: RawSpan, endsEvent: Bool, _ onEvent: (RawSpan) -> Bool
    ) throws(HTTPFailure) -> (goesOn: Bool, usedEnd: Bool) {
        var start = 0
        if isAtStart {
            isAtStart = false
            if raw.byteCount >= 3, raw.matches("\u{FEFF}", in: 0..<3) { start = 3 }
        }
        let count = raw.byteCount
        if count == start { return (dispatch(onEvent), false) }
        // Only `data` matters: comments begin with a colon, other fields are ignored.
        guard count - start >= 4, raw.matches("data", in: start..<(start + 4)) else { return (true, false) }
        var from = start + 4
        if from < count {
            guard raw.byte(at: from) == UInt8(ascii: ":") else { return (true, false) }
            from += 1
            if from < count, raw.byte(at: from) == 0x20 { from += 1 }
        }
        guard gathered.count + (hasGathered ? 1 : 0) + count - from <= limits.event else { throw .eventTooLarge }
        if endsEvent, !hasGathered {
            guard from < count else { return (true, true) }
            events += 1
            return (onEvent(raw.extracting(from..<count)), true)
        }
        if hasGathered { gathered.append(UInt8(10)) }
        hasGathered = true
        gathered.append(raw.extracting(from..<count))
        return (true, false)
    }

    private mutating func dispatch(_ onEvent: (RawSpan) -> Bool) -> Bool {
        guard hasGathered else { return true }
        hasGathered = false
        guard gathered.count > 0 else { return true }
        var event = ByteBuffer()
        swap(&event, &gathered)
        events += 1
        let goesOn = onEvent(event.bytes)
        event.removeAll()
        if event.allocatedBytes <= EventStreamDecoder.keptMemory { swap(&event, &gathered) }
        return goesOn
    }
}
