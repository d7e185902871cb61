// How much speaks for a canary being worse than allowed: a sequential test of errors, first tokens' times and cost.
import Core

/// What is compared.
public enum CanaryMeasure: Int, Sendable, CaseIterable {
    /// Failures of first attempts.
    case errors
    /// The time within which 95 of 100 first tokens come.
    case firstToken
    /// The mean cost of an answer.
    case cost

    /// The chance that a canary which is just within the limit is ever rolled back for it; 1 % together.
    var risk: Double {
        switch self {
        case .errors: 0.004
        case .firstToken, .cost: 0.003
        }
    }

    /// ln of the evidence at which it is rolled back.
    public var threshold: Double { -NaturalLogarithm.of(risk) }
}

/// How much worse than the others a canary may be.
public struct CanaryLimits: Sendable, Equatable {
    /// Hundredths of a percentage point more failures.
    public var errorRate = 100
    /// Per cent more time to the first token, at the 95th percentile.
    public var firstToken = 20
    /// Per cent more cost of an answer.
    public var cost = 10

    /// The usual limits.
    public init() {}
}

/// Evidence that the canary is beyond a limit: the value of a bet that on average never grows while it is within. Reaching 1/α ever has
/// a chance of α at most, however often somebody looks.
public enum CanaryEvidence {
    /// With fewer answers on one side cost is not judged: the central limit theorem needs some.
    static let leastAnswers: Int64 = 100

    /// ln of the evidence, by measure.
    public static func all(_ baseline: CanaryCounts, _ canary: CanaryCounts, _ limits: CanaryLimits) -> [Double] {
        [
            errors(baseline, canary, allowed: Double(limits.errorRate) / 10_000),
            firstToken(baseline, canary, allowed: 1 + Double(limits.firstToken) / 100),
            cost(baseline, canary, allowed: 1 + Double(limits.cost) / 100),
        ]
    }

    /// The product of two bets, at the share of failures of the others that makes it least: whatever that share really is, the product for it
    /// is at least as large. Convex, so that a golden section finds the least.
    static func errors(_ baseline: CanaryCounts, _ canary: CanaryCounts, allowed: Double) -> Double {
        func evidence(_ share: Double) -> Double {
            ShareBet.lower.evidence(Double(baseline.failures), of: Double(baseline.attempts), against: share)
                + ShareBet.higher.evidence(
                    Double(canary.failures), of: Double(canary.attempts), against: share + allowed)
        }
        let golden = 0.618_033_988_749_895
        var (low, high) = (0.0, 1 - allowed)
        var (left, right) = (high - golden * (high - low), low + golden * (high - low))
        var (atLeft, atRight) = (evidence(left), evidence(right))
        for _ in 0..<30 {
            if atLeft < atRight {
                (high, right, atRight) = (right, left, atLeft)
                left = high - golden * (high - low)
                atLeft = evidence(left)
            } else {
                (low, left, atLeft) = (left, right, atRight)
                right = low + golden * (high - low)
                atRight = evidence(right)
            }
        }
        return min(atLeft, atRight)
    }

    /// The same for times: wherever the others' 95th percentile may lie, one bet is that it lies lower, the other that more than 5 of 100
    /// first tokens of the canary come later than that time and what is allowed. Edges of buckets are rounded in the canary's favour.
    static func firstToken(_ baseline: CanaryCounts, _ canary: CanaryCounts, allowed: Double) -> Double {
        let (all, own) = (baseline.firstTokenCount, canary.firstTokenCount)
        guard all > 0, own > 0 else { return 0 }
        // How many first tokens came in a bucket or later.
        func tails(_ counts: [Int64]) -> [Int64] {
            var tails = Array(repeating: Int64(0), count: FirstTokenScale.count + 1)
            for bucket in counts.indices.reversed() { tails[bucket] = tails[bucket + 1] + counts[bucket] }
            return tails
        }
        let (others, its) = (tails(baseline.firstTokens), tails(canary.firstTokens))
        func low(_ bucket: Int) -> Double {
            ShareBet.lower.evidence(Double(others[bucket]), of: Double(all), against: 0.05)
        }
        func high(_ bucket: Int) -> Double {
            let bound = FirstTokenScale.firstBucket(from: FirstTokenScale.edge(bucket + 1) * allowed)
            return ShareBet.higher.evidence(Double(its[bound]), of: Double(own), against: 0.05)
        }
        // The first bet only rises from bucket to bucket, the second only falls: a range that cannot hold the least is left out whole.
        var least = low(FirstTokenScale.count - 1) + high(FirstTokenScale.count - 1)
        var ranges = [0..<FirstTokenScale.count]
        while let range = ranges.popLast() {
            guard low(range.lowerBound) + high(range.upperBound - 1) < least else { continue }
            guard range.count > 1 else {
                least = low(range.lowerBound) + high(range.lowerBound)
                continue
            }
            let middle = (range.lowerBound + range.upperBound) / 2
            ranges.append(range.lowerBound..<middle)
            ranges.append(middle..<range.upperBound)
        }
        return least
    }

    /// A mixture of bets on the excess of the mean, which holds for large counts (Robbins 1970; Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas,
    /// "Time-uniform central limit theory and asymptotic confidence sequences", 2024): with I = 1 / variance of the difference D, and
    /// bets spread as N(0, ρ²), it is exp(ρ²D²I² / 2(1 + ρ²I)) / √(1 + ρ²I).
    static func cost(_ baseline: CanaryCounts, _ canary: CanaryCounts, allowed: Double) -> Double {
        guard baseline.answers >= leastAnswers, canary.answers >= leastAnswers, let usual = baseline.meanCost,
            let own = canary.meanCost, usual > 0 || own > 0
        else { return 0 }
        let excess = own - allowed * usual
        let variance =
            canary.costVariance / Double(canary.answers)
            + allowed * allowed * baseline.costVariance / Double(baseline.answers)
        let spread = 0.25 * max(usual, own)
        let facts = spread * spread / variance
        let loss = -NaturalLogarithm.of(1 + facts) / 2
        guard excess > 0 else { return max(loss, NaturalLogarithm.of(0.25)) }
        return loss + facts * (excess * excess / variance) / (2 * (1 + facts))
    }
}
