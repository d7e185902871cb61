// One provider and model as one lane knows it: how it does, and what was tried with it.
import Core
import Net
import Policy
import Providers
import Telemetry

/// A target of routes. Confined to its lane; routes that name it share it.
final class LaneTarget {
    let provider: String
    let model: String
    var health = TargetHealth()
    /// When a first token is late.
    private(set) var slowFirstToken = SlowFirstToken()
    var breaker = TargetBreaker()
    /// Requests that probed, alone or for the cluster; changes to an open breaker that this lane brought about.
    private(set) var probes: Int64 = 0
    var opened: Int64 = 0
    /// Attempts that began, and those that failed.
    private(set) var attempts: Int64 = 0
    private(set) var failures: Int64 = 0
    private(set) var failureCounts = FailureCounts()
    /// What attempts came to since the coordinator was told.
    private(set) var tally = TargetTally()
    /// Whole answers whose provider did not say, or not believably, what they used.
    private(set) var unaccounted: Int64 = 0
    /// Attempts whose provider said figures that cannot be.
    private(set) var implausible: Int64 = 0
    /// The provider, when this node can use it: its API key can be read, its address is one.
    private var provided: UpstreamTarget?
    /// False where the provider's settings want no circuit breaker.
    private var hasBreaker = true
    private var queue: Admission?
    private var priced: (by: Tariff, price: ModelPrice?)?
    private var logged: (model: String, fields: [UInt8])?
    private var looksAgainAt = Instant(nanoseconds: .min)

    /// As people and metrics name it.
    var name: String { "\(provider)/\(model)" }

    init(_ target: RouteTarget) {
        provider = target.provider
        model = target.model
    }

    /// True when this node can use the provider. What cannot be used is looked at again after some seconds, not by each request.
    func isUsable(by gateway: Gateway) -> Bool { upstream(of: gateway) != nil }

    /// The provider; nil when this node cannot use it.
    func upstream(of gateway: Gateway) -> UpstreamTarget? {
        if let provided, !provided.isClosed { return provided }
        guard gateway.lane.now >= looksAgainAt else { return nil }
        provided = gateway.target(provider)
        hasBreaker = provided?.record.hasBreaker ?? true
        if provided == nil { looksAgainAt = gateway.lane.now + .seconds(5) }
        return provided
    }

    /// The queue before the provider.
    func admission(of gateway: Gateway) -> Admission? {
        if queue == nil { queue = gateway.admission(provider) }
        return queue
    }

    /// What the model costs by these prices.
    func price(in tariff: Tariff) -> ModelPrice? {
        if let priced, priced.by === tariff { return priced.price }
        let price = tariff.prices[model]
        priced = (tariff, price)
        return price
    }

    /// Provider and model, as each log line of its requests says them: the model as the answer named it, if one did.
    func logFields(answeredBy answered: String?) -> [UInt8] {
        let name = answered ?? ""
        if let logged, logged.model == name { return logged.fields }
        let fields = LogRecord.prepared { line in
            line.field("gen_ai.provider.name", provider)
            if !name.isEmpty { line.field("gen_ai.response.model", name) }
        }
        logged = (name, fields)
        return fields
    }

    /// The provider's settings changed.
    func settingsChanged() {
        (provided, looksAgainAt) = (nil, Instant(nanoseconds: .min))
        priced = nil
    }

    // MARK: - Attempts

    /// May a request go there?
    func passage(of gateway: Gateway) -> TargetBreaker.Passage {
        guard hasBreaker else { return .free }
        return breaker.passage(at: gateway.lane.now, isAlone: gateway.breakers.isAlone)
    }

    /// True when no request may go there.
    func isShut(_ gateway: Gateway) -> Bool { if case .blocked = passage(of: gateway) { true } else { false } }

    /// A request is about to be sent there.
    func enter(_ gateway: Gateway) -> TargetBreaker.Entry {
        guard hasBreaker else { return .go(.usual) }
        return breaker.enter(at: gateway.lane.now, isAlone: gateway.breakers.isAlone)
    }

    /// An attempt goes to its provider.
    func begin(_ ticket: TargetBreaker.Ticket = .usual) {
        attempts += 1
        if ticket != .usual { probes += 1 }
        health.begin()
    }

    /// An attempt that began has ended.
    func end(_ outcome: UpstreamOutcome, _ ticket: TargetBreaker.Ticket, firstToken: Duration?, _ gateway: Gateway) {
        let now = gateway.lane.now
        health.end()
        if let firstToken {
            health.observe(firstToken: firstToken)
            slowFirstToken.observe(firstToken)
            tally.note(firstToken: firstToken)
        }
        if let end = TargetTally.end(of: outcome.failure) { tally.note(end) }
        if outcome.failure == nil, outcome.end.usage == nil { unaccounted += 1 }
        if outcome.end.isImplausible { implausible += 1 }
        if let failure = outcome.failure, failure.kind != .cancelled {
            failures += 1
            failureCounts.add(failure.kind)
        }
        switch outcome.failure?.kind.traits.sign {
        case .busy: health.throttled(retryAfter: outcome.failure?.retryAfter, at: now)
        case .account: health.throttled(retryAfter: outcome.failure?.retryAfter ?? TargetHealth.longestRest, at: now)
        case .fault, .answer, .missing, .nothing, nil: break
        }
        guard let sample = LaneTarget.sample(outcome.failure, ticket), hasBreaker else {
            return gateway.breakers.giveBack(ticket, on: self)
        }
        gateway.breakers.ended(sample, ticket, on: self)
    }

    /// Hands over what was counted since the last time, and begins anew.
    func takeTally() -> TargetTally {
        defer { tally = TargetTally() }
        return tally
    }

    /// An attempt was given up after this time, because another was quicker.
    func wasTooSlow(_ time: Duration) { slowFirstToken.observe(time) }

    /// What an end says about the target; nil for nothing: the client went away, or it refused us for a reason that has nothing to do with
    /// its health.
    ///
    /// Such a refusal is a good answer to a probe: what the breaker opened for, no answer or a broken one, is over. Else one request at a time would
    /// ask a target that is throttled, or whose key is refused, for ever; what keeps requests from it is its rest.
    static func sample(
        _ failure: ProviderFailure?, _ ticket: TargetBreaker.Ticket = .usual
    ) -> FailureWindow.Sample? {
        switch failure?.kind.traits.sign {
        case nil, .answer, .missing: .success
        case .nothing: nil
        case .busy, .account: ticket == .usual ? nil : .success
        case .fault: .failure
        }
    }
}
