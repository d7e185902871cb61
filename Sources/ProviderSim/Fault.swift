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
    /// One event whose JSON is broken; the stream goes on behind it.
    case malformedAfter(Int)
    /// An `error` event after status 200, then the connection is closed.
    case errorAfter(Int)
    /// The stream ends in order, but without `finish_reason` and `[DONE]`.
    case noFinish
    /// The stream ends in order, but without `[DONE]`.
    case noDone
    /// No usage, though it was asked for.
    case noUsage
    /// Usage that cannot be true.
    case absurdUsage

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
        case .malformedAfter: "malformed-after"
        case .errorAfter: "error-after"
        case .noFinish: "no-finish"
        case .noDone: "no-done"
        case .noUsage: "no-usage"
        case .absurdUsage: "absurd-usage"
        }
    }

    /// The setting that makes this fault.
    var setting: String {
        switch self {
        case .hangAfter(let count), .cutAfter(let count), .resetAfter(let count), .malformedAfter(let count),
            .errorAfter(let count):
            "\(word)=\(count)"
        default: word
        }
    }

    /// Reads a setting such as `503`, `hang` or `cut-after=5`; nil when there is no such fault.
    init?(_ text: Substring) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 {
            guard let count = Int(parts[1]), (0...1_000_000).contains(count) else { return nil }
            switch parts[0] {
            case "hang-after": self = .hangAfter(count)
            case "cut-after": self = .cutAfter(count)
            case "reset-after": self = .resetAfter(count)
            case "malformed-after": self = .malformedAfter(count)
            case "error-after": self = .errorAfter(count)
            default: return nil
            }
            return
        }
        if let code = Int(text) {
            guard (400...599).contains(code) else { return nil }
            self = .status(code)
            return
        }
        let plain: [Fault] = [
            .quota, .hang, .slowHead, .endlessHeaders, .notHTTP, .contentType, .noFinish, .noDone, .noUsage,
            .absurdUsage,
        ]
        guard let fault = plain.first(where: { $0.word == text }) else { return nil }
        self = fault
    }
}
