// Quota is taken before anything is sent: an estimate now, the real use at the end.
import Core
import Net
import Policy
import Store
import Wire

extension Pipeline {
    /// Reserves what the request will probably use, on org, team and key at once.
    static func reserve(_ exchange: Exchange) async throws(Refusal) {
        exchange.startReservation(try estimate(exchange))
        try await exchange.reservationDecided()
    }

    /// Chooses the target and estimates what it will use. Not inlined, for the sake of the waiting frame.
    @inline(never)
    private static func estimate(_ exchange: Exchange) throws(Refusal) -> ReserveCall {
        guard let grant = exchange.grant, let route = exchange.route else {
            preconditionFailure("a request is authenticated before it is reserved")
        }
        guard let limits = grant.limits else { throw .forbidden(.tenantGone) }
        let gateway = exchange.gateway
        exchange.laneTargets = gateway.laneTargets(of: route)
        gateway.retries.noteRequest()
        if let length = route.record.affinity { exchange.notePrefix(length) }
        guard let place = pickTarget(exchange, route) else {
            throw noTarget(exchange, route)
        }
        exchange.choose(place)
        let target = exchange.laneTargets[place]
        if exchange.price == nil, grant.hasBudget { throw .unpriced(target.model) }
        let most = mostOutput(exchange, route)
        exchange.mostOutput = most
        let feature = exchange.head.feature
        let input = gateway.estimates.inputTokens(
            org: grant.record.org, model: target.model, bodyBytes: Int(exchange.head.bodyLength))
        let one = gateway.estimates.outputTokens(
            org: grant.record.org, model: target.model, feature: feature, limit: most)
        exchange.reservedChoices = exchange.choices
        let output = one * exchange.choices
        watch(exchange, output: output)
        return ReserveCall(
            id: exchange.head.idempotencyKey, claim: UInt32(truncatingIfNeeded: gateway.chance.next()),
            tenant: grant.tenant(feature: feature),
            estimate: use(exchange, route, grant, input: input, output: output),
            holdMilliseconds: exchange.timeout.milliseconds + 60_000, limits: limits)
    }

    /// A stream is watched against what is reserved for all of its answers, and the most that they may have.
    static func watch(_ exchange: Exchange, output: Int64) {
        guard exchange.head.flags.contains(.stream) else { return }
        exchange.watch = OutputWatch(reserved: output, most: exchange.mostOutput * exchange.choices)
    }

    /// Tokens, and what they cost at most at a target of the route.
    static func use(
        _ exchange: Exchange, _ route: ActiveRoute, _ grant: KeyGrant, input: Int64, output: Int64
    ) -> QuotaUse {
        let tokens = TokenCounts(input: input, output: output)
        var cost = exchange.price?.cost(of: tokens) ?? .zero
        if route.record.targets.count > 1, grant.hasBudget { cost = dearest(exchange, route, tokens, atLeast: cost) }
        return QuotaUse(inputTokens: input, outputTokens: output, microUSD: cost.amount)
    }

    /// What the request costs at the dearest target that may come to serve it: the hold covers whichever does.
    private static func dearest(
        _ exchange: Exchange, _ route: ActiveRoute, _ tokens: TokenCounts, atLeast cost: MicroUSD
    ) -> MicroUSD {
        var most = cost
        for target in route.record.targets where target.weight > 0 && target.serves(exchange) {
            guard let other = exchange.tariff.prices[target.model]?.cost(of: tokens) else { continue }
            if other.amount > most.amount { most = other }
        }
        return most
    }
}
