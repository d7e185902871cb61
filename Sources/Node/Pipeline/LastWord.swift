// How a request ends for its client: the answer's end with what it used, or an error that says whether to ask again.
import Core
import Net
import Policy
import Providers
import Wire

extension Pipeline {
    /// The terminal frame; nil where an answer came without its end.
    static func lastWord(_ exchange: Exchange, _ refusal: Refusal?, _ bill: Bill) -> LastWord? {
        let now = exchange.gateway.lane.now
        let provider = exchange.target.flatMap { exchange.tariff.providerNumbers[$0.provider] } ?? 0
        if let refusal { return .error(error(exchange, refusal.streamError, bill, provider)) }
        // By its parts: whole, it would be copied.
        return (exchange.tries.leading?.outcome?.end.finish).map { finish in
            let first = ((exchange.firstDeltaAt ?? now) - exchange.receivedAt).milliseconds
            return .end(
                End(
                    finish: finish, usageSource: bill.source ?? .estimated, provider: provider,
                    inputTokens: UInt32(clamping: bill.usage.inputTokens),
                    outputTokens: UInt32(clamping: bill.usage.outputTokens),
                    cachedTokens: UInt32(clamping: bill.usage.cacheReadTokens),
                    totalMilliseconds: UInt32(clamping: (now - exchange.receivedAt).milliseconds),
                    costMicroUSD: UInt64(max(0, bill.cost.amount)),
                    timeToFirstTokenMilliseconds: UInt16(clamping: first),
                    attempts: UInt16(clamping: exchange.tries.race.begun),
                    reasoningTokens: bill.usage.reasoningTokens.map { UInt32(clamping: $0) },
                    cacheWriteTokens: UInt32(clamping: bill.usage.cacheWriteTokens),
                    providerFinish: ownWord(exchange.tries.leading?.outcome?.end.finishWord, beside: finish)))
        }
    }

    /// The provider's word for the finish; nothing when it is ours.
    private static func ownWord(_ word: String?, beside finish: FinishReason) -> String {
        word == finish.word ? "" : word ?? ""
    }

    private static func error(
        _ exchange: Exchange, _ error: StreamError, _ bill: Bill, _ provider: UInt16
    ) -> StreamError {
        var error = error
        if exchange.wasSent {
            error.provider = provider
            error.flags.insert(.upstreamStarted)
            if bill.source != nil { error.flags.insert(.billed) }
            if exchange.tries.leading?.outcome?.hasContent == true { error.flags.insert(.partialOutput) }
            // Once a provider was asked, nothing is safe to repeat unless its own answer says so.
            switch error.code {
            case .deadline, .draining, .slowConsumer, .quotaTokens, .budgetExhausted: error.retry = .unsafe
            default: break
            }
        } else if error.code == .deadline {
            error.retry = .safeElsewhere
        }
        error.inputTokens = UInt32(clamping: bill.usage.inputTokens)
        error.outputTokens = UInt32(clamping: bill.usage.outputTokens)
        error.costMicroUSD = UInt64(max(0, bill.cost.amount))
        return error
    }
}
