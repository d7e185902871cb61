// Why shared state could not be read or changed; each case says what the connection does next.

/// A failure of the store. Its description carries no keys, names or secrets.
public enum StoreError: Error, Hashable, Sendable {
    /// No reply within the deadline. The command may have run: reserve and settle may be sent again under the same id.
    case timeout
    /// There is no usable connection; the command was not sent.
    case notConnected(reason: String)
    /// The connection ended before the reply; the command may have run.
    case disconnected(reason: String)
    /// Too many commands wait already; the command was not sent.
    case overloaded
    /// The server answers but must not be relied upon; the connection stays. The command did not run.
    case degraded(Degradation)
    /// The server lost its role or is loading; the connection is dropped and made anew. The command did not run.
    case notReady(prefix: String)
    /// The server refused the command: first word and text of its error.
    case server(prefix: String, message: String)
    /// The reply has a shape that the command cannot give.
    case unexpectedReply(String)

    /// The caller's value is empty or longer than the store keeps; the command was not sent.
    case tooLarge(limit: Int)

    /// In which way a server is unwell.
    public enum Degradation: String, Hashable, Sendable {
        /// A script runs for too long (`BUSY`).
        case busy
        /// Its memory is full (`OOM`).
        case outOfMemory
        /// It has lost its replicas (`NOREPLICAS`).
        case noReplicas
        /// The cluster has no owner for the slot (`CLUSTERDOWN`).
        case clusterDown
        /// The slot is being moved, and the keys of the command are not in one place (`TRYAGAIN`), for longer than the deadline.
        case moving
    }

    /// The meaning of an error reply. Only the first word counts: inside scripts Redis appends the script's name to the text.
    init(serverMessage message: String) {
        let prefix = String(message.prefix { $0 != " " }.prefix(32))
        switch prefix {
        case "BUSY": self = .degraded(.busy)
        case "OOM": self = .degraded(.outOfMemory)
        case "NOREPLICAS": self = .degraded(.noReplicas)
        case "CLUSTERDOWN": self = .degraded(.clusterDown)
        case "READONLY", "MASTERDOWN", "LOADING": self = .notReady(prefix: prefix)
        default: self = .server(prefix: prefix, message: String(message.prefix(256)))
        }
    }

    /// True when the connection must be dropped and made anew after this error.
    var dropsConnection: Bool {
        if case .notReady = self { return true }
        return false
    }

    /// True when the command certainly changed nothing.
    public var isCertainlyUndone: Bool {
        switch self {
        case .notConnected, .overloaded, .degraded, .notReady, .tooLarge: true
        case .timeout, .disconnected, .server, .unexpectedReply: false
        }
    }
}
