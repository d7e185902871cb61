// One chat completion under way.
import Core

/// One chat completion under way: what was asked, how it is answered, how far it came.
struct Exchange {
    var id: UInt64 = 0
    var isActive = false
    var isStream = false
    var includesUsage = false
    var behaviour = Behaviour()
    /// The fault that strikes this request.
    var fault: Fault?
    /// Output tokens of the whole answer, and whether the request's limit cut it.
    var tokens = 0
    var isCut = false
    var inputTokens = 0
    var sent = 0
    var hasBegun = false
    var hasStruck = false
    /// When the next event may be sent.
    var due = Instant(nanoseconds: 0)

    /// Output tokens after which the fault strikes; nil when it does not strike in the middle.
    var strikesAfter: Int? { hasStruck ? nil : fault?.after }

    /// The usage that the answer tells; nil for none.
    var usage: ChatUsage? {
        switch fault {
        case .noUsage: nil
        case .absurdUsage: .absurd
        case .negativeUsage: .negative
        default:
            ChatUsage(
                inputTokens: inputTokens, outputTokens: tokens, cachedTokens: behaviour.cachedTokens,
                reasoningTokens: behaviour.reasoningTokens)
        }
    }

    /// Events with output tokens.
    var events: Int { (tokens + behaviour.tokensPerChunk - 1) / behaviour.tokensPerChunk }
}
