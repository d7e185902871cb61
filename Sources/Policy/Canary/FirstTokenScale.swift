// Where a first token's time falls: buckets of a sixteenth of an octave, from 2 ms to 67 s.
import Core

/// Times as numbers of buckets, 3 to 6 % wide. All nodes have the same, so that counts add up.
public enum FirstTokenScale {
    /// How many buckets there are: one below 2,048 µs, 16 for each octave, one from 67 s on.
    public static let count = 1 + 16 * 15 + 1

    /// The bucket of a time.
    public static func bucket(of time: Duration) -> Int {
        let microseconds = UInt64(max(0, time.nanoseconds / 1_000))
        guard microseconds >= 2_048 else { return 0 }
        let octave = 63 - microseconds.leadingZeroBitCount
        guard octave < 26 else { return count - 1 }
        return 1 + (octave - 11) * 16 + Int(microseconds >> UInt64(octave - 4)) - 16
    }

    /// The shortest time of a bucket, in microseconds; the one behind the last has none: infinite.
    public static func edge(_ bucket: Int) -> Double {
        guard bucket > 0 else { return 0 }
        guard bucket < count else { return .infinity }
        let (octave, part) = (bucket - 1).quotientAndRemainder(dividingBy: 16)
        return Double((16 + part) << (octave + 7))
    }

    /// The first bucket that has no time below so many microseconds; `count` when none has.
    static func firstBucket(from microseconds: Double) -> Int {
        guard microseconds < edge(count - 1) else { return microseconds == edge(count - 1) ? count - 1 : count }
        let bucket = self.bucket(of: .microseconds(Int64(microseconds)))
        return edge(bucket) < microseconds ? bucket + 1 : bucket
    }
}
