// Why a request has no whole answer, and whether it may be asked again.
public import Wire

/// The one outcome of a request that has no whole answer. Its text never holds a key or a prompt.
public enum ClientFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// The cluster refused or failed the request; usage, the binding limit and the time to retry are inside.
    case refused(StreamError)
    /// The connection broke after the request was sent: it may have run.
    case connectionLost(String)
    /// No connection could be made in time; nothing was sent.
    case unreachable(String)
    /// The caller's own time was over. When the request was sent, it may have run.
    case deadline(wasSent: Bool)
    /// The task that waited was cancelled; CANCEL is on its way when the request was.
    case cancelled
    /// Too many requests, or too many bytes of them, wait in this client; nothing was sent.
    case full
    /// The client was closed; nothing was sent.
    case closed

    /// The protocol's code; for what happens on this side, the code that says the same.
    public var code: ErrorCode {
        switch self {
        case .refused(let error): error.code
        case .connectionLost, .unreachable, .closed: .connectionLost
        case .deadline: .deadline
        case .cancelled: .cancelled
        case .full: .overloaded
        }
    }

    /// Whether asking again is safe, and where.
    public var retry: RetryClass {
        switch self {
        case .refused(let error): error.retry
        case .connectionLost: .unsafe
        case .deadline(let wasSent): wasSent ? .unsafe : .safeElsewhere
        case .unreachable: .safeElsewhere
        case .full: .safeHere
        case .cancelled, .closed: .never
        }
    }

    /// When to ask again at the earliest; nil when the cluster did not say.
    public var retryAfter: Duration? {
        guard case .refused(let error) = self, error.retryAfterMilliseconds > 0 else { return nil }
        return .milliseconds(Int64(error.retryAfterMilliseconds))
    }

    /// Whether this one request is concerned, or the connection with everything on it.
    public var scope: ErrorScope { code.scope }

    /// The limit that refused the request, where one did.
    public var limit: StreamError.BindingLimit? {
        if case .refused(let error) = self { error.limit } else { nil }
    }

    /// One sentence for a person.
    public var description: String {
        switch self {
        case .refused(let error): ClientFailure.sentence(error)
        case .connectionLost(let reason): "the connection was lost, the request may have run: \(reason)"
        case .unreachable(let reason): "the cluster cannot be reached: \(reason)"
        case .deadline(true): "the request's time is over; it may have run"
        case .deadline(false): "the request's time was over before it could be sent"
        case .cancelled: "the request was cancelled"
        case .full: "too many requests wait in this client"
        case .closed: "the client was closed"
        }
    }

    private static func sentence(_ error: StreamError) -> String {
        var text = error.code == .unrecognized ? "code \(error.rawCode)" : error.code.name
        if !error.text.isEmpty { text += ": \(error.text)" }
        if !error.field.isEmpty { text += " (field \(error.field))" }
        if let limit = error.limit { text += " (\(limit.scope) limit of \(limit.amount) \(limit.unit))" }
        if error.retryAfterMilliseconds > 0 { text += ", try again in \(error.retryAfterMilliseconds) ms" }
        return text
    }
}
