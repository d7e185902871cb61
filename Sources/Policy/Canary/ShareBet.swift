// A bet that a share is higher, or lower, than somebody says: grows while it wins, and on average never when it is wrong.

/// A mixture of likelihood ratios of a Bernoulli share against others whose odds are a fixed multiple of its own.
///
/// Whatever the true share, if it is at most (for `higher`; at least for `lower`) the one that is tested, the value's mean is at most 1 at all
/// times, so that it ever reaches 1/α with a chance of α at most (Ville 1939; Robbins, "Statistical methods related to the law
/// of the iterated logarithm", 1970; Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
/// sequences", 2021). A quarter of the stake is kept out of the game: what was lost early does not hide what happens later.
struct ShareBet {
    private let odds: [(ratio: Double, logarithm: Double, weight: Double)]
    private let kept = NaturalLogarithm.of(0.25)

    private init(_ ratios: [Double]) {
        let stake = NaturalLogarithm.of(0.75 / Double(ratios.count))
        odds = ratios.map { ($0, NaturalLogarithm.of($0), stake) }
    }

    /// Wins where the share is higher.
    static let higher = ShareBet([1.4, 2, 3, 5, 12, 50])
    /// Wins where the share is lower.
    static let lower = ShareBet([1.05, 1.12, 1.25, 1.5, 2, 4].map { 1 / $0 })

    /// ln of the bet's value after `hits` of `count`, against `share`. Convex in `share`: each ratio r adds hits·ln r - count·ln(1 + share·(r - 1)).
    func evidence(_ hits: Double, of count: Double, against share: Double) -> Double {
        // At least the quarter that is kept: the others count beside it.
        var (most, rest) = (kept, 1.0)
        for odd in odds {
            let value =
                odd.weight + hits * odd.logarithm - count * NaturalLogarithm.of(1 + share * (odd.ratio - 1))
            if value > most {
                rest = 1 + rest * NaturalLogarithm.exponential(most - value)
                most = value
            } else if value > most - 40 {
                rest += NaturalLogarithm.exponential(value - most)
            }
        }
        return most + NaturalLogarithm.of(rest)
    }
}
