// What the simulator reads out of an embeddings request, and the vectors it answers with.
import Core

/// The members of an embeddings request. Ranges count from the start of the body.
struct EmbeddingsRequest: Equatable {
    /// Most inputs of one request.
    static let inputLimit = 2048
    /// Most numbers of one answer; bounds its size at about 12 MB.
    static let numberLimit = 1 << 20

    var model = 0..<0
    /// Inside of a string, or the text of an array of token numbers.
    var inputs: [Range<Int>] = []
    var dimensions = 1536
    var isBase64 = false
    var inputTokens: Int { inputs.reduce(0) { $0 + max(1, ($1.count + 3) / 4) } }

    /// Reads a request's body.
    static func read(_ body: RawSpan) throws(APIError) -> EmbeddingsRequest {
        var request = EmbeddingsRequest()
        var reader = JSONReader(body)
        try reader.enterObject("the request")
        while let key = try reader.nextKey() { try request.readMember(key, &reader) }
        try reader.finish()
        guard !request.model.isEmpty else {
            throw .invalid("You must provide a model parameter.", parameter: "model")
        }
        guard !request.inputs.isEmpty else {
            throw .invalid(
                "Missing required parameter: 'input'.", parameter: "input", code: "missing_required_parameter")
        }
        guard request.inputs.count * request.dimensions <= numberLimit else {
            throw .invalid("Too many inputs and dimensions in one request.", parameter: "input")
        }
        return request
    }

    private mutating func readMember(_ key: JSONText, _ reader: inout JSONReader) throws(APIError) {
        if reader.matches(key, "model") {
            model = try reader.text("model")
        } else if reader.matches(key, "input") {
            try readInputs(&reader)
        } else if reader.matches(key, "dimensions") {
            guard let number = try reader.count("dimensions") else { return }
            guard (1...4096).contains(number) else {
                throw .invalid("Expected a number from 1 to 4096.", parameter: "dimensions", code: "invalid_value")
            }
            dimensions = number
        } else if reader.matches(key, "encoding_format") {
            let format = try reader.text("encoding_format")
            isBase64 = reader.bytes.matches("base64", in: format)
            guard isBase64 || reader.bytes.matches("float", in: format) else {
                throw .invalid("Expected 'float' or 'base64'.", parameter: "encoding_format", code: "invalid_value")
            }
        } else {
            try reader.skip()
        }
    }

    /// A string, strings, token numbers, or arrays of token numbers.
    private mutating func readInputs(_ reader: inout JSONReader) throws(APIError) {
        inputs = []
        let start = reader.position
        switch try reader.event() {
        case .string(let text): return inputs.append(text.range)
        case .arrayStart: break
        default: throw .wrongType("input", "a string or an array")
        }
        var hasNumbers = false
        while true {
            let place = reader.position
            switch try reader.event() {
            case .arrayEnd:
                if hasNumbers { inputs.append(start..<reader.position) }
                return
            case .string(let text): inputs.append(text.range)
            case .number: hasNumbers = true
            case .arrayStart:
                while case .number = try reader.event() {}
                inputs.append(place..<reader.position)
            default: throw .wrongType("input", "strings or token numbers")
            }
            guard inputs.count <= EmbeddingsRequest.inputLimit else {
                throw .invalid("Too many inputs in one request.", parameter: "input")
            }
        }
    }

    /// Appends the whole answer.
    func write(for body: RawSpan, into buffer: inout ByteBuffer) {
        buffer.append(literal: "{\"object\":\"list\",\"data\":[")
        for (index, input) in inputs.enumerated() {
            if index > 0 { buffer.append(UInt8(ascii: ",")) }
            buffer.append(literal: "{\"object\":\"embedding\",\"index\":")
            buffer.append(decimal: index)
            buffer.append(literal: ",\"embedding\":")
            write(vector(of: body.extracting(input), model: body.extracting(model)), into: &buffer)
            buffer.append(UInt8(ascii: "}"))
        }
        buffer.append(literal: "],\"model\":\"")
        buffer.append(body.extracting(model))
        buffer.append(literal: "\",\"usage\":{\"prompt_tokens\":")
        buffer.append(decimal: inputTokens)
        buffer.append(literal: ",\"total_tokens\":")
        buffer.append(decimal: inputTokens)
        buffer.append(literal: "}}")
    }

    /// A vector of length 1 that depends on text and model only.
    private func vector(of text: RawSpan, model: RawSpan) -> [Float] {
        var state: UInt64 = 0xCBF2_9CE4_8422_2325
        for part in 0..<2 {
            let bytes = part == 0 ? model : text
            for offset in 0..<bytes.byteCount { state = (state ^ UInt64(bytes.byte(at: offset))) &* 0x100_0000_01B3 }
        }
        var squares: Float = 0
        var numbers: [Float] = []
        numbers.reserveCapacity(dimensions)
        for _ in 0..<dimensions {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
            let number = Float(Int64(bitPattern: mixed) >> 40) / Float(1 << 23)
            numbers.append(number)
            squares += number * number
        }
        let scale = 1 / max(squares, .leastNormalMagnitude).squareRoot()
        for index in numbers.indices { numbers[index] *= scale }
        return numbers
    }

    private func write(_ vector: [Float], into buffer: inout ByteBuffer) {
        guard isBase64 else {
            for (index, number) in vector.enumerated() {
                buffer.append(index == 0 ? UInt8(ascii: "[") : UInt8(ascii: ","))
                buffer.append(number.description)
            }
            return buffer.append(UInt8(ascii: "]"))
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(vector.count * 4)
        for number in vector {
            for shift in 0..<UInt32(4) { bytes.append(UInt8(truncatingIfNeeded: number.bitPattern >> (8 * shift))) }
        }
        buffer.append(UInt8(ascii: "\""))
        Base64.write(bytes, into: &buffer)
        buffer.append(UInt8(ascii: "\""))
    }
}

/// Base64 with padding (RFC 4648, section 4).
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func write(_ bytes: [UInt8], into buffer: inout ByteBuffer) {
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let rest = min(3, bytes.count - start)
            var group: UInt32 = 0
            for place in 0..<3 { group = group << 8 | (place < rest ? UInt32(bytes[start + place]) : 0) }
            for place in 0..<UInt32(4) {
                let isPadding = Int(place) > rest
                buffer.append(isPadding ? UInt8(ascii: "=") : alphabet[Int(group >> (18 - 6 * place)) & 63])
            }
        }
    }
}
