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

    /// Nothing counted.
    public init() {}

    /// All first tokens.
    public var firstTokenCount: Int64 { firstTokens.reduce(0, +) }

    /// A first token came after this time.
    public mutating func add(firstToken time: Duration) { add(1, inBucket: FirstTokenScale.bucket(of: time)) }

    /// So many first tokens of a bucket.
    public mutating func add(_ count: Int64, inBucket bucket: Int) {
        if firstTokens.isEmpty { firstTokens = Array(repeating: 0, count: FirstTokenScale.count) }
        firstTokens[bucket] += count
    }

    /// A whole answer had this price.
    public mutating func add(answerFor cost: MicroUSD) {
        let amount = max(0, cost.amount)
        answers += 1
        self.cost = self.cost.addingReportingOverflow(amount).partialValue
        costSquares += Double(amount) * Double(amount)
    }

    /// The sum of both.
    public mutating func add(_ other: CanaryCounts) {
        attempts += other.attempts
        failures += other.failures
        answers += other.answers
        cost = cost.addingReportingOverflow(other.cost).partialValue
        costSquares += other.costSquares
        for (bucket, count) in other.firstTokens.enumerated() where count != 0 { add(count, inBucket: bucket) }
    }

    /// What came since `earlier`; nil when these are not later counts of the same beginning.
    public func since(_ earlier: CanaryCounts) -> CanaryCounts? {
        var rest = self
        rest.attempts -= earlier.attempts
        rest.failures -= earlier.failures
        rest.answers -= earlier.answers
        rest.cost -= earlier.cost
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
        var rest = count * 95 / 100
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
