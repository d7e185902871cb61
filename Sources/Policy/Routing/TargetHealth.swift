// How busy and how fast a target is of late, as one lane sees it, and whether it asked to be left alone for a while.
import Core

/// Knows a target by its attempts. The times are the lane's. Whether it works at all is the circuit breaker's business.
public struct TargetHealth: Sendable, Equatable {
    /// Attempts under way.
    public private(set) var inFlight = 0
    /// Times to the first token, moving: an eighth of each new one. Nanoseconds; 0 before the first.
    private var firstToken: Int64 = 0
    /// Until then others are asked.
    public private(set) var restsUntil = Instant(nanoseconds: .min)

    /// The longest rest.
    public static let longestRest = Duration.seconds(60)
    /// After a 429 that names no time.
    public static let throttledRest = Duration.seconds(1)

    /// A target that nothing is known about.
    public init() {}

    /// What one more attempt costs in comparison: attempts × expected time to the first token. An unknown target counts as quick.
    public var cost: Int64 { Int64(inFlight + 1) * max(1, firstToken) }

    /// True when it may be asked before others that rest.
    public func isUsable(at now: Instant) -> Bool { restsUntil <= now }

    /// An attempt begins.
    public mutating func begin() { inFlight += 1 }

    /// An attempt has ended.
    public mutating func end() { inFlight -= 1 }

    /// A first token came after this time.
    public mutating func observe(firstToken time: Duration) {
        firstToken += firstToken == 0 ? time.nanoseconds : (time.nanoseconds - firstToken) / 8
    }

    /// It has too much; it names the time to come again, or does not. A longer rest is never cut short by a shorter one.
    public mutating func throttled(retryAfter: Duration?, at now: Instant) {
        let rest = min(retryAfter ?? TargetHealth.throttledRest, TargetHealth.longestRest)
        restsUntil = max(restsUntil, now + rest)
    }
}
