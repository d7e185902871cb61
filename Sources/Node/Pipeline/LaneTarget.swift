// One provider and model as one lane knows it: how it does, and what was tried with it.
import Core
import Net
import Policy
import Providers

/// A target of routes. Confined to its lane; routes that name it share it.
final class LaneTarget {
    let provider: String
    let model: String
    var health = TargetHealth()
    /// When a first token is late.
    private(set) var slowFirstToken = SlowFirstToken()
    /// Attempts that began, and those that failed.
    private(set) var attempts: Int64 = 0
    private(set) var failures: Int64 = 0
    /// Whole answers whose provider did not say, or not believably, what they used.
    private(set) var unaccounted: Int64 = 0
    /// The provider, when this node can use it: its API key can be read, its address is one.
    private var provided: UpstreamTarget?
    private var queue: Admission?
    private var priced: (by: ActiveSnapshot, price: ModelPrice?)?
    private var looksAgainAt = Instant(nanoseconds: .min)

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
        if provided == nil { looksAgainAt = gateway.lane.now + .seconds(5) }
        return provided
    }

    /// The queue before the provider.
    func admission(of gateway: Gateway) -> Admission? {
        if queue == nil { queue = gateway.admission(provider) }
        return queue
    }

    /// What the model costs by the prices of `snapshot`.
    func price(in snapshot: ActiveSnapshot) -> ModelPrice? {
        if let priced, priced.by === snapshot { return priced.price }
        let price = snapshot.cluster.prices[model]
        priced = (snapshot, price)
        return price
    }

    /// The provider's settings changed.
    func settingsChanged() {
        (provided, looksAgainAt) = (nil, Instant(nanoseconds: .min))
        priced = nil
    }

    /// An attempt goes to its provider.
    func begin() {
        attempts += 1
        health.begin()
    }

    /// An attempt that began has ended.
    func end(_ outcome: UpstreamOutcome, firstToken: Duration?, at now: Instant, _ chance: inout Chance) {
        if let firstToken {
            health.observe(firstToken: firstToken)
            slowFirstToken.observe(firstToken)
        }
        guard let failure = outcome.failure else {
            if outcome.end.usage == nil { unaccounted += 1 }
            return health.end(.well, at: now, &chance)
        }
        if failure.kind != .cancelled { failures += 1 }
        health.end(LaneTarget.verdict(failure), at: now, &chance)
    }

    /// An attempt was given up after this time, because another was quicker.
    func wasTooSlow(_ time: Duration) { slowFirstToken.observe(time) }

    private static func verdict(_ failure: ProviderFailure) -> TargetHealth.Verdict {
        switch failure.kind {
        case .rateLimited: .throttled(retryAfter: failure.retryAfter)
        // Waiting does not help soon: others are asked for as long as a rest can be.
        case .quotaExhausted, .authentication, .permissionDenied:
            .throttled(retryAfter: failure.retryAfter ?? TargetHealth.longestRest)
        case .cancelled: .none
        default: failure.kind.countsForBreaker ? .failed : .well
        }
    }
}
