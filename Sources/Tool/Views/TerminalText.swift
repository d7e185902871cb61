// An answer on its way to a terminal: what the terminal would obey is spelled, everything else stays as the model wrote it.

/// Spells control characters in UTF-8 that comes in pieces, which may end inside a character.
struct TerminalText {
    /// The first byte of a control character of two, when a piece ended behind it.
    private var hasHalf = false

    /// The piece, ready to be printed. Line feeds and tabs stay, and so do characters that only join or direct their neighbours.
    mutating func visible(_ piece: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(piece.count)
        for byte in piece {
            if hasHalf {
                hasHalf = false
                if byte < 0xA0, byte >= 0x80 {
                    output += TerminalText.spelled(byte)
                    continue
                }
                output.append(0xC2)
            }
            switch byte {
            case 0x0A, 0x09: output.append(byte)
            case 0..<0x20, 0x7F: output += TerminalText.spelled(byte)
            case 0xC2: hasHalf = true
            default: output.append(byte)
            }
        }
        return output
    }

    private static func spelled(_ control: UInt8) -> [UInt8] {
        let digits = String(control, radix: 16)
        return Array("\\u00\(digits.count == 1 ? "0" : "")\(digits)".utf8)
    }
}
