// What a target's attempts came to since somebody asked last: counts that add up exactly over lanes, and a median.
import Core

/// Ends of attempts at one target. Noting one costs a few integer operations and no memory.
public struct TargetTally: Sendable {
    /// What the end of an attempt says about its target.
    public enum End: Sendable {
        /// It answered.
        case success
        /// It failed, or refuses everybody: a broken connection or answer, a server's error, a wrong API key, a spent quota.
        case failure
        /// It has too much to do at present.
        case throttled
    }

    /// Attempts that it answered.
    public private(set) var successes: UInt32 = 0
    /// Attempts that failed by its fault.
    public private(set) var failures: UInt32 = 0
    /// Attempts that it turned away for a while.
    public private(set) var throttled: UInt32 = 0
    /// First tokens by their time: four ranges for each doubling of microseconds.
    private var firstTokens: [128 of UInt32] = .init(repeating: 0)

    /// A tally of nothing.
    public init() {}

    /// Attempts of all kinds.
    public var total: Int { Int(successes) + Int(failures) + Int(throttled) }

    /// Notes an end.
    public mutating func note(_ end: End) {
        switch end {
        case .success: successes &+= 1
        case .failure: failures &+= 1
        case .throttled: throttled &+= 1
        }
    }

    /// Notes the time to a first token.
    public mutating func note(firstToken time: Duration) {
        firstTokens[TargetTally.range(of: max(1, time.nanoseconds / 1_000))] &+= 1
    }

    /// Adds what another lane counted.
    public mutating func merge(_ other: TargetTally) {
        successes &+= other.successes
        failures &+= other.failures
        throttled &+= other.throttled
        for range in 0..<128 { firstTokens[range] &+= other.firstTokens[range] }
    }

    /// Half of the first tokens came sooner, in microseconds, at most an eighth off; 0 without any.
    public var medianMicroseconds: UInt32 {
        var count: UInt64 = 0
        for range in 0..<128 { count += UInt64(firstTokens[range]) }
        guard count > 0 else { return 0 }
        var passed: UInt64 = 0
        for range in 0..<128 {
            passed += UInt64(firstTokens[range])
            if passed * 2 >= count { return UInt32(clamping: TargetTally.middle(of: range)) }
        }
        return 0
    }

    /// The octave, and which quarter of it: the two bits behind the leading one.
    private static func range(of microseconds: Int64) -> Int {
        let octave = 63 - microseconds.leadingZeroBitCount
        let quarter = octave < 2 ? microseconds << Int64(2 - octave) & 3 : microseconds >> Int64(octave - 2) & 3
        return min(127, octave * 4 + Int(quarter))
    }

    private static func middle(of range: Int) -> Int64 {
        // In eighths of the octave's beginning: its middle lies half a quarter above its lower end.
        let eighths = Int64(8 + 2 * (range % 4) + 1)
        return max(1, eighths << Int64(range / 4) / 8)
    }
}
