// A canary from a seed: requests of two targets with given failures, first tokens and costs, a second at a time, judged as a coordinator does.
import Core
import Foundation

@testable import Policy

/// How a target behaves.
struct SimulatedTarget {
    var failures = 0.01
    /// The median of its first tokens' times, in milliseconds; they are spread log-normally.
    var firstToken = 400.0
    /// The mean cost of an answer in micro-USD; log-normal with a heavy tail.
    var cost = 900.0
}

/// One canary's whole life.
struct CanarySimulation {
    private(set) var run: CanaryRun
    /// Requests of the canary, and of both, until its end.
    private(set) var canaryRequests = 0
    private(set) var requests = 0
    private(set) var seconds = 0
    private var chance: Chance

    /// Values below which (i + ½) / 4096 of a normal distribution lie.
    private static let normal: [Double] = (0..<4_096).map { place in
        let wanted = (Double(place) + 0.5) / 4_096
        var (low, high) = (-6.0, 6.0)
        for _ in 0..<50 {
            let middle = (low + high) / 2
            if 0.5 * erfc(-middle / 2.0.squareRoot()) < wanted { low = middle } else { high = middle }
        }
        return low
    }
    /// Spreads of first tokens (σ = 0.6) and of cost (σ = 1.2, mean 1), with 4,096 values each.
    private static let firstTokens = normal.map { exp(0.6 * $0) }
    private static let costs = normal.map { exp(1.2 * $0 - 0.72) }

    init(seed: UInt64, plan: CanaryPlan) {
        chance = Chance(seed: seed)
        run = CanaryRun(plan, who: "test", reason: "", atSeconds: 0)
    }

    /// Runs on until the canary ends, or `limit` seconds have passed.
    mutating func run(_ usual: SimulatedTarget, _ own: SimulatedTarget, perSecond: Int = 200, limit: Int = 2_000) {
        let (buckets, ownBuckets) = (Self.buckets(usual), Self.buckets(own))
        while run.state == .running, seconds < limit {
            seconds += 1
            var (baseline, canary) = (CanaryCounts(), CanaryCounts())
            for _ in 0..<perSecond {
                if chance.below(10_000) < UInt64(run.share) {
                    canaryRequests += 1
                    ask(own, ownBuckets, &canary)
                } else {
                    ask(usual, buckets, &baseline)
                }
            }
            requests += perSecond
            run.take(baseline: baseline, canary: canary)
            _ = run.judge(after: .seconds(1), atSeconds: Int64(seconds))
        }
    }

    private static func buckets(_ target: SimulatedTarget) -> [Int] {
        firstTokens.map { FirstTokenScale.bucket(of: .microseconds(Int64($0 * target.firstToken * 1_000))) }
    }

    private mutating func ask(_ target: SimulatedTarget, _ buckets: [Int], _ counts: inout CanaryCounts) {
        let word = chance.next()
        counts.attempts += 1
        guard Double(word >> 32) * 0x1p-32 >= target.failures else { return counts.failures += 1 }
        counts.add(1, inBucket: buckets[Int(word & 4_095)])
        counts.add(answerFor: MicroUSD(Int64(target.cost * Self.costs[Int(word >> 12 & 4_095)])))
    }
}
