// Quota is taken before anything is sent: an estimate now, the real use at the end.
import Core
import Net
import Policy
import Store
import Wire

extension Pipeline {
    /// Reserves what the request will probably use, on org, team and key at once.
    static func reserve(_ exchange: Exchange) async throws(Refusal) {
        guard let grant = exchange.grant, let route = exchange.route else { return }
        let gateway = exchange.gateway
        guard let target = route.pick(&gateway.chance) else {
            throw .noRoute("no target of '\(route.name)' has a weight")
        }
        exchange.target = target
        let price = exchange.snapshot.cluster.prices[target.model]
        if price == nil, grant.hasBudget { throw .unpriced(target.model) }
        let estimate = gateway.estimates[route.name, default: TokenEstimate()]
        let asked = Int64(exchange.head.maxOutputTokens)
        let most = asked == 0 ? route.maximumOutputTokens : min(asked, route.maximumOutputTokens)
        let input = estimate.inputTokens(bodyBytes: Int(exchange.head.bodyLength))
        let output = estimate.outputTokens(limit: most)
        let cost = price?.cost(inputTokens: input, outputTokens: output) ?? .zero
        let tenant = Tenant(
            org: grant.record.org, team: grant.record.team, key: grant.record.id, feature: exchange.head.feature)
        let call = ReserveCall(
            id: exchange.head.idempotencyKey, tenant: tenant,
            estimate: QuotaUse(inputTokens: input, outputTokens: output, microUSD: cost.amount),
            holdMilliseconds: exchange.timeout.milliseconds + 60_000, limits: grant.limits)
        exchange.reservation = call
        let result = await exchange.reserve(call)
        exchange.reservedAt = gateway.lane.now
        switch result {
        case .success(.granted): exchange.isReserved = true
        case .success(.denied(let denial)): throw .overLimit(denial)
        case .success(.repeated(let record)), .success(.duplicate(let record)): throw .duplicate(record)
        case .failure(let error):
            // Lost replies may hide a reservation that exists: it is given back.
            exchange.isReserved = !error.isCertainlyUndone
            throw .stateUnavailable
        }
        try exchange.checkGoesOn()
    }
}
