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

    /// True while requests that were not sent go first to the targets that their route has for this.
    static func sparesNode(_ exchange: Exchange) -> Bool {
        exchange.gateway.overload.rung >= .answersShort && exchange.race.begun == 0
    }

    /// The rung was reached while the request waited for its place: it goes where its route goes now, if there is a place at once.
    ///
    /// - Returns: nil when nothing changes; else whether it must be admitted there.
    static func turnToOverload(_ exchange: Exchange, _ route: ActiveRoute) -> Bool? {
        let (gateway, targets) = (exchange.gateway, route.record.targets)
        guard sparesNode(exchange), targets.contains(where: \.isForOverload),
            !targets[exchange.targetPlace].isForOverload,
            let place = pickTarget(exchange, route), targets[place].isForOverload,
            exchange.laneTargets[place].passage(of: gateway) == .free,
            let admission = exchange.laneTargets[place].admission(of: gateway)
        else { return nil }
        if admission === exchange.admission {
            exchange.choose(place, insteadOf: exchange.targetPlace)
            return false
        }
        guard admission.running < admission.capacity else { return nil }
        giveBack(exchange, Bill())
        exchange.choose(place, insteadOf: exchange.targetPlace)
        return true
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
