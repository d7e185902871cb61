// Both ends of an answer's way: what feeds it, and who listens.
import Core
import Net
import Providers
import Wire

/// What an answer comes from.
protocol Source: AnyObject {
    /// Leaves it unread until `resume`.
    func pause()
    func resume()
    /// Ends it; its end is heard in this call, or when what is being heard was.
    func cancel()
}

extension UpstreamCall: Source {}

/// Who listens to a request's answer. Each piece goes from the source through to one of these, in one turn and uncopied.
protocol Downstream: AnyObject {
    /// False when what is sent would reach nobody.
    var isOpen: Bool { get }
    /// Bytes that wait for the reader.
    var waitingBytes: Int { get }
    /// How often the answer was continued on another connection; nil where that cannot be.
    var continuations: Int? { get }

    /// More of the request's body may come than comes unasked.
    func grantBody()
    /// The answer begins: who gives it.
    func accepted(_ accepted: Accepted)
    /// A piece of text. False: the source must pause until the exchange's `resume`.
    func delta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) -> Bool
    /// What is not text. False: the source must pause until the exchange's `resume`.
    func event(_ event: StreamEvent) -> Bool
    /// The request has ended.
    func finish(_ word: LastWord)
    /// The connection that asked is gone. True when the answer goes on without it.
    func detach() -> Bool
}

/// How a stream ends for its client.
enum LastWord: Sendable {
    case end(End)
    case error(StreamError)
}
