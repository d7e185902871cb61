// Takes a message's body out of the input, by length, by chunks, or until the connection ends.
import Core

/// The body's state; one value serves clients and servers.
struct BodyReader {
    enum Step: Equatable {
        case bytes(ByteSlice)
        case end
        case needsInput
    }

    private enum State: Equatable {
        case fixed(Int)
        case chunkSize
        case chunk(Int)
        case chunkEnd
        case trailers
        case untilClose
        case done
    }

    private var state: State
    /// Bytes handed out so far; behind the last chunk, bytes of trailers.
    private var taken = 0
    private let limits: HTTPLimits

    init(_ framing: BodyFraming, limits: HTTPLimits) {
        self.limits = limits
        switch framing {
        case .none: state = .done
        case .length(let length): state = length == 0 ? .done : .fixed(length)
        case .chunked: state = .chunkSize
        case .untilClose: state = .untilClose
        }
    }

    /// True when the end of the connection is a proper end of this body.
    var endsWithConnection: Bool { state == .untilClose || state == .done }

    /// True when nothing of this body is left to be read.
    var isDone: Bool { state == .done }

    /// The next piece; bytes are consumed from `input`, and the slice stays readable until the next append.
    mutating func next(_ input: inout ByteBuffer) throws(HTTPFailure) -> Step {
        while true {
            switch state {
            case .done: return .end
            case .untilClose: return try take(input.count, &input)
            case .fixed(let left):
                let step = try take(min(left, input.count), &input)
                if case .bytes(let slice) = step { state = slice.count == left ? .done : .fixed(left - slice.count) }
                return step
            case .chunk(let left):
                let step = try take(min(left, input.count), &input)
                if case .bytes(let slice) = step {
                    state = slice.count == left ? .chunkEnd : .chunk(left - slice.count)
                }
                return step
            case .chunkSize: guard try readSize(&input) else { return .needsInput }
            case .chunkEnd:
                guard input.count >= 2 else { return .needsInput }
                guard input.byte(at: 0) == 13, input.byte(at: 1) == 10 else { throw .chunk }
                input.consume(2)
                state = .chunkSize
            case .trailers: guard try skipTrailer(&input) else { return .needsInput }
            }
        }
    }

    private mutating func take(_ count: Int, _ input: inout ByteBuffer) throws(HTTPFailure) -> Step {
        guard count > 0 else { return .needsInput }
        guard count <= limits.body - taken else { throw .bodyTooLarge }
        taken += count
        let slice = input.slice(at: 0, count: count)
        input.consume(count)
        return .bytes(slice)
    }

    /// A size line: hexadecimal digits and an optional extension, which is skipped.
    private mutating func readSize(_ input: inout ByteBuffer) throws(HTTPFailure) -> Bool {
        guard let end = try lineEnd(input) else { return false }
        var size = 0
        var place = 0
        while place < end, let digit = hexValue(input.byte(at: place)) {
            guard place < 15 else { throw .chunk }
            size = size << 4 | digit
            place += 1
        }
        guard place > 0, place == end || input.byte(at: place) == UInt8(ascii: ";") else { throw .chunk }
        guard size <= limits.body - taken else { throw .bodyTooLarge }
        input.consume(end + 2)
        state = size == 0 ? .trailers : .chunk(size)
        if size == 0 { taken = 0 }
        return true
    }

    private mutating func skipTrailer(_ input: inout ByteBuffer) throws(HTTPFailure) -> Bool {
        guard let end = try lineEnd(input) else { return false }
        taken += end + 2
        guard taken <= limits.trailers + 2 else { throw .trailersTooLarge }
        input.consume(end + 2)
        if end == 0 { state = .done }
        return true
    }

    /// Offset of the carriage return that ends the line at the front; nil when it has not come yet.
    private func lineEnd(_ input: borrowing ByteBuffer) throws(HTTPFailure) -> Int? {
        for place in 0..<min(input.count, limits.chunkLine + 2) {
            if input.byte(at: place) == 10 { throw .chunk }
            guard input.byte(at: place) == 13 else { continue }
            guard place <= limits.chunkLine else { throw .chunk }
            guard place + 1 < input.count else { return nil }
            guard input.byte(at: place + 1) == 10 else { throw .chunk }
            return place
        }
        guard input.count <= limits.chunkLine else { throw .chunk }
        return nil
    }

    private func hexValue(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte) - 0x30
        case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(byte) - 0x57
        case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(byte) - 0x37
        default: nil
        }
    }
}
