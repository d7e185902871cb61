// The address of a provider's API, as `base-url` gives it: one reader for the check of a file and for who connects.

/// `scheme://host[:port][/path][?query]`.
public struct BaseURL: Equatable, Sendable {
    /// True for `https://`.
    public let isEncrypted: Bool
    /// A name or an address, without brackets.
    public let host: String
    /// The port, by default that of the scheme.
    public let port: UInt16
    /// What comes before the path of a request; without a slash at its end.
    public let path: String
    /// What comes behind the path of a request, such as `?api-version=2026-01-01`; empty for none.
    public let query: String
    /// Host and port as the Host header names them.
    public let authority: String

    /// Reads an address; nil for what is none, and for one with a user, a password or a fragment.
    public init?(_ text: String) {
        guard let scheme = ["https://", "http://"].first(where: { text.hasPrefix($0) }) else { return nil }
        isEncrypted = scheme == "https://"
        let rest = text.dropFirst(scheme.count)
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"#@\\".utf8.contains($0) }) else { return nil }
        let question = rest.firstIndex(of: "?") ?? rest.endIndex
        query = rest[question...] == "?" ? "" : String(rest[question...])
        let slash = rest[..<question].firstIndex(of: "/") ?? question
        authority = String(rest[..<slash])
        var path = rest[slash..<question]
        while path.hasSuffix("/") { path.removeLast() }
        self.path = String(path)
        guard let place = BaseURL.place(authority, port: isEncrypted ? 443 : 80) else { return nil }
        (host, port) = place
    }

    private static func place(_ authority: String, port usual: UInt16) -> (String, UInt16)? {
        var host = authority[...]
        var port = usual
        let bracket = authority.lastIndex(of: "]") ?? authority.startIndex
        if let colon = authority.lastIndex(of: ":"), colon >= bracket {
            let digits = authority[authority.index(after: colon)...]
            guard let number = UInt16(digits), number > 0 else { return nil }
            (host, port) = (authority[..<colon], number)
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(where: { ":[]".contains($0) }) {
            return nil
        }
        return host.isEmpty ? nil : (String(host), port)
    }
}
