// Characters that show nothing and change how the text around them is shown: found in names, made visible where people read.

extension Unicode.Scalar {
    /// True for a control or formatting character: C0, C1, the line and paragraph separators, and Unicode's format characters, among
    /// which are those that set the direction of text, those without width, and the byte order mark.
    ///
    /// One of them in a name breaks lines of a table or a log, moves a terminal's cursor, or makes two different names look alike. The two
    /// joiners are none: words of several languages and many emoji are written with them.
    public var isControl: Bool {
        if value < 0x7F { return value < 0x20 }
        if value == 0x200C || value == 0x200D { return false }
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: return true
        default: return false
        }
    }
}

extension String {
    /// True when a control or formatting character stands in the text.
    public var hasControls: Bool {
        // Nearly all text is ASCII, whose controls are single bytes.
        var isASCII = true
        for byte in utf8 {
            if byte < 0x20 || byte == 0x7F { return true }
            if byte >= 0x80 { isASCII = false }
        }
        return !isASCII && unicodeScalars.contains { $0.isControl }
    }

    /// The first control or formatting character that is none of `kept`: its offset in bytes and its name, such as `U+202E`.
    func firstControl(but kept: String) -> (offset: Int, name: String)? {
        guard let index = unicodeScalars.firstIndex(where: { $0.isControl && !kept.unicodeScalars.contains($0) }) else {
            return nil
        }
        let digits = String(unicodeScalars[index].value, radix: 16, uppercase: true)
        let name = "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        return (utf8.distance(from: utf8.startIndex, to: index), name)
    }

    /// The text with each control and formatting character but those of `kept` spelled as JSON would, for example `\u001b`: it can be
    /// printed to a terminal, and JSON stays the same JSON.
    public func visible(keeping kept: String = "") -> String {
        guard hasControls else { return self }
        var text = ""
        for scalar in unicodeScalars {
            guard scalar.isControl, !kept.unicodeScalars.contains(scalar) else {
                text.unicodeScalars.append(scalar)
                continue
            }
            for unit in UTF16.encode(scalar) ?? .init() {
                let digits = String(unit, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return text
    }
}

extension RawSpan {
    /// True when a control or formatting character stands in this UTF-8 text.
    public var hasControls: Bool {
        var isASCII = true
        for offset in 0..<byteCount {
            let byte = byte(at: offset)
            if byte < 0x20 || byte == 0x7F { return true }
            if byte >= 0x80 { isASCII = false }
        }
        return !isASCII && string().hasControls
    }
}
