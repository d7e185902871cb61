// What was really used replaces the estimate, once, whatever happened; what a provider may bill goes to the ledger with it.
import Core
import Net
import Policy
import Providers
import Wire

extension Attempt {
    /// What it came to.
    func bill(_ held: Held) -> Bill {
        outcome.map { Bill(of: $0, reserved: held.estimate, isStream: isStream, price: price) } ?? Bill()
    }
}

extension Pipeline {
    /// What the answer teaches about others, and the settlement. `bill`: of the last attempt.
    static func settle(_ exchange: Exchange, _ held: Held, _ refusal: Refusal?, _ bill: Bill) {
        if bill.provenance == .provider, let target = exchange.leading?.target {
            // Of several answers an average one.
            let choices = exchange.body.choices
            exchange.gateway.estimates.observe(
                org: held.caller.grant.record.org, model: target.model, feature: exchange.head.feature,
                bodyBytes: Int(exchange.head.bodyLength), inputTokens: bill.usage.inputTokens,
                outputTokens: (bill.usage.outputTokens + choices - 1) / choices)
        }
        let attempts = exchange.wasSent ? attempts(exchange, refusal, bill) : []
        exchange.settle(
            held, bill.with(exchange.tries.earlier), attempts,
            isRepeatable: isRepeatable(exchange, refusal, attempts))
    }

    /// True when the client is told that it may ask again for what was sent: nothing came of it, and nobody bills it.
    private static func isRepeatable(
        _ exchange: Exchange, _ refusal: Refusal?, _ attempts: [LedgerEntry]
    ) -> Bool {
        guard attempts.isEmpty, exchange.tries.leading?.outcome?.hasContent != true,
            case .upstream(let failure)? = refusal
        else { return false }
        return failure.wireRetry == .safeHere || failure.wireRetry == .safeElsewhere
    }

    /// The attempts that a provider may bill.
    private static func attempts(_ exchange: Exchange, _ refusal: Refusal?, _ bill: Bill) -> [LedgerEntry] {
        let last = exchange.leading.flatMap { entry(of: $0, exchange, refusal, bill) }
        guard !exchange.tries.earlier.isEmpty else { return last.map { [$0] } ?? [] }
        return exchange.tries.earlier + (last.map { [$0] } ?? [])
    }

    /// An attempt as the ledger keeps it; nil when no provider can bill it.
    static func entry(
        of attempt: Attempt, _ exchange: Exchange, _ refusal: Refusal?, _ bill: Bill
    ) -> LedgerEntry? {
        guard let provenance = bill.provenance else { return nil }
        let arrival = exchange.receivedAt
        let first = attempt.firstAt.map { UInt32(clamping: ($0 - arrival).milliseconds) } ?? 0
        let failure = attempt.outcome?.failure
        return LedgerEntry(
            attempt: UInt8(clamping: attempt.number), provider: attempt.target.provider, model: attempt.target.model,
            tokens: bill.tokens, microUSD: bill.cost.amount, priceVersion: exchange.tariff.version,
            provenance: provenance, firstTokenMilliseconds: first,
            durationMilliseconds: UInt32(clamping: (exchange.gateway.lane.now - arrival).milliseconds),
            outcome: refusal?.outcome ?? failure.map { Refusal.upstream($0).outcome } ?? "OK")
    }

    /// What is reserved for the answer, and what earlier attempts and the one of `bill` may have cost.
    static func whole(_ exchange: Exchange, _ held: Held, with bill: Bill) -> QuotaUse {
        let all = bill.with(exchange.tries.earlier).use
        return QuotaUse(
            inputTokens: held.estimate.inputTokens + all.inputTokens,
            outputTokens: held.estimate.outputTokens + all.outputTokens,
            microUSD: held.estimate.microUSD + all.microUSD)
    }
}
