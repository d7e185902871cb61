// How often something happens per second, of late.
import Core

/// Events per second in which older events weigh less: half after each half-life. Correct while it is young: a constant rate is
/// told right from the first second on, and not only after some half-lives.
public struct RateEstimator: Sendable {
    private let halfLife: Duration
    private var level = 0.0
    private var start: Instant
    private var latest: Instant

    /// A rate of nothing, watched from `start` on.
    ///
    /// - Precondition: the half-life is positive.
    public init(halfLife: Duration, from start: Instant) {
        precondition(halfLife > .zero, "a half-life is positive")
        self.halfLife = halfLife
        self.start = start
        latest = start
    }

    /// Counts `amount` events. Time that runs backwards counts as no time.
    public mutating func record(_ amount: Double = 1, at now: Instant) {
        level = level * Decay.share(after: now - latest, halfLife: halfLife) + amount
        latest = max(now, latest)
    }

    /// Events per second at `now`; zero before any time has passed.
    public func perSecond(at now: Instant) -> Double {
        let moment = max(now, latest)
        // A constant rate r fills the level to r · halfLife / ln 2 · (1 − what is forgotten since the start).
        let filled = 1 - Decay.share(after: moment - start, halfLife: halfLife)
        guard filled > 0 else { return 0 }
        let share = Decay.share(after: moment - latest, halfLife: halfLife)
        let seconds = Double(halfLife.nanoseconds) / 1e9
        return level * share * 0.693_147_180_559_945_3 / (seconds * filled)
    }
}
