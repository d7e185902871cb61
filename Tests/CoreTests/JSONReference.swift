// A slow JSON reader after the letter of RFC 8259, written apart from the fast one, to which it is compared.

/// Says whether bytes are one JSON text. Works on Unicode scalars of text that the standard library found to be UTF-8.
struct JSONReference {
    private var scalars: ArraySlice<Unicode.Scalar>
    private let depthLimit: Int

    static func accepts(_ bytes: [UInt8], depth: Int = 64) -> Bool {
        guard let text = String(validating: bytes, as: UTF8.self) else { return false }
        var reader = JSONReference(scalars: Array(text.unicodeScalars)[...], depthLimit: depth)
        return reader.space() && reader.value(0) && reader.space() && reader.scalars.isEmpty
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard scalars.first == scalar else { return false }
        scalars.removeFirst()
        return true
    }

    private mutating func takeOne(of text: String) -> Bool {
        guard let first = scalars.first, text.unicodeScalars.contains(first) else { return false }
        scalars.removeFirst()
        return true
    }

    private mutating func space() -> Bool {
        while takeOne(of: " \t\n\r") {}
        return true
    }

    private mutating func value(_ depth: Int) -> Bool {
        switch scalars.first {
        case "{":
            return list(depth, "}") { $0.string() && $0.space() && $0.take(":") && $0.space() && $0.value(depth + 1) }
        case "[": return list(depth, "]") { $0.value(depth + 1) }
        case "\"": return string()
        case "t": return "true".unicodeScalars.allSatisfy { take($0) }
        case "f": return "false".unicodeScalars.allSatisfy { take($0) }
        case "n": return "null".unicodeScalars.allSatisfy { take($0) }
        default: return number()
        }
    }

    private mutating func list(_ depth: Int, _ end: Unicode.Scalar, _ element: (inout JSONReference) -> Bool) -> Bool {
        guard depth < depthLimit else { return false }
        scalars.removeFirst()
        guard space() else { return false }
        if take(end) { return true }
        repeat {
            guard space(), element(&self), space() else { return false }
        } while take(",")
        return take(end)
    }

    private mutating func string() -> Bool {
        guard take("\"") else { return false }
        while let scalar = scalars.popFirst() {
            switch scalar {
            case "\"": return true
            case "\\":
                if take("u") {
                    for _ in 0..<4 { guard takeOne(of: "0123456789abcdefABCDEF") else { return false } }
                } else {
                    guard takeOne(of: "\"\\/bfnrt") else { return false }
                }
            case "\u{0}"..."\u{1F}": return false
            default: break
            }
        }
        return false
    }

    private mutating func number() -> Bool {
        _ = take("-")
        guard take("0") || digits() else { return false }
        if take("."), !digits() { return false }
        if takeOne(of: "eE") {
            _ = takeOne(of: "+-")
            return digits()
        }
        return true
    }

    private mutating func digits() -> Bool {
        guard takeOne(of: "0123456789") else { return false }
        while takeOne(of: "0123456789") {}
        return true
    }
}
