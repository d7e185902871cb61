// Seeded randomness, so that every decision by chance can be replayed.

/// A small, fast generator (xoshiro256++ seeded by splitmix64; Blackman and Vigna). Not for secrets.
public struct Chance: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    /// The sequence that belongs to `seed`.
    public init(seed: UInt64) {
        var mixer = seed
        func mix() -> UInt64 {
            mixer &+= 0x9E37_79B9_7F4A_7C15
            var word = mixer
            word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
            return word ^ (word >> 31)
        }
        state = (mix(), mix(), mix(), mix())
    }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        let sum = state.0 &+ state.3
        let result = (sum << 23 | sum >> 41) &+ state.0
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = state.3 << 45 | state.3 >> 19
        return result
    }

    /// A number below `bound`, evenly spread.
    public mutating func below(_ bound: UInt64) -> UInt64 {
        precondition(bound > 0, "there must be something to choose from")
        return next().multipliedFullWidth(by: bound).high
    }

    /// A number from 0 up to, but not including, 1.
    public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// 128 random bits.
    public mutating func identifier() -> Identifier128 { Identifier128(high: next(), low: next()) }
}
