// A second attempt beside one whose first token is late: whichever begins its answer first is kept, the other is cancelled and settled.
import Core
import Net
import Policy
import Providers
import Wire

extension Pipeline {
    /// The first token is late: another target is asked as well, where one can be, quota covers both and the retry budget has one left.
    static func hedge(_ exchange: Exchange) {
        guard exchange.hedgeable != nil, let route = exchange.route, pickTarget(exchange, route) != nil,
            let answer = exchange.estimate, exchange.gateway.mayTryAgain()
        else { return }
        let both = QuotaUse(
            inputTokens: 2 * answer.inputTokens, outputTokens: 2 * answer.outputTokens, microUSD: 2 * answer.microUSD)
        let growth = exchange.grow(to: both)
        switch growth {
        case .done: begin(exchange, route)
        // A block without room is not left for the sake of speed.
        case .leave, .nothing: break
        case .extend:
            exchange.ask(growth) { grown in if case .granted = grown { begin(exchange, route) } }
        }
    }

    private static func begin(_ exchange: Exchange, _ route: ActiveRoute) {
        let gateway = exchange.gateway
        guard let first = exchange.hedgeable, let index = pickTarget(exchange, route), let grant = exchange.grant,
            let use = exchange.estimate
        else { return }
        let target = exchange.laneTargets[index]
        // A target that recovers is looked at by requests that have nowhere else to go.
        guard target.passage(of: gateway) == .free, first.ticket == .usual,
            let upstream = target.upstream(of: gateway), let admission = target.admission(of: gateway)
        else { return }
        // Where others wait it would only wait, too.
        let request = QueueRequest(
            priority: exchange.priorityClass, team: grant.teamName, weight: grant.weight,
            cost: QueueRequest.cost(inputTokens: use.inputTokens, outputTokens: use.outputTokens),
            bytes: 0, waitLimit: .milliseconds(1))
        switch admission.arrive(request, exchange) {
        case .runs: break
        case .waits(let ticket, _, _): return admission.leave(ticket)
        case .refused: return
        }
        guard var rendered = render(exchange, for: target, upstream) else {
            return admission.finished(exchange.priorityClass, team: grant.teamName, surplus: 0)
        }
        guard let number = exchange.race.beginBeside() else {
            return admission.finished(exchange.priorityClass, team: grant.teamName, surplus: 0)
        }
        let attempt = Attempt(
            number, at: index, target, price: target.price(in: exchange.tariff),
            admission: admission, isStream: true, on: gateway)
        exchange.sendBeside(attempt, &rendered, to: upstream, at: index)
    }

    /// The attempt that does not lead has ended: its slot is free, and what it may cost is kept for the ledger.
    static func lost(_ attempt: Attempt, _ exchange: Exchange) {
        let isSlow = attempt.outcome?.failure?.kind == .cancelled
        let waited = exchange.gateway.lane.now - attempt.sentAt
        if isSlow { attempt.target.wasTooSlow(waited) }
        if attempt.number == 1 { countFirst(exchange, attempt, firstToken: isSlow ? waited : nil) }
        if let grant = exchange.grant {
            attempt.giveBack(exchange.priorityClass, team: grant.teamName, surplus: 0)
        }
        if let entry = entry(of: attempt, exchange, nil, bill(of: attempt, exchange)) { exchange.keepLost(entry) }
    }
}
