// While a provider has as many calls as it serves well, requests wait: by class, then by team, then by arrival.
import Core
import Net
import Policy
import Providers
import Wire

extension Pipeline {
    /// Waits for a place at the target. A request whose turn would come too late is refused at once.
    static func admit(_ exchange: Exchange) async throws(Refusal) {
        try enqueue(exchange)
        while exchange.isQueued, exchange.stopReason == nil { await exchange.latch.wait() }
        try leaveQueue(exchange)
    }

    /// Not inlined, for the sake of the waiting frame.
    @inline(never)
    private static func enqueue(_ exchange: Exchange) throws(Refusal) {
        guard let target = exchange.chosen, let grant = exchange.grant, let use = exchange.estimate else {
            preconditionFailure("a request has its reservation before it is admitted")
        }
        let gateway = exchange.gateway
        guard let admission = target.admission(of: gateway) else {
            throw .noRoute("the provider '\(target.provider)' cannot be used by this node")
        }
        let priority = exchange.priorityClass
        let request = QueueRequest(
            priority: priority, team: grant.teamName, weight: grant.weight,
            cost: QueueRequest.cost(inputTokens: use.inputTokens, outputTokens: use.outputTokens),
            bytes: exchange.body.allocatedBytes, waitLimit: waitLimit(exchange, priority))
        switch admission.arrive(request, exchange) {
        case .runs: exchange.admission = admission
        case .waits(let ticket, _, _):
            exchange.admission = admission
            exchange.enterQueue(ticket, until: gateway.lane.now + request.waitLimit)
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
        if let waited = exchange.queueWait {
            exchange.gateway.metrics.waited(exchange.priorityClass, waited)
        }
        guard let stopReason = exchange.stopReason else { return }
        exchange.leaveQueue()
        throw stopReason
    }

    /// Gives back the slots that the request still has; runs on every exit, and when it goes elsewhere.
    static func giveBack(_ exchange: Exchange, _ bill: Bill) {
        guard let grant = exchange.grant else { return }
        let priority = exchange.priorityClass
        // A slot on which nothing was sent.
        if let admission = exchange.admission {
            exchange.admission = nil
            admission.finished(priority, team: grant.teamName, surplus: surplus(exchange, Bill()))
        }
        guard let attempt = exchange.leading, attempt.admission != nil else { return }
        attempt.giveBack(priority, team: grant.teamName, surplus: surplus(exchange, bill))
    }

    /// What the request cost beyond its estimate; where nobody waits that counts for nothing.
    private static func surplus(_ exchange: Exchange, _ bill: Bill) -> Int64 {
        guard exchange.queueWait != nil, let use = exchange.estimate else { return 0 }
        return QueueRequest.cost(inputTokens: bill.usage.inputTokens, outputTokens: bill.usage.outputTokens)
            - QueueRequest.cost(inputTokens: use.inputTokens, outputTokens: use.outputTokens)
    }
}
