// A second attempt beside one whose first token is late: whichever begins its answer first is kept, the other is cancelled and settled.
import Core
import Net
import Policy
import Providers
import Wire

/// The attempt that does not lead: the later one of two, then the one that lost.
final class OtherAttempt {
    var number: Int
    var place: Int
    var price: ModelPrice?
    var admission: Admission?
    var sentAt: Instant?
    var call: UpstreamCall?

    init(number: Int, place: Int, price: ModelPrice?, admission: Admission, sentAt: Instant) {
        (self.number, self.place, self.price) = (number, place, price)
        (self.admission, self.sentAt) = (admission, sentAt)
    }
}

/// What the second attempt says: its first piece makes it the leading one.
private final class HedgeSink: AnswerSink {
    private let exchange: Exchange
    private let number: Int

    init(_ exchange: Exchange, number: Int) { (self.exchange, self.number) = (exchange, number) }

    func answerDelta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        if exchange.leads(number) { exchange.answerDelta(choice: choice, kind: kind, bytes) }
    }

    func answerEvent(_ event: StreamEvent) { if exchange.leads(number) { exchange.answerEvent(event) } }
}

extension Pipeline {
    /// The first token is late: another target is asked as well, where one can be, quota covers both and the retry budget has one left.
    static func hedge(_ exchange: Exchange) {
        guard exchange.mayHedge, let route = exchange.route, pickTarget(exchange, route) != nil,
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
            exchange.ask(growth) { grown in if case .granted = grown, exchange.mayHedge { begin(exchange, route) } }
        }
    }

    private static func begin(_ exchange: Exchange, _ route: ActiveRoute) {
        let gateway = exchange.gateway
        guard let place = pickTarget(exchange, route), let grant = exchange.grant, let use = exchange.estimate else {
            return
        }
        let target = exchange.laneTargets[place]
        // A target that recovers is looked at by requests that have nowhere else to go.
        guard target.passage(of: gateway) == .free, exchange.pass == .usual,
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
        let other = OtherAttempt(
            number: exchange.attemptCount + 1, place: place, price: target.price(in: exchange.tariff),
            admission: admission, sentAt: gateway.lane.now)
        exchange.beginOther(other)
        gateway.metrics.hedgeBegan(exchange.alias)
        let number = other.number
        let call = UpstreamCall(
            upstream, isStream: true, times: exchange.times, share: exchange.load.share,
            sink: HedgeSink(exchange, number: number)
        ) { outcome in exchange.attemptEnded(number, outcome) }
        other.call = call
        target.begin()
        call.start(&rendered)
    }

    /// The attempt that does not lead has ended: its place is free, and what it may cost is kept for the ledger.
    static func otherEnded(_ other: OtherAttempt, _ exchange: Exchange, _ outcome: UpstreamOutcome) {
        let gateway = exchange.gateway
        let target = exchange.laneTargets[other.place]
        target.end(outcome, .usual, firstToken: nil, gateway)
        exchange.note(outcome.failure, of: other.number, at: other.place)
        let waited = other.sentAt.map { gateway.lane.now - $0 }
        let isSlow = outcome.failure?.kind == .cancelled
        if isSlow, let waited { target.wasTooSlow(waited) }
        if other.number == 1 {
            countFirst(exchange, at: other.place, outcome, price: other.price, firstToken: isSlow ? waited : nil)
        }
        if let admission = other.admission, let grant = exchange.grant {
            if outcome.failure?.kind == .rateLimited { admission.throttled() }
            admission.finished(exchange.priorityClass, team: grant.teamName, surplus: 0)
        }
        let bill = bill(of: outcome, exchange, price: other.price)
        guard let provenance = bill.provenance else { return }
        exchange.keepOther(
            LedgerEntry(
                attempt: UInt8(clamping: other.number), provider: target.provider, model: target.model,
                tokens: bill.tokens, microUSD: bill.cost.amount, priceVersion: exchange.tariff.version,
                provenance: provenance,
                durationMilliseconds: UInt32(clamping: (gateway.lane.now - exchange.receivedAt).milliseconds),
                outcome: outcome.failure.map { Refusal.upstream($0).outcome } ?? "OK"))
    }
}
