// Names, paths and addresses as they stand in the configuration.
import Core

/// Parsers of values that are plain text.
enum PlainText {
    /// Anything but nothing.
    static func any(_ text: String) throws(ValueProblem) -> String {
        guard !text.isEmpty else { throw ValueProblem("expected a value, found nothing") }
        return text
    }

    /// A name of letters, digits and `._-`, at most 64 bytes: it stands in file names, Redis keys and labels.
    static func name(_ text: String) throws(ValueProblem) -> String {
        guard isMade(text, of: "._-", limit: 64), text.first != "." else {
            throw ValueProblem("expected a name of letters, digits, '.', '_' or '-', at most 64, found '\(text)'")
        }
        return text
    }

    /// The alias of a route, at most 64 bytes; also with `/`, `:` and `@`, which model names have.
    static func alias(_ text: String) throws(ValueProblem) -> String {
        guard isMade(text, of: "._-/:@", limit: 64) else {
            throw ValueProblem(
                "expected an alias of letters, digits or any of '._-/:@', at most 64 characters, found '\(text)'")
        }
        return text
    }

    /// The id of an API key: what stands between the underscores of `slk_<id>_<secret>`.
    static func keyID(_ text: String) throws(ValueProblem) -> String {
        guard isMade(text, of: "-", limit: 32) else {
            throw ValueProblem("expected a key's id of letters, digits or '-', at most 32, found '\(text)'")
        }
        return text
    }

    /// A route's alias, or `*` for all.
    static func aliasOrAll(_ text: String) throws(ValueProblem) -> String { text == "*" ? text : try alias(text) }

    /// What people call something: one line of at most 64 bytes, without what would begin a comment.
    static func label(_ text: String) throws(ValueProblem) -> String {
        guard (1...64).contains(text.utf8.count), !text.hasPrefix("#"), !text.contains(" #"),
            !text.hasControls, text.first != " ", text.last != " "
        else {
            throw ValueProblem(
                "expected a label of one line, at most 64 bytes, without ' #' or control characters, found '\(text.visible())'"
            )
        }
        return text
    }

    /// The URI of a client's certificate, such as `spiffe://example.org/search`; at most 255 bytes.
    static func identity(_ text: String) throws(ValueProblem) -> String {
        let isPlain = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }
        guard (1...255).contains(text.utf8.count), isPlain, text.contains("://"), !text.hasPrefix("://") else {
            throw ValueProblem("expected a URI such as spiffe://example.org/search, found '\(text)'")
        }
        for program in ["node", "coordinator"] where "\(text)/".hasPrefix("spiffe://sluice/\(program)/") {
            throw ValueProblem("'\(text)' is an identity of the cluster's own programs")
        }
        return text
    }

    private static func isMade(_ text: String, of marks: String, limit: Int) -> Bool {
        (1...limit).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || marks.utf8.contains(byte)
            }
    }

    /// `host:port`, where the host may be a name, or `unix:path`.
    static func address(_ text: String) throws(ValueProblem) -> String {
        if text.hasPrefix("unix:"), (6...112).contains(text.utf8.count) { return text }
        guard let (host, port) = parts(text), port > 0, !host.isEmpty else {
            throw ValueProblem("expected an address such as 127.0.0.1:7443, [::1]:7443 or unix:path, found '\(text)'")
        }
        return text
    }

    /// `127.0.0.1:7443` or `[::1]:7443`: a program listens here, so names are not resolved.
    static func numericAddress(_ text: String) throws(ValueProblem) -> String {
        guard let (host, port) = parts(text), port > 0, isNumeric(host) else {
            throw ValueProblem("expected a numeric address such as 127.0.0.1:7443 or [::1]:7443, found '\(text)'")
        }
        return text
    }

    /// `127.0.0.1`, `0.0.0.0` or `[::1]`.
    static func numericHost(_ text: String) throws(ValueProblem) -> String {
        guard isNumeric(text[...]) else {
            throw ValueProblem("expected a numeric host such as 127.0.0.1, 0.0.0.0 or [::], found '\(text)'")
        }
        return text
    }

    private static func parts(_ text: String) -> (host: Substring, port: UInt16)? {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let port = UInt16(digits) else { return nil }
        let host = text[..<colon]
        let isPlain = !host.contains(":") || (host.hasPrefix("[") && host.hasSuffix("]"))
        return isPlain ? (host, port) : nil
    }

    private static func isNumeric(_ host: Substring) -> Bool {
        if host.hasPrefix("["), host.hasSuffix("]") {
            let inner = host.dropFirst().dropLast()
            return inner.contains(":") && inner.utf8.allSatisfy { $0 == 0x3A || $0 == 0x2E || isHexadecimal($0) }
        }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 4 && numbers.allSatisfy { !$0.isEmpty && UInt8($0).map { "\($0)" } == String($0) }
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 6 }
}
