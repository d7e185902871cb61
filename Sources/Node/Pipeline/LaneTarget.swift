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
    /// Attempts that began, and those that failed.
    private(set) var attempts: Int64 = 0
    private(set) var failures: Int64 = 0
    /// Whole answers whose provider did not say, or not believably, what they used.
    private(set) var unaccounted: Int64 = 0
    /// Whether this node can use the provider: its API key can be read, its address is one.
    private var isReady = false
    private var looksAgainAt = Instant(nanoseconds: .min)

    init(_ target: RouteTarget) {
        provider = target.provider
        model = target.model
    }

    /// True when this node can use the provider. What cannot be used is looked at again after some seconds, not by each request.
    func isUsable(by gateway: Gateway) -> Bool {
        if isReady { return true }
        guard gateway.lane.now >= looksAgainAt else { return false }
        isReady = gateway.target(provider) != nil
        if !isReady { looksAgainAt = gateway.lane.now + .seconds(5) }
        return isReady
    }

    /// The provider's settings changed.
    func settingsChanged() { (isReady, looksAgainAt) = (false, Instant(nanoseconds: .min)) }

    /// An attempt goes to its provider.
    func begin() {
        attempts += 1
        health.begin()
    }

    /// An attempt that began has ended.
    func end(_ outcome: UpstreamOutcome, firstToken: Duration?, at now: Instant, _ chance: inout Chance) {
        if let firstToken { health.observe(firstToken: firstToken) }
        guard let failure = outcome.failure else {
            if outcome.end.usage == nil { unaccounted += 1 }
            return health.end(.well, at: now, &chance)
        }
        if failure.kind != .cancelled { failures += 1 }
        health.end(LaneTarget.verdict(failure), at: now, &chance)
    }

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
