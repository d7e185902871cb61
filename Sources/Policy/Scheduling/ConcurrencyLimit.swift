// How many requests at once a target serves well, found from the time to its first token.
import Core

/// A limit that follows a target's health (gradient, after Netflix' concurrency-limits; time to first token is the signal, never the whole time,
/// which depends on what was asked).
///
/// While the recent time stays near the usual one the limit grows by its square root; when it rises beyond a tolerance the limit shrinks in
/// proportion. A 429 lowers it at once, at most once a second.
public struct ConcurrencyLimit: Sendable {
    /// The least and the most that it may become.
    public private(set) var range: ClosedRange<Int>
    private var limit: Double
    /// Averages of the time to first token in nanoseconds: of about 10 and about 600 answers.
    private var recent: Double?
    private var usual: Double?
    private var lastDecrease: Instant?
    private var samples = 0

    /// The recent time may be half as long again as the usual one before it counts as a queue inside the target.
    private static let tolerance = 1.5
    /// Answers between two changes of the limit.
    private static let window = 10

    /// A limit that begins at the most.
    public init(_ range: ClosedRange<Int>) {
        self.range = range
        limit = Double(range.upperBound)
    }

    /// Other bounds; what was learned stays. A limit that stood at the most goes on to stand there.
    public mutating func move(to fresh: ClosedRange<Int>) {
        let stoodAtMost = value == range.upperBound
        range = fresh
        limit = stoodAtMost ? Double(fresh.upperBound) : clamp(limit)
    }

    /// Requests that may run at once.
    public var value: Int { Int(limit.rounded(.down)) }

    /// An answer's first token came after `time`, with `running` requests under way.
    public mutating func observe(timeToFirstToken time: Duration, running: Int) {
        guard range.lowerBound < range.upperBound else { return }
        let sample = Double(max(1, time.nanoseconds))
        recent = recent.map { $0 + (sample - $0) / 10 } ?? sample
        usual = usual.map { $0 + (sample - $0) / 600 } ?? sample
        samples += 1
        guard samples >= ConcurrencyLimit.window, let recent, let usual else { return }
        samples = 0
        // A usual time far above the recent one belongs to a bad time that is over.
        if usual > 2 * recent { self.usual = usual * 0.95 }
        // Without demand near the limit nothing is learned about it.
        guard running * 2 >= value else { return }
        let gradient = min(1, max(0.5, ConcurrencyLimit.tolerance * usual / recent))
        let wanted = limit * gradient + limit.squareRoot()
        limit = clamp(limit + (wanted - limit) * 0.2)
    }

    /// The target said that it has too much (429).
    public mutating func throttled(at now: Instant) {
        if let lastDecrease, now - lastDecrease < .seconds(1) { return }
        lastDecrease = now
        limit = clamp(limit * 0.8)
    }

    private func clamp(_ value: Double) -> Double {
        min(Double(range.upperBound), max(Double(range.lowerBound), value))
    }
}
