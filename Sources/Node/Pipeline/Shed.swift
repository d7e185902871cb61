// A lane that has too much to do refuses before anything is reserved or read: the refusal itself must be cheap.
import Core
import Policy
import Wire

extension Pipeline {
    /// Refuses what the lane's rung does not serve. The time to come again is spread, so that not all come back at once.
    static func shed(_ exchange: Exchange) throws(Refusal) {
        let gateway = exchange.gateway
        guard let time = gateway.overload.refuses(exchange.priorityClass) else { return }
        let spread = Int64(gateway.chance.unit() * Double(time.nanoseconds))
        throw .shed(gateway.overload.rung, retryAfter: time + .nanoseconds(spread))
    }

    /// The most output that the request may have: what it asks, within its route and what the lane's rung leaves.
    static func mostOutput(_ exchange: Exchange, _ route: ActiveRoute) -> Int64 {
        let asked = Int64(exchange.head.maxOutputTokens)
        let most = asked == 0 ? route.record.maximumOutputTokens : min(asked, route.record.maximumOutputTokens)
        let gateway = exchange.gateway
        guard gateway.overload.rung >= .answersShort else { return most }
        return min(most, Int64(gateway.settings.configuration.nodes.overloadMaximumOutput))
    }
}
