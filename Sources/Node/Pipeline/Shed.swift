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
        exchange.gateway.overload.rung >= .answersShort && exchange.tries.race.begun == 0
    }

    /// The rung was reached while the request waited for its place: it goes where its route goes now, if there is a place at once.
    ///
    /// - Returns: nil when nothing changes; else whether it must be admitted there.
    static func turnToOverload(_ exchange: Exchange, _ held: Held) -> Bool? {
        let (gateway, rules) = (exchange.gateway, held.caller.route.record.targets)
        guard sparesNode(exchange), rules.contains(where: \.isForOverload), !rules[held.index].isForOverload,
            let index = pickTarget(exchange, held), rules[index].isForOverload,
            held.candidates.targets[index].passage(of: gateway) == .free,
            let admission = held.candidates.targets[index].admission(of: gateway)
        else { return nil }
        if admission === exchange.slot.admission {
            held.choose(insteadOfChosen: index)
            return false
        }
        guard admission.running < admission.capacity else { return nil }
        giveBack(exchange, held, Bill())
        held.choose(insteadOfChosen: index)
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
