// One HTTP request as the simulator needs it: where its parts lie in the input.
import Core

/// Where the parts of a request lie in the connection's input; readable until the next bytes arrive.
struct SimulatorRequest {
    enum Method { case get, post, other }

    /// Most `x-sim-…` fields of a request: every setting once.
    static let settingLimit = 16

    let method: Method
    let path: ByteSlice
    /// The value of `authorization` behind `Bearer `.
    let apiKey: ByteSlice?
    /// Names (behind `x-sim-`) and values.
    let settings: [(key: ByteSlice, value: ByteSlice)]
    let body: ByteSlice

    /// The parts as offsets from the start of the input, found while the body is still arriving.
    struct Layout {
        var headLength = 0
        var bodyLength = 0
        var method = Method.other
        var path = 0..<0
        var apiKey: Range<Int>?
        var settings: [(key: Range<Int>, value: Range<Int>)] = []
        var keepsAlive = true
        var expectsContinue = false
    }

    /// A head that HTTP forbids, and the status that says so.
    struct Failure: Error { let status: Int }

    init(_ layout: Layout, in input: borrowing ByteBuffer) {
        let start = input.slice.start
        func slice(_ range: Range<Int>) -> ByteSlice { ByteSlice(start: start + range.lowerBound, count: range.count) }
        method = layout.method
        path = slice(layout.path)
        apiKey = layout.apiKey.map(slice)
        settings = layout.settings.map { (slice($0.key), slice($0.value)) }
        body = ByteSlice(start: start + layout.headLength, count: layout.bodyLength)
    }

    /// Bytes of the head with its empty line; nil while it is not whole. `from` is where an earlier search stopped.
    static func headLength(in input: RawSpan, from start: Int) -> Int? {
        let bytes = Span<UInt8>(_bytes: input)
        var index = start
        while index + 3 < bytes.count {
            // Every fourth byte decides whether an empty line can begin nearby.
            switch bytes[index + 3] {
            case UInt8(ascii: "\n"):
                if bytes[index] == UInt8(ascii: "\r"), bytes[index + 1] == UInt8(ascii: "\n"),
                    bytes[index + 2] == UInt8(ascii: "\r")
                {
                    return index + 4
                }
                index += 2
            case UInt8(ascii: "\r"): index += 1
            default: index += 4
            }
        }
        return nil
    }
}

extension SimulatorRequest.Layout {
    /// Reads a whole head (RFC 9112): request line, then the fields that matter here.
    static func read(_ input: RawSpan, headLength: Int) -> Result<Self, SimulatorRequest.Failure> {
        let bytes = Span<UInt8>(_bytes: input.extracting(0..<headLength))
        var layout = Self()
        layout.headLength = headLength
        var line = 0..<0
        var next = 0
        var isRequestLine = true
        while next < headLength - 2 {
            var end = next
            while bytes[end] != UInt8(ascii: "\r") || bytes[end + 1] != UInt8(ascii: "\n") { end += 1 }
            line = next..<end
            next = end + 2
            let status = isRequestLine ? layout.readRequestLine(bytes, line) : layout.readField(bytes, line)
            if let status { return .failure(SimulatorRequest.Failure(status: status)) }
            isRequestLine = false
        }
        return .success(layout)
    }

    /// Returns the status of a refusal, nil when the line is fine.
    private mutating func readRequestLine(_ bytes: Span<UInt8>, _ line: Range<Int>) -> Int? {
        guard let first = line.first(where: { bytes[$0] == UInt8(ascii: " ") }),
            let second = ((first + 1)..<line.upperBound).first(where: { bytes[$0] == UInt8(ascii: " ") })
        else { return 400 }
        path = (first + 1)..<second
        if let query = path.first(where: { bytes[$0] == UInt8(ascii: "?") }) { path = path.lowerBound..<query }
        if SimulatorRequest.equals(bytes, line.lowerBound..<first, "POST") { method = .post }
        if SimulatorRequest.equals(bytes, line.lowerBound..<first, "GET") { method = .get }
        return SimulatorRequest.equals(bytes, (second + 1)..<line.upperBound, "HTTP/1.1") ? nil : 505
    }

    private mutating func readField(_ bytes: Span<UInt8>, _ line: Range<Int>) -> Int? {
        guard let colon = line.first(where: { bytes[$0] == UInt8(ascii: ":") }), colon > line.lowerBound else {
            return 400
        }
        let name = line.lowerBound..<colon
        var value = (colon + 1)..<line.upperBound
        while let first = value.first, SimulatorRequest.isBlank(bytes[first]) { value = (first + 1)..<value.upperBound }
        while let last = value.last, SimulatorRequest.isBlank(bytes[last]) { value = value.lowerBound..<last }
        switch bytes[name.lowerBound] | 0x20 {
        case UInt8(ascii: "c"):
            if SimulatorRequest.equals(bytes, name, "content-length") {
                guard let length = SimulatorRequest.number(bytes, value) else { return 400 }
                bodyLength = length
            } else if SimulatorRequest.equals(bytes, name, "connection") {
                if SimulatorRequest.equals(bytes, value, "close") { keepsAlive = false }
            }
        case UInt8(ascii: "a"):
            guard SimulatorRequest.equals(bytes, name, "authorization"), value.count > 7 else { return nil }
            let scheme = value.prefix(7)
            guard SimulatorRequest.equals(bytes, scheme, "bearer ") else { return nil }
            apiKey = (value.lowerBound + 7)..<value.upperBound
        case UInt8(ascii: "t"):
            // Clients of this API know their body's length; chunked requests are refused as RFC 9112 6.3 allows.
            if SimulatorRequest.equals(bytes, name, "transfer-encoding") { return 411 }
        case UInt8(ascii: "e"):
            if SimulatorRequest.equals(bytes, name, "expect") { expectsContinue = true }
        case UInt8(ascii: "x"):
            guard name.count > 6, SimulatorRequest.equals(bytes, name.prefix(6), "x-sim-") else { return nil }
            guard settings.count < SimulatorRequest.settingLimit else { return 431 }
            settings.append(((name.lowerBound + 6)..<name.upperBound, value))
        default: break
        }
        return nil
    }
}

extension SimulatorRequest {
    static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

    /// True when the bytes are `text`, letters compared without case. `text` is lower case or has no other spelling.
    static func equals(_ bytes: Span<UInt8>, _ range: Range<Int>, _ text: String) -> Bool {
        guard range.count == text.utf8.count else { return false }
        var index = range.lowerBound
        for byte in text.utf8 {
            guard lowered(bytes[index]) == lowered(byte) else { return false }
            index += 1
        }
        return true
    }

    private static func lowered(_ byte: UInt8) -> UInt8 {
        byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
    }

    /// A decimal number of at most nine digits.
    static func number(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int? {
        guard (1...9).contains(range.count) else { return nil }
        var value = 0
        for index in range {
            guard bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + Int(bytes[index] - UInt8(ascii: "0"))
        }
        return value
    }
}
