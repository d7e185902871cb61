// What a limit counts, how it counts it, and over whom: the three closed vocabularies of the limit room.

/// What a limit counts.
public enum LimitUnit: UInt8, CaseIterable, Hashable, Sendable {
    /// Requests that were admitted.
    case requests = 1
    /// Tokens of the prompt.
    case inputTokens
    /// Tokens of the answer.
    case outputTokens
    /// Tokens of the prompt and the answer together.
    case totalTokens
    /// Requests under way at the same moment.
    case concurrency
    /// Money, in millionths of a US dollar.
    case microUSD
}

/// How a limit counts over time. Its memory and its cost in Redis are tabled in `Docs/state.md`.
public enum LimitAlgorithm: UInt8, CaseIterable, Hashable, Sendable {
    /// Smooth refill with a burst (generic cell rate algorithm, one time stamp). The default.
    case tokenBucket = 1
    /// A counter that starts again with each period, aligned to UTC. The only one for money.
    case fixedWindow
    /// An exact log of the last period in a sorted set.
    case slidingWindow
    /// Two fixed windows, the older one weighted by how much of it still lies in the last period.
    case slidingCounter
}

/// Over whom a limit counts. Every request passes org, then team, then key; a feature is counted within its team.
public enum LimitScope: UInt8, CaseIterable, Hashable, Sendable, Comparable {
    case org = 1
    case team
    case key
    case feature

    /// The order in which scopes are checked and named.
    public static func < (left: LimitScope, right: LimitScope) -> Bool { left.rawValue < right.rawValue }
}

/// The time over which an amount is allowed.
public enum LimitPeriod: Hashable, Sendable {
    /// A fixed length; windows of it are aligned to the Unix epoch, so a day is a UTC day.
    case microseconds(Int64)
    /// A calendar month in UTC; only for fixed windows.
    case calendarMonth

    /// One second.
    public static let second = LimitPeriod.microseconds(1_000_000)
    /// Sixty seconds.
    public static let minute = LimitPeriod.microseconds(60_000_000)
    /// Sixty minutes.
    public static let hour = LimitPeriod.microseconds(3_600_000_000)
    /// A UTC day.
    public static let day = LimitPeriod.microseconds(86_400_000_000)
}
