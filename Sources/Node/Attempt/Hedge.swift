// A second attempt beside one whose first token is late: whichever begins its answer first is kept, the other is cancelled and settled.
import Core
import Net
import Policy
import Providers
import Wire

extension Pipeline {
    /// The first token is late: another target is asked as well, where one can be, quota covers both and the retry budget has one left.
    static func hedge(_ exchange: Exchange, _ placed: Placed) {
        let held = placed.held
        guard exchange.hedgeable(held) != nil, pickTarget(exchange, held) != nil, exchange.gateway.mayTryAgain()
        else { return }
        let one = held.estimate
        let growth = exchange.grow(
            held,
            to: QuotaUse(
                inputTokens: 2 * one.inputTokens, outputTokens: 2 * one.outputTokens, microUSD: 2 * one.microUSD))
        switch growth {
        case .done: begin(exchange, placed)
        // A block without room is not left for the sake of speed.
        case .leave, .nothing: break
        case .extend:
            exchange.ask(held, growth) { grown in if case .granted = grown { begin(exchange, placed) } }
        }
    }

    private static func begin(_ exchange: Exchange, _ placed: Placed) {
        let (gateway, held) = (exchange.gateway, placed.held)
        guard let first = exchange.hedgeable(held), let index = pickTarget(exchange, held) else { return }
        let target = held.candidates.targets[index]
        // A target that recovers is looked at by requests that have nowhere else to go.
        guard target.passage(of: gateway) == .free, first.ticket == .usual,
            let upstream = target.upstream(of: gateway), let admission = target.admission(of: gateway)
        else { return }
        // Where others wait it would only wait, too.
        let (priority, grant) = (exchange.priorityClass, held.caller.grant)
        let request = QueueRequest(
            priority: priority, team: grant.teamName, weight: grant.weight, cost: cost(held.estimate), bytes: 0,
            waitLimit: .milliseconds(1))
        switch admission.arrive(request, exchange) {
        case .runs: break
        case .waits(let ticket, _, _): return admission.leave(ticket)
        case .refused: return
        }
        guard var rendered = render(exchange, placed, for: target, upstream),
            let number = exchange.tries.race.beginBeside()
        else { return admission.finished(priority, team: grant.teamName, surplus: 0) }
        held.candidates.ask(index)
        let attempt = Attempt(
            number, at: index, target, price: target.price(in: exchange.tariff), admission: admission, isStream: true,
            on: gateway)
        exchange.sendBeside(attempt, &rendered, of: held, to: upstream)
    }

    /// The attempt that does not lead has ended: its slot is free, and what it may cost is kept for the ledger.
    static func lost(_ attempt: Attempt, _ exchange: Exchange, _ held: Held) {
        let isSlow = attempt.outcome?.failure?.kind == .cancelled
        let waited = exchange.gateway.lane.now - attempt.sentAt
        if isSlow { attempt.target.wasTooSlow(waited) }
        if attempt.number == 1 { countFirst(exchange, held, attempt, firstToken: isSlow ? waited : nil) }
        attempt.giveBack(exchange.priorityClass, team: held.caller.grant.teamName, surplus: 0)
        if let entry = entry(of: attempt, exchange, nil, attempt.bill(held)) { exchange.keepLost(entry) }
    }
}
