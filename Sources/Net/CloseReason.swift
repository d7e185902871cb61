// Why a connection ended.

/// Why a connection ended.
public enum CloseReason: Error, Equatable, Sendable, CustomStringConvertible {
    /// This side closed it.
    case local
    /// The peer closed it in good order.
    case peer
    /// The system reported an error.
    case system(SystemFailure)
    /// TLS refused the peer or its bytes.
    case tls(TLSFailure)
    /// Nothing could be written for the stated time, or the handshake took too long.
    case timeout(String)

    /// One sentence for a log line.
    public var description: String {
        switch self {
        case .local: "closed here"
        case .peer: "closed by the peer"
        case .system(let failure): failure.description
        case .tls(let failure): failure.description
        case .timeout(let what): "\(what) took too long"
        }
    }
}
