// Writes commands in Redis' protocol: an array of byte strings, each with its length in front.

import Core

/// Writes one command into a buffer. The caller says the number of parts first and then writes exactly that many.
struct RedisWriter {
    /// Begins a command of `parts` parts.
    static func begin(_ parts: Int, in output: inout ByteBuffer) {
        output.append(UInt8(ascii: "*"))
        endLine(parts, in: &output)
    }

    /// Begins a part of `count` bytes; the caller writes them and the end of the line.
    static func beginPart(_ count: Int, in output: inout ByteBuffer) {
        output.append(UInt8(ascii: "$"))
        endLine(count, in: &output)
    }

    /// One part: bytes.
    static func part(_ bytes: RawSpan, in output: inout ByteBuffer) {
        output.append(UInt8(ascii: "$"))
        endLine(bytes.byteCount, in: &output)
        output.append(bytes)
        output.append(literal: "\r\n")
    }

    /// One part: bytes.
    static func part(_ bytes: [UInt8], in output: inout ByteBuffer) {
        output.append(UInt8(ascii: "$"))
        endLine(bytes.count, in: &output)
        output.append(bytes)
        output.append(literal: "\r\n")
    }

    /// One part: an ASCII literal.
    static func part(literal text: StaticString, in output: inout ByteBuffer) {
        output.append(UInt8(ascii: "$"))
        endLine(text.utf8CodeUnitCount, in: &output)
        output.append(literal: text)
        output.append(literal: "\r\n")
    }

    /// One part: a decimal number.
    static func part(decimal value: Int, in output: inout ByteBuffer) {
        var digits = 1
        var rest = value / 10
        while rest != 0 { (digits, rest) = (digits + 1, rest / 10) }
        output.append(UInt8(ascii: "$"))
        endLine(digits + (value < 0 ? 1 : 0), in: &output)
        endLine(value, in: &output)
    }

    /// A number and the end of its line. Lengths are small: most are one or two digits.
    private static func endLine(_ value: Int, in output: inout ByteBuffer) {
        switch value {
        case 0..<10: output.append(UInt8(48 + value))
        case 10..<100:
            output.append(UInt8(48 + value / 10))
            output.append(UInt8(48 + value % 10))
        default: output.append(decimal: value)
        }
        output.append(literal: "\r\n")
    }
}

/// A command for cold paths: a list of parts.
public struct RedisCommand: Sendable {
    /// Its parts: the name first.
    let parts: [[UInt8]]

    /// The whole command as it travels, where it is made for each request; `parts` is empty then.
    private let ready: [UInt8]?

    /// A command with text arguments, as one would type it.
    public init(_ parts: String...) {
        self.parts = parts.map { Array($0.utf8) }
        ready = nil
    }

    /// A command that is written already; whoever sends it names the slot of its key.
    init(ready: [UInt8]) {
        parts = []
        self.ready = ready
    }

    /// A command with arguments that need not be text.
    public init(parts: [[UInt8]]) {
        precondition(!parts.isEmpty, "a command has a name")
        self.parts = parts
        ready = nil
    }

    /// The slot of the key behind the name; any slot for a command without arguments.
    var slot: RedisSlot { RedisSlot(key: parts.count > 1 ? parts[1] : []) }

    func write(into output: inout ByteBuffer) {
        if let ready { return output.append(ready) }
        RedisWriter.begin(parts.count, in: &output)
        for part in parts { RedisWriter.part(part, in: &output) }
    }
}
