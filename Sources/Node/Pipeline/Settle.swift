// What was really used replaces the estimate, once, whatever happened; what a provider may bill goes to the ledger with it.
import Core
import Net
import Policy
import Providers
import Wire

/// What a request used, and where the figures come from.
struct Bill {
    var usage = Usage()
    /// Nil when no provider can bill anything.
    var provenance: Provenance?
    var cost = MicroUSD.zero

    /// The tokens by the kinds that have prices.
    var tokens: TokenCounts {
        TokenCounts(
            input: usage.inputTokens, cached: usage.cacheReadTokens, cacheWrite: usage.cacheWriteTokens,
            output: usage.outputTokens, reasoning: usage.reasoningTokens ?? 0)
    }

    /// What the client is told about the figures; nil when nothing was used.
    var source: UsageSource? {
        switch provenance {
        case .provider: .provider
        case .counted, .partial: .counted
        case .estimated: .estimated
        case nil: nil
        }
    }
}

extension Pipeline {
    /// The provider's figures where it gave them; else what was counted on the way, or what was reserved.
    static func bill(_ exchange: Exchange) -> Bill {
        guard let attempt = exchange.leading else { return Bill() }
        return bill(of: attempt, exchange)
    }

    /// The same for one of its attempts.
    static func bill(of attempt: Attempt, _ exchange: Exchange) -> Bill {
        attempt.outcome.map { bill(of: $0, exchange, price: attempt.price) } ?? Bill()
    }

    private static func bill(of outcome: UpstreamOutcome, _ exchange: Exchange, price: ModelPrice?) -> Bill {
        var bill = Bill()
        guard outcome.wasSent else { return bill }
        let reserved = exchange.estimate
        let (usage, isReported) = outcome.end.used(estimatedInput: reserved?.inputTokens ?? 0)
        bill.usage = usage
        if isReported {
            bill.provenance = .provider
        } else if outcome.hasContent || outcome.failure == nil {
            bill.provenance = outcome.failure == nil ? .counted : .partial
        } else if outcome.failure?.mayBeBilled == true {
            // A stream would have shown what it made; an answer that comes whole may be made already.
            let isStream = exchange.head.flags.contains(.stream)
            bill.usage.outputTokens = isStream ? 0 : reserved?.outputTokens ?? 0
            bill.provenance = .estimated
        } else {
            return Bill()
        }
        bill.cost = price?.cost(of: bill.tokens) ?? .zero
        return bill
    }

    /// What the answer teaches about others, and the settlement.
    static func settle(_ exchange: Exchange, _ refusal: Refusal?, _ bill: Bill) {
        let gateway = exchange.gateway
        if bill.provenance == .provider, let target = exchange.target, let grant = exchange.grant {
            // Of several answers an average one.
            let output = (bill.usage.outputTokens + exchange.choices - 1) / exchange.choices
            gateway.estimates.observe(
                org: grant.record.org, model: target.model, feature: exchange.head.feature,
                bodyBytes: Int(exchange.head.bodyLength), inputTokens: bill.usage.inputTokens, outputTokens: output)
        }
        let attempts = exchange.wasSent ? attempts(exchange, refusal, bill) : []
        exchange.settle(
            total(exchange, bill), attempts, isRepeatable: isRepeatable(exchange, refusal, attempts))
    }

    /// True when the client is told that it may ask again for what was sent: nothing came of it, and nobody bills it.
    private static func isRepeatable(
        _ exchange: Exchange, _ refusal: Refusal?, _ attempts: [LedgerEntry]
    ) -> Bool {
        guard attempts.isEmpty, exchange.leading?.outcome?.hasContent != true, case .upstream(let failure)? = refusal
        else {
            return false
        }
        return failure.wireRetry == .safeHere || failure.wireRetry == .safeElsewhere
    }

    /// The attempts that a provider may bill.
    private static func attempts(_ exchange: Exchange, _ refusal: Refusal?, _ bill: Bill) -> [LedgerEntry] {
        let last = exchange.leading.flatMap { entry(of: $0, exchange, refusal, bill) }
        guard !exchange.earlier.isEmpty else { return last.map { [$0] } ?? [] }
        return exchange.earlier + (last.map { [$0] } ?? [])
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

    /// What the whole request used: the last attempt and those before it that may be billed.
    static func total(_ exchange: Exchange, _ last: Bill) -> Bill {
        guard !exchange.earlier.isEmpty else { return last }
        var all = last
        for entry in exchange.earlier {
            all.usage.inputTokens += entry.tokens.input
            all.usage.cacheReadTokens += entry.tokens.cached
            all.usage.cacheWriteTokens += entry.tokens.cacheWrite
            all.usage.outputTokens += entry.tokens.output
            all.cost = all.cost + MicroUSD(entry.microUSD)
        }
        all.provenance = last.provenance ?? .estimated
        return all
    }

    /// What is reserved for the answer, and what earlier attempts and the one of `bill` may have cost.
    static func whole(_ exchange: Exchange, with bill: Bill) -> QuotaUse {
        let all = total(exchange, bill)
        let answer = exchange.estimate ?? .none
        return QuotaUse(
            inputTokens: answer.inputTokens + all.usage.inputTokens,
            outputTokens: answer.outputTokens + all.usage.outputTokens,
            microUSD: answer.microUSD + all.cost.amount)
    }
}

extension ProviderFailure {
    /// Without a word of an answer: true when it was us who gave up, so that the provider may have worked, and bills it.
    fileprivate var mayBeBilled: Bool {
        switch kind {
        case .cancelled, .timeout: status == 0 || status == 200
        case .invalidRequest, .unsupportedParameter, .contextLengthExceeded, .contentFiltered, .authentication,
            .permissionDenied, .quotaExhausted, .notFound, .payloadTooLarge, .rateLimited, .overloaded, .serverError,
            .modelOutputError, .streamInterrupted, .protocolError, .connect:
            false
        }
    }
}
