// Watches a stream against its reservation: when to ask for more, and when to hold the provider until there is an answer.
import Core

/// Counts the output of one stream as it passes.
///
/// It asks for more when nine tenths are used, so that a stream seldom waits for the answer; when all is used and no answer has
/// come, the provider's socket is left unread. What passes beyond a reservation is therefore bounded by one read of a socket.
public struct OutputWatch: Sendable {
    /// What to do after a piece of output.
    public enum Step: Equatable, Sendable {
        /// Nothing.
        case goOn
        /// Ask whether the output may reach so many tokens.
        case ask(outputTokens: Int64)
        /// The reservation is used up and the answer has not come: stop reading.
        case wait
    }

    /// Output tokens that are reserved at present.
    public private(set) var reserved: Int64
    /// The most that the request may use at all.
    private let most: Int64
    private var output = OutputCount()
    private var asked: Int64?

    /// A stream for which `reserved` of at most `most` output tokens are reserved.
    public init(reserved: Int64, most: Int64) {
        self.reserved = reserved
        self.most = most
    }

    /// Output tokens so far.
    public var counted: Int64 { output.tokens }

    /// True while the reservation is used up and a question is open.
    public var mustWait: Bool { asked != nil && counted >= reserved }

    /// A piece of output of this many bytes passed.
    public mutating func pass(_ byteCount: Int) -> Step {
        output.note(byteCount)
        guard reserved < most, counted * 10 >= reserved * 9 else { return .goOn }
        if asked != nil { return counted >= reserved ? .wait : .goOn }
        let total = min(most, max(reserved * 2, counted + 64))
        asked = total
        return .ask(outputTokens: total)
    }

    /// More is reserved, or Redis could not be asked: then the settlement books what was used, at most what the request may use.
    public mutating func mayGoOn() {
        if let asked { reserved = asked }
        asked = nil
    }
}
