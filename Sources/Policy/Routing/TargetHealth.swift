// How a target has done of late, as one lane sees it: how busy it is, how fast, and whether it rests.
import Core

/// Knows a target by its attempts. The times are the lane's.
public struct TargetHealth: Sendable, Equatable {
    /// What an attempt says about its target.
    public enum Verdict: Sendable, Equatable {
        /// It answered, also when the answer was a refusal of this one request.
        case well
        /// It failed in a way that speaks against it.
        case failed
        /// It has too much; it names the time to come again, or does not.
        case throttled(retryAfter: Duration?)
        /// Nothing: the client went away.
        case none
    }

    /// Attempts under way.
    public private(set) var inFlight = 0
    /// Times to the first token, moving: an eighth of each new one. Nanoseconds; 0 before the first.
    private var firstToken: Int64 = 0
    private var failuresInRow = 0
    /// Until then others are asked.
    public private(set) var restsUntil = Instant(nanoseconds: .min)
    /// How often it rested for failures without a success between.
    private var rests = 0
    private var isProbed = false

    /// So many failures in a row, and it rests.
    public static let failureLimit = 5
    /// The first rest; doubled with each failed probe, to the longest.
    public static let firstRest = Duration.seconds(1)
    /// The longest rest.
    public static let longestRest = Duration.seconds(60)
    /// After a 429 that names no time.
    public static let throttledRest = Duration.seconds(1)

    /// A target that nothing is known about.
    public init() {}

    /// What one more attempt costs in comparison: attempts × expected time to the first token. An unknown target counts as quick.
    public var cost: Int64 { Int64(inFlight + 1) * max(1, firstToken) }

    /// True when it may be asked before others that rest. After a rest for failures one attempt probes, alone.
    public func isUsable(at now: Instant) -> Bool { restsUntil <= now && !(rests > 0 && isProbed) }

    /// An attempt begins.
    public mutating func begin() {
        inFlight += 1
        if rests > 0 { isProbed = true }
    }

    /// A first token came after this time.
    public mutating func observe(firstToken time: Duration) {
        firstToken += firstToken == 0 ? time.nanoseconds : (time.nanoseconds - firstToken) / 8
    }

    /// An attempt has ended. `chance` spreads the end of a rest, so that lanes do not probe together.
    public mutating func end(_ verdict: Verdict, at now: Instant, _ chance: inout Chance) {
        inFlight -= 1
        isProbed = false
        switch verdict {
        case .well:
            failuresInRow = 0
            rests = 0
        case .failed:
            failuresInRow += 1
            // Attempts that began before the rest say nothing new.
            guard now >= restsUntil, rests > 0 || failuresInRow >= TargetHealth.failureLimit else { return }
            let usual = min(
                TargetHealth.firstRest.nanoseconds << Int64(min(rests, 16)), TargetHealth.longestRest.nanoseconds)
            rest(until: now + .nanoseconds(usual - Int64(chance.below(UInt64(usual / 5)))))
            rests += 1
        case .throttled(let retryAfter): rest(until: now + (retryAfter ?? TargetHealth.throttledRest))
        case .none: break
        }
    }

    /// A longer rest is never cut short by a shorter one.
    private mutating func rest(until instant: Instant) { restsUntil = max(restsUntil, instant) }
}
