// One try of a request at one target. A first try, a later one, a second beside the first and a copy for a mirror are all this.
import Core
import Net
import Policy
import Providers
import Wire

/// An attempt: where it goes, what it holds there, how it ended. Confined to its lane; lives as long as its call or who asked for it.
final class Attempt {
    /// Who hears its answer.
    enum Asker {
        case request(Exchange, Held)
        case mirror(Shadow)
    }

    /// Counts a request's attempts from 1; a copy is none of them.
    let number: Int
    /// Its target's index in the route; nil for a copy.
    let index: Int?
    let target: LaneTarget
    /// What the target charges: a new price list changes nothing for a running request.
    let price: ModelPrice?
    /// How the target's circuit breaker let it through.
    let ticket: TargetBreaker.Ticket
    /// Whose slot at the provider it has; nil once it gave that back, and for a copy.
    private(set) var admission: Admission?
    /// What its answer comes from, until its end.
    private(set) var call: (any Source)?
    let isStream: Bool
    let sentAt: Instant
    /// When the first piece of its answer was taken.
    private(set) var firstAt: Instant?
    /// How it ended; nil while it runs, and once it is on the books.
    private(set) var outcome: UpstreamOutcome?
    private let gateway: Gateway
    private var asker: Asker?

    /// An attempt that `start` sends.
    init(
        _ number: Int, at index: Int?, _ target: LaneTarget, price: ModelPrice?, ticket: TargetBreaker.Ticket = .usual,
        admission: Admission?, isStream: Bool, on gateway: Gateway
    ) {
        (self.number, self.index, self.target, self.price) = (number, index, target, price)
        (self.ticket, self.admission, self.isStream, self.gateway) = (ticket, admission, isStream, gateway)
        sentAt = gateway.lane.now
    }

    /// Sends it; `asker` hears the pieces of its answer and its end.
    func start(
        _ request: inout RenderedRequest, to upstream: UpstreamTarget, times: UpstreamTimes, share: LaneShare,
        for asker: Asker
    ) {
        self.asker = asker
        let call = UpstreamCall(upstream, request.terms, times: times, share: share, sink: self) {
            [self] (outcome: consuming UpstreamOutcome) in ended(outcome)
        }
        self.call = call
        target.begin(ticket)
        call.start(&request)
    }

    /// True until its end.
    var isRunning: Bool { call != nil }

    /// How long the first token of a stream took.
    var firstToken: Duration? { isStream ? firstAt.map { $0 - sentAt } : nil }

    /// A piece of its answer is taken for the first time.
    func begins() { firstAt = gateway.lane.now }

    private func ended(_ outcome: consuming UpstreamOutcome) {
        call = nil
        target.end(outcome, ticket, firstToken: firstToken, gateway)
        self.outcome = outcome
        // Neither keeps the other alive from here on.
        let asker = asker
        self.asker = nil
        switch asker {
        case .request(let exchange, let held)?: exchange.ended(self, held)
        case .mirror(let shadow)?: shadow.ended()
        case nil: break
        }
    }

    /// What it cost is on the books: it counts no more.
    func book() { outcome = nil }

    /// Gives its slot back, once. `surplus`: what it cost beyond its estimate, when its request had waited.
    func giveBack(_ priority: PriorityClass, team: String, surplus: Int64) {
        guard let admission else { return }
        self.admission = nil
        if outcome?.failure?.kind == .rateLimited { admission.throttled() }
        if let firstToken { admission.observe(timeToFirstToken: firstToken) }
        admission.finished(priority, team: team, surplus: surplus)
    }
}

extension Attempt: AnswerSink {
    func answerDelta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        switch asker {
        case .request(let exchange, let held)?: exchange.delta(of: self, held, choice: choice, kind: kind, bytes)
        case .mirror?: if firstAt == nil { begins() }
        case nil: break
        }
    }

    func answerEvent(_ event: StreamEvent) {
        switch asker {
        case .request(let exchange, _)?: exchange.event(of: self, event)
        case .mirror?: if firstAt == nil { begins() }
        case nil: break
        }
    }
}
