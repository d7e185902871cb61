// The fuzzer's bytes as a stream of choices.

/// Takes numbers and byte runs from the input; zeros once it is used up.
struct Input {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ pointer: UnsafePointer<UInt8>, _ count: Int) {
        bytes = [UInt8](UnsafeBufferPointer(start: pointer, count: count))
    }

    var isEmpty: Bool { offset >= bytes.count }

    mutating func byte() -> UInt8 {
        guard offset < bytes.count else { return 0 }
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func word() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }

    /// A number below `bound`, of one byte where that is enough.
    mutating func below(_ bound: Int) -> Int {
        if bound <= 1 { return 0 }
        return bound <= 256 ? Int(byte()) % bound : Int(word()) % bound
    }

    mutating func run(_ length: Int) -> [UInt8] {
        let end = min(bytes.count, offset + length)
        defer { offset = end }
        return Array(bytes[offset..<end])
    }

    mutating func rest() -> [UInt8] { run(bytes.count) }
}
