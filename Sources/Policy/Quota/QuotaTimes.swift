// How long holds are rounded and records are kept: the times that model and scripts share.

/// The times of the quota records.
public struct QuotaTimes: Hashable, Sendable {
    /// Holds expire in steps of this many µs, so that sweeping is one field a step. 5 s.
    public let bucketMicroseconds: Int64
    /// How long a settled or reserved id is remembered, in ms. 15 min: longer than the longest hold (11 min).
    public let recordMilliseconds: Int64

    /// The most buckets that one call sweeps, a bound for its time in Redis.
    public static let sweepLimit: Int64 = 64

    /// The times of production.
    public static let standard = QuotaTimes(bucketMicroseconds: 5_000_000, recordMilliseconds: 900_000)

    /// Other times, for tests that cannot wait.
    public init(bucketMicroseconds: Int64, recordMilliseconds: Int64) {
        precondition(bucketMicroseconds > 0 && recordMilliseconds > 0, "times are positive")
        self.bucketMicroseconds = bucketMicroseconds
        self.recordMilliseconds = recordMilliseconds
    }

    /// The bucket in which a hold made at `now` expires: never before its time, at most one step after it.
    func bucket(now: Int64, holdMilliseconds: Int64) -> Int64 {
        (now + holdMilliseconds * 1000) / bucketMicroseconds + 1
    }
}
