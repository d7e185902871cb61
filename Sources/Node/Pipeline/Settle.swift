// What was really used replaces the estimate, once, whatever happened.
import Core
import Policy
import Providers
import Wire

/// What a request used, and where the figures come from.
struct Bill {
    var usage = Usage()
    /// Nil when nothing was used.
    var source: UsageSource?
    var cost = MicroUSD.zero

    /// The tokens by the kinds that have prices.
    var tokens: TokenCounts {
        TokenCounts(
            input: usage.inputTokens, cached: usage.cacheReadTokens, cacheWrite: usage.cacheWriteTokens,
            output: usage.outputTokens, reasoning: usage.reasoningTokens ?? 0)
    }
}

extension Pipeline {
    /// The provider's figures where it gave them; else what was counted on the way.
    static func bill(_ exchange: Exchange) -> Bill {
        var bill = Bill()
        guard let outcome = exchange.outcome, outcome.wasSent else { return bill }
        if let usage = outcome.end.usage {
            bill.usage = usage
            bill.source = .provider
        } else if outcome.hasContent || outcome.failure == nil {
            bill.usage.inputTokens = exchange.reservation?.estimate.inputTokens ?? 0
            bill.usage.outputTokens = outcome.end.countedOutputTokens
            bill.source = .counted
        } else {
            return bill
        }
        bill.cost = exchange.price?.cost(of: bill.tokens) ?? .zero
        return bill
    }

    /// Hands the settlement to Redis' connection; stream credit returns to the client when it is done or kept for later.
    static func settle(_ exchange: Exchange, _ bill: Bill) {
        let gateway = exchange.gateway
        if bill.source == .provider, let target = exchange.target {
            gateway.estimates.observe(
                model: target.model, feature: exchange.head.feature, bodyBytes: Int(exchange.head.bodyLength),
                inputTokens: bill.usage.inputTokens, outputTokens: bill.usage.outputTokens)
        }
        guard exchange.isReserved, let reservation = exchange.reservation else {
            return exchange.session.release(exchange.stream)
        }
        let use = QuotaUse(
            inputTokens: bill.usage.inputTokens, outputTokens: bill.usage.outputTokens, microUSD: bill.cost.amount)
        let wasSent = exchange.outcome?.wasSent ?? false
        let call = wasSent ? SettleCall(of: reservation, use: use) : SettleCall.release(of: reservation)
        let (session, stream) = (exchange.session, exchange.stream)
        gateway.settlements.settle(call) { session.release(stream) }
    }
}
