// Quota: an estimate now, the real use at the end.
import Core
import Net
import Policy
import Store
import Wire

extension Pipeline {
    /// Reserves what the request will probably use, on org, team and key at once.
    @inline(never)
    static func reserve(_ exchange: Exchange, _ caller: Caller) async throws(Refusal) -> Held {
        let held = try ask(exchange, caller)
        try await exchange.reservationDecided(held)
        return held
    }

    /// Chooses the target, estimates what it will use and asks for that. Not inlined: keeps the suspended frame small.
    @inline(never)
    private static func ask(_ exchange: Exchange, _ caller: Caller) throws(Refusal) -> Held {
        let grant = caller.grant
        guard let limits = grant.limits else { throw .forbidden(.tenantGone) }
        let gateway = exchange.gateway
        gateway.retries.noteRequest()
        let candidates = Candidates(
            gateway.laneTargets(of: caller.route),
            prefix: caller.route.record.affinity.map { exchange.prefix($0, grant) })
        guard let index = pickTarget(exchange, caller, candidates, reserved: nil) else {
            throw noTarget(exchange, caller.route, candidates.targets)
        }
        let target = candidates.targets[index]
        if grant.hasBudget, target.price(in: exchange.tariff) == nil { throw .unpriced(target.model) }
        let most = mostOutput(exchange, caller.route)
        let feature = exchange.head.feature
        let input = gateway.estimates.inputTokens(
            org: grant.record.org, model: target.model, bodyBytes: Int(exchange.head.bodyLength))
        let one = gateway.estimates.outputTokens(
            org: grant.record.org, model: target.model, feature: feature, limit: most)
        let choices = exchange.body.choices
        let call = ReserveCall(
            id: exchange.head.idempotencyKey, claim: UInt32(truncatingIfNeeded: gateway.chance.next()),
            tenant: grant.tenant(feature: feature),
            estimate: use(exchange, caller, target, input: input, output: one * choices),
            holdMilliseconds: exchange.timeout.milliseconds + 60_000, limits: limits)
        let held = Held(caller, asking: call, choices: choices, mostOutput: most, candidates, at: index)
        watch(exchange, held, output: one * choices)
        exchange.startReservation(held, call)
        return held
    }

    /// A stream is watched against what is reserved for all of its answers, and the most that they may have.
    static func watch(_ exchange: Exchange, _ held: Held, output: Int64) {
        guard exchange.head.flags.contains(.stream) else { return }
        held.watch = OutputWatch(reserved: output, most: held.mostOutput * exchange.body.choices)
    }

    /// Tokens, and what they cost at most at a target of the route.
    static func use(
        _ exchange: Exchange, _ caller: Caller, _ target: LaneTarget, input: Int64, output: Int64
    ) -> QuotaUse {
        let tokens = TokenCounts(input: input, output: output)
        var cost = target.price(in: exchange.tariff)?.cost(of: tokens) ?? .zero
        if caller.route.record.targets.count > 1, caller.grant.hasBudget {
            cost = dearest(exchange, caller, tokens, atLeast: cost)
        }
        return QuotaUse(inputTokens: input, outputTokens: output, microUSD: cost.amount)
    }

    /// What the request costs at the dearest target that may come to serve it: the hold covers whichever does.
    private static func dearest(
        _ exchange: Exchange, _ caller: Caller, _ tokens: TokenCounts, atLeast cost: MicroUSD
    ) -> MicroUSD {
        var most = cost
        for target in caller.route.record.targets where target.weight > 0 && target.serves(caller, exchange) {
            guard let other = exchange.tariff.prices[target.model]?.cost(of: tokens) else { continue }
            if other.amount > most.amount { most = other }
        }
        return most
    }
}
