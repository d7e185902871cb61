// A place to connect to by name: a host with a port, or a Unix path.

/// A place to connect to; a host may be a name that is still to be resolved.
public enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// A host name or numeric address with its port.
    case host(String, port: UInt16)
    /// A path in the file system.
    case unix(String)

    /// Reads `host:80`, `[::1]:80` or `unix:/path`; nil when it is none of these.
    public static func parse(_ text: String) -> Endpoint? {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            return path.isEmpty ? nil : .unix(path)
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return host.isEmpty ? nil : .host(String(host), port: port)
    }

    /// The form that `parse` reads.
    public var description: String {
        switch self {
        case .host(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
