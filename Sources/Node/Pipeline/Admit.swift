// While a provider has as many calls as it serves well, requests wait: by class, then by team, then by arrival.
import Core
import Net
import Policy
import Providers
import Wire

/// The proof of a slot at the target that is chosen: `admit` alone gives it, and `Exchange.slot` is the slot itself.
struct Seat {
    fileprivate init() {}
}

extension Pipeline {
    /// Waits for a slot at the target. A request whose turn would come too late is refused immediately.
    @inline(never)
    static func admit(_ exchange: Exchange, _ held: Held) async throws(Refusal) -> Seat {
        try enqueue(exchange, held)
        while exchange.slot.isWaiting, exchange.goesOn { await exchange.latch.wait() }
        try leaveQueue(exchange)
        return Seat()
    }

    /// Not inlined: keeps the suspended frame small.
    @inline(never)
    private static func enqueue(_ exchange: Exchange, _ held: Held) throws(Refusal) {
        let (gateway, grant, target) = (exchange.gateway, held.caller.grant, held.target)
        guard let admission = target.admission(of: gateway) else {
            throw .noRoute("the provider '\(target.provider)' cannot be used by this node")
        }
        let priority = exchange.priorityClass
        let request = QueueRequest(
            priority: priority, team: grant.teamName, weight: grant.weight, cost: cost(held.estimate),
            bytes: exchange.body.bytes.allocatedBytes, waitLimit: waitLimit(exchange, priority))
        switch admission.arrive(request, exchange) {
        case .runs: exchange.slot.have(at: admission)
        case .waits(let ticket, _, _):
            exchange.enterQueue(ticket, at: admission, until: gateway.lane.now + request.waitLimit)
            admission.relieve()
        case .refused(let reason, let retryAfter):
            gateway.metrics.refused(reason)
            throw .queueRefused(reason, retryAfter: retryAfter)
        }
    }

    /// Interactive requests wait at most a tenth of their time: somebody would rather hear a refusal.
    private static func waitLimit(_ exchange: Exchange, _ priority: PriorityClass) -> Duration {
        let nodes = exchange.gateway.settings.configuration.nodes
        let left = exchange.receivedAt + exchange.timeout - exchange.gateway.lane.now
        var limit = min(nodes.queueWaits[Int(priority.rawValue)], left)
        if exchange.gateway.overload.rung >= .queuesShort { limit = limit / 4 }
        return priority == .interactive ? min(limit, .nanoseconds(exchange.timeout.nanoseconds / 10)) : limit
    }

    @inline(never)
    private static func leaveQueue(_ exchange: Exchange) throws(Refusal) {
        if let waited = exchange.slot.waited {
            exchange.gateway.metrics.waited(exchange.priorityClass, waited)
        }
        guard let stopReason = exchange.stopReason else { return }
        exchange.slot.leave()
        throw stopReason
    }

    /// Gives back the slots that the request still has; runs on every exit, and when it goes elsewhere.
    static func giveBack(_ exchange: Exchange, _ held: Held, _ bill: Bill) {
        let (priority, team) = (exchange.priorityClass, held.caller.grant.teamName)
        // A slot on which nothing was sent.
        if let admission = exchange.slot.take() {
            admission.finished(priority, team: team, surplus: surplus(exchange, held, .none))
        }
        guard let attempt = exchange.leading, attempt.admission != nil else { return }
        attempt.giveBack(priority, team: team, surplus: surplus(exchange, held, bill.use))
    }

    /// What the request cost beyond its estimate; where nobody waits that counts for nothing.
    private static func surplus(_ exchange: Exchange, _ held: Held, _ use: QuotaUse) -> Int64 {
        exchange.slot.waited == nil ? 0 : cost(use) - cost(held.estimate)
    }

    /// What a request counts in a queue.
    static func cost(_ use: QuotaUse) -> Int64 {
        QueueRequest.cost(inputTokens: use.inputTokens, outputTokens: use.outputTokens)
    }
}
