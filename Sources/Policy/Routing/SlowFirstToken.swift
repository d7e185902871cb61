// How long a target's slow first tokens take: when more time than that has passed, another target is worth asking.
import Core

/// An estimate of the time that 95 of 100 first tokens come within; it follows what changes.
public struct SlowFirstToken: Sendable, Equatable {
    private var nanoseconds = 0.0
    private var count = 0

    /// So many times are known before anything is said.
    public static let leastCount = 20
    /// No shorter time is said: below it lies the noise of the machines between.
    public static let shortest = Duration.milliseconds(10)

    /// Nothing known yet.
    public init() {}

    /// The time; nil while too little is known.
    public var time: Duration? {
        guard count >= SlowFirstToken.leastCount else { return nil }
        return max(SlowFirstToken.shortest, .nanoseconds(Int64(nanoseconds)))
    }

    /// A first token came after this time, or had not come then when nobody waited any more.
    public mutating func observe(_ time: Duration) {
        let new = Double(time.nanoseconds)
        guard count >= SlowFirstToken.leastCount else {
            count += 1
            nanoseconds = max(nanoseconds, new)
            return
        }
        // Steps up and down are in balance where 1 of 20 lies above: ln 1.095 x 0.05 = -ln 0.995 x 0.95, nearly.
        nanoseconds *= new > nanoseconds ? 1.095 : 0.995
    }
}
