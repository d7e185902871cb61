// The ways in which this provider can fail.

/// One way to fail. `after` counts output tokens that the caller receives first; without streaming every fault with `after`
/// strikes in the middle of the body.
enum Fault: Hashable, Sendable {
    /// A complete error answer with this status, in OpenAI's error format.
    case status(Int)
    /// 429 with `insufficient_quota`: money is the reason, waiting does not help.
    case quota
    /// The request is read and never answered.
    case hang
    /// One byte of the head every 100 ms.
    case slowHead
    /// A head that never ends.
    case endlessHeaders
    /// An answer that is not HTTP.
    case notHTTP
    /// Status 200 with an HTML page.
    case contentType
    /// Silence on an open connection.
    case hangAfter(Int)
    /// The connection is closed without an end of the answer.
    case cutAfter(Int)
    /// The connection is reset (RST).
    case resetAfter(Int)
    /// The connection is reset within an event.
    case tornAfter(Int)
    /// One event whose JSON is broken; the stream goes on behind it.
    case malformedAfter(Int)
    /// One event whose text is no UTF-8; the stream goes on behind it.
    case badTextAfter(Int)
    /// An `error` event after status 200, then the connection is closed.
    case errorAfter(Int)
    /// The same, with the words of a provider that has too much to do.
    case overloadedAfter(Int)
    /// Nothing but comments, ten a second.
    case commentsAfter(Int)
    /// A line of an event that does not end.
    case endlessAfter(Int)
    /// Every byte of the answer in a chunk of its own.
    case split
    /// A body in gzip, which nobody asked for.
    case gzip
    /// The stream ends in order, but without `finish_reason` and `[DONE]`.
    case noFinish
    /// The stream ends in order, but without `[DONE]`.
    case noDone
    /// No usage, though it was asked for.
    case noUsage
    /// Usage that cannot be true.
    case absurdUsage
    /// Usage below zero.
    case negativeUsage

    /// The kind's word in settings and statistics; `…-after` kinds take a number behind `=`.
    var word: String {
        switch self {
        case .status(let code): String(code)
        case .quota: "quota"
        case .hang: "hang"
        case .slowHead: "slow-head"
        case .endlessHeaders: "endless-headers"
        case .notHTTP: "not-http"
        case .contentType: "content-type"
        case .hangAfter: "hang-after"
        case .cutAfter: "cut-after"
        case .resetAfter: "reset-after"
        case .tornAfter: "torn-after"
        case .malformedAfter: "malformed-after"
        case .badTextAfter: "bad-text-after"
        case .errorAfter: "error-after"
        case .overloadedAfter: "overloaded-after"
        case .commentsAfter: "comments-after"
        case .endlessAfter: "endless-after"
        case .split: "split"
        case .gzip: "gzip"
        case .noFinish: "no-finish"
        case .noDone: "no-done"
        case .noUsage: "no-usage"
        case .absurdUsage: "absurd-usage"
        case .negativeUsage: "negative-usage"
        }
    }

    /// Output tokens after which it strikes; nil when it does not strike in the middle.
    var after: Int? {
        switch self {
        case .hangAfter(let count), .cutAfter(let count), .resetAfter(let count), .tornAfter(let count),
            .malformedAfter(let count), .badTextAfter(let count), .errorAfter(let count), .overloadedAfter(let count),
            .commentsAfter(let count), .endlessAfter(let count):
            count
        default: nil
        }
    }

    /// The setting that makes this fault.
    var setting: String { after.map { "\(word)=\($0)" } ?? word }

    /// Reads a setting such as `503`, `hang` or `cut-after=5`; nil when there is no such fault.
    init?(_ text: Substring) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 {
            guard let count = Int(parts[1]), (0...1_000_000).contains(count) else { return nil }
            let kinds: [(Int) -> Fault] = [
                Fault.hangAfter, Fault.cutAfter, Fault.resetAfter, Fault.tornAfter, Fault.malformedAfter,
                Fault.badTextAfter, Fault.errorAfter, Fault.overloadedAfter, Fault.commentsAfter, Fault.endlessAfter,
            ]
            guard let kind = kinds.first(where: { $0(count).word == parts[0] }) else { return nil }
            self = kind(count)
            return
        }
        if let code = Int(text) {
            guard (400...599).contains(code) else { return nil }
            self = .status(code)
            return
        }
        let plain: [Fault] = [
            .quota, .hang, .slowHead, .endlessHeaders, .notHTTP, .contentType, .split, .gzip, .noFinish, .noDone,
            .noUsage, .absurdUsage, .negativeUsage,
        ]
        guard let fault = plain.first(where: { $0.word == text }) else { return nil }
        self = fault
    }
}
