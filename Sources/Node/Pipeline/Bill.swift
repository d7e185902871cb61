// What a request used and what that costs, for whoever pays: the provider's figures where it gave them, else ours. Pure.
import Core
import Policy
import Providers
import Wire

/// What a request used, and where the figures come from.
struct Bill {
    var usage = Usage()
    /// Nil when no provider can bill anything.
    var provenance: Provenance?
    var cost = MicroUSD.zero

    /// Nothing.
    init() {}

    /// What an attempt came to, for whose answer `reserved` is held. Where the provider gave no figures it is what was counted on the way,
    /// or what was reserved.
    init(of outcome: UpstreamOutcome, reserved: QuotaUse, isStream: Bool, price: ModelPrice?) {
        guard outcome.wasSent else { return }
        let (usage, isReported) = outcome.end.used(estimatedInput: reserved.inputTokens)
        self.usage = usage
        if isReported {
            provenance = .provider
        } else if outcome.hasContent || outcome.failure == nil {
            provenance = outcome.failure == nil ? .counted : .partial
        } else if outcome.failure?.mayBeBilled == true {
            // A stream would have shown what it made; an answer that comes whole may be made already.
            self.usage.outputTokens = isStream ? 0 : reserved.outputTokens
            provenance = .estimated
        } else {
            self.usage = Usage()
            return
        }
        cost = price?.cost(of: tokens) ?? .zero
    }

    /// The tokens by the kinds that have prices.
    var tokens: TokenCounts {
        TokenCounts(
            input: usage.inputTokens, cached: usage.cacheReadTokens, cacheWrite: usage.cacheWriteTokens,
            output: usage.outputTokens, reasoning: usage.reasoningTokens ?? 0)
    }

    /// The figures that the client gets; nil when nothing was used.
    var source: UsageSource? {
        switch provenance {
        case .provider: .provider
        case .counted, .partial: .counted
        case .estimated: .estimated
        case nil: nil
        }
    }

    /// The same as limits count it.
    var use: QuotaUse {
        QuotaUse(inputTokens: usage.inputTokens, outputTokens: usage.outputTokens, microUSD: cost.amount)
    }

    /// The same for a whole request: with the attempts before that may be billed.
    func with(_ earlier: [LedgerEntry]) -> Bill {
        guard !earlier.isEmpty else { return self }
        var all = self
        for entry in earlier {
            all.usage.inputTokens += entry.tokens.input
            all.usage.cacheReadTokens += entry.tokens.cached
            all.usage.cacheWriteTokens += entry.tokens.cacheWrite
            all.usage.outputTokens += entry.tokens.output
            all.cost = all.cost + MicroUSD(entry.microUSD)
        }
        all.provenance = provenance ?? .estimated
        return all
    }
}
