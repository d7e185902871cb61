// A mean that forgets.
import Core

/// A mean of observations in which older ones weigh less: half after each half-life. Correct from the first observation on.
public struct MovingAverage: Sendable {
    private let halfLife: Duration
    private var weightedSum = 0.0
    private var weight = 0.0
    private var latest: Instant?

    /// An average without observations.
    ///
    /// - Precondition: the half-life is positive.
    public init(halfLife: Duration) {
        precondition(halfLife > .zero, "a half-life is positive")
        self.halfLife = halfLife
    }

    /// Adds an observation. Time that runs backwards counts as no time.
    public mutating func record(_ value: Double, at now: Instant) {
        let share = latest.map { Decay.share(after: now - $0, halfLife: halfLife) } ?? 1
        weightedSum = weightedSum * share + value
        weight = weight * share + 1
        latest = max(now, latest ?? now)
    }

    /// The mean; nil before the first observation.
    public var value: Double? { weight > 0 ? weightedSum / weight : nil }

    /// How many observations of full weight the mean stands on at `now`: near zero means that it says little.
    public func weight(at now: Instant) -> Double {
        latest.map { weight * Decay.share(after: now - $0, halfLife: halfLife) } ?? 0
    }
}
