// How long the turns of a lane take: for its metrics, and to tell a lane that is late from a peer that is.
import Core
import Telemetry

/// The turns of one lane. Reading changes nothing.
public struct TurnTimes: Sendable {
    /// All turns since the start.
    public private(set) var all = Histogram()
    /// What turns took beyond `usual`, summed over all turns: while a lane is late nobody else is.
    public private(set) var lateness = Duration.zero
    /// The longest turns of this window and of the one before.
    private var longest = Duration.zero
    private var longestBefore = Duration.zero
    private var windowEnds = Instant(nanoseconds: 0)

    /// A turn that takes no longer makes nobody wait who would notice.
    public static let usual = Duration.milliseconds(5)
    /// How long the longest turn is remembered, at least.
    public static let window = Duration.seconds(30)

    mutating func record(from start: Instant, to end: Instant) {
        let time = end - start
        all.record(time)
        if time > TurnTimes.usual { lateness += time - TurnTimes.usual }
        if end >= windowEnds { turnWindow(at: end) }
        if time > longest { longest = time }
    }

    private mutating func turnWindow(at now: Instant) {
        // After a rest of more than a window, what was longest is forgotten.
        longestBefore = now - windowEnds < TurnTimes.window ? longest : .zero
        longest = .zero
        windowEnds = now + TurnTimes.window
    }

    /// The longest turn of the last 30 to 60 seconds.
    public func longest(at now: Instant) -> Duration {
        if now < windowEnds { return max(longest, longestBefore) }
        return now - windowEnds < TurnTimes.window ? longest : .zero
    }
}
