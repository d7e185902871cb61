// What one side of a canary did: attempts, failures, first tokens' times and cost, as sums that only grow.
import Core

/// Counts of one arm: the canary's target, or those that it is compared with.
public struct CanaryCounts: Sendable, Equatable {
    /// First attempts of requests that tell something about the target.
    public var attempts: Int64 = 0
    /// Those of them that failed by the target's fault.
    public var failures: Int64 = 0
    /// Whole answers.
    public var answers: Int64 = 0
    /// What these cost, in micro-USD.
    public var cost: Int64 = 0
    /// The sum of the squares of that.
    public var costSquares: Double = 0
    /// First tokens by bucket of `FirstTokenScale`; empty before the first.
    public private(set) var firstTokens: [Int64] = []

    /// Sums stop here: each is a sum of numbers that nodes told, who may tell anything. The sum of all buckets fits, too.
    static let limit: Int64 = 1 << 50
    private static let squaresLimit = Double(limit) * Double(limit)

    /// The sum, within ± `limit`.
    static func sum(_ left: Int64, _ right: Int64) -> Int64 {
        let (sum, isTooLarge) = left.addingReportingOverflow(right)
        if isTooLarge { return left < 0 ? -limit : limit }
        return max(-limit, min(limit, sum))
    }

    /// Nothing counted.
    public init() {}

    /// All first tokens.
    public var firstTokenCount: Int64 { firstTokens.reduce(0, +) }

    /// A first token came after this time.
    public mutating func add(firstToken time: Duration) { add(1, inBucket: FirstTokenScale.bucket(of: time)) }

    /// So many first tokens of a bucket.
    public mutating func add(_ count: Int64, inBucket bucket: Int) {
        if firstTokens.isEmpty { firstTokens = Array(repeating: 0, count: FirstTokenScale.count) }
        firstTokens[bucket] = CanaryCounts.sum(firstTokens[bucket], count)
    }

    /// A whole answer had this price.
    public mutating func add(answerFor cost: MicroUSD) {
        let amount = max(0, cost.amount)
        answers += 1
        self.cost = CanaryCounts.sum(self.cost, amount)
        costSquares = min(CanaryCounts.squaresLimit, costSquares + Double(amount) * Double(amount))
    }

    /// The sum of both.
    public mutating func add(_ other: CanaryCounts) {
        attempts = CanaryCounts.sum(attempts, other.attempts)
        failures = CanaryCounts.sum(failures, other.failures)
        answers = CanaryCounts.sum(answers, other.answers)
        cost = CanaryCounts.sum(cost, other.cost)
        costSquares = min(CanaryCounts.squaresLimit, costSquares + other.costSquares)
        for (bucket, count) in other.firstTokens.enumerated() where count != 0 { add(count, inBucket: bucket) }
    }

    /// What came since `earlier`; nil when these are not later counts of the same beginning.
    public func since(_ earlier: CanaryCounts) -> CanaryCounts? {
        var rest = self
        rest.attempts = CanaryCounts.sum(attempts, -earlier.attempts)
        rest.failures = CanaryCounts.sum(failures, -earlier.failures)
        rest.answers = CanaryCounts.sum(answers, -earlier.answers)
        rest.cost = CanaryCounts.sum(cost, -earlier.cost)
        rest.costSquares = max(0, costSquares - earlier.costSquares)
        for (bucket, count) in earlier.firstTokens.enumerated() where count != 0 { rest.add(-count, inBucket: bucket) }
        let isLater =
            rest.attempts >= 0 && rest.failures >= 0 && rest.failures <= rest.attempts && rest.answers >= 0
            && rest.cost >= 0 && rest.firstTokens.allSatisfy { $0 >= 0 }
        return isLater ? rest : nil
    }

    /// The time within which 95 of 100 first tokens came, in microseconds: the upper edge of its bucket; nil before the first.
    public var firstTokenP95: Double? {
        let count = firstTokenCount
        guard count > 0 else { return nil }
        // By its parts: the sum of all buckets may be near the end of what an integer holds.
        var rest = count / 100 * 95 + count % 100 * 95 / 100
        for (bucket, times) in firstTokens.enumerated() {
            rest -= times
            if rest < 0 {
                return min(FirstTokenScale.edge(bucket + 1), FirstTokenScale.edge(FirstTokenScale.count - 1))
            }
        }
        return FirstTokenScale.edge(FirstTokenScale.count - 1)
    }

    /// What an answer cost on average, in micro-USD; nil before the first.
    public var meanCost: Double? { answers > 0 ? Double(cost) / Double(answers) : nil }

    /// The variance of an answer's cost; never below a hundredth of the mean's square: few answers that cost the same say little.
    var costVariance: Double {
        guard answers > 1, let mean = meanCost else { return .infinity }
        let n = Double(answers)
        return max(mean * mean / 100, (costSquares - n * mean * mean) / (n - 1))
    }
}
