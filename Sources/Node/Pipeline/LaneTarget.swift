// One provider and model as one lane knows it: how it does, and what was tried with it.
import Core
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

    init(_ target: RouteTarget) {
        provider = target.provider
        model = target.model
    }

    /// An attempt goes to its provider.
    func begin() {
        attempts += 1
        health.begin()
    }

    /// An attempt that began has ended.
    func end(_ outcome: UpstreamOutcome, firstToken: Duration?, at now: Instant, _ chance: inout Chance) {
        if let firstToken { health.observe(firstToken: firstToken) }
        guard let failure = outcome.failure else { return health.end(.well, at: now, &chance) }
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
