// Canaries over many seeds: who is as good as the others is promoted, who is worse than allowed goes back by itself.
import Core
import Foundation
import Testing

@testable import Policy

@Suite struct CanaryTests {
    /// Seeds of each scenario; Scripts/prove canary takes thousands.
    static let seeds = ProcessInfo.processInfo.environment["SLUICE_CANARY_SEEDS"].flatMap { Int($0) } ?? 16

    static func plan() -> CanaryPlan {
        var plan = CanaryPlan(route: "chat-default", target: "second/luna")
        plan.hold = .seconds(20)
        return plan
    }

    struct Ends {
        var promoted = 0
        var rolledBack = 0
        var canaryRequests: [Int] = []
        var requests: [Int] = []

        func high(_ counts: [Int]) -> Int { counts.sorted().dropLast(counts.count / 100).last ?? 0 }
    }

    /// Runs a scenario over all seeds, on all processors.
    static func ends(
        _ usual: SimulatedTarget, _ own: SimulatedTarget, limit: Int = 2_000, offset: UInt64
    ) async -> Ends {
        await withTaskGroup(of: Ends.self) { group in
            let parts = max(1, min(8, seeds / 10))
            for part in 0..<parts {
                group.addTask {
                    var ends = Ends()
                    for seed in stride(from: part, to: seeds, by: parts) {
                        var simulation = CanarySimulation(seed: offset &+ UInt64(seed), plan: plan())
                        simulation.run(usual, own, limit: limit)
                        switch simulation.run.state {
                        case .promoted: ends.promoted += 1
                        case .rolledBack:
                            ends.rolledBack += 1
                            ends.canaryRequests.append(simulation.canaryRequests)
                            ends.requests.append(simulation.requests)
                        default: break
                        }
                    }
                    return ends
                }
            }
            return await group.reduce(into: Ends()) { all, part in
                all.promoted += part.promoted
                all.rolledBack += part.rolledBack
                all.canaryRequests += part.canaryRequests
                all.requests += part.requests
            }
        }
    }

    /// `figure NAME VALUE BOUND`, for Scripts/prove; the value must not be above the bound.
    static func figure(_ name: String, _ value: Double, atMost bound: Double) {
        print("figure \(name) \(value) \(bound)")
        #expect(value <= bound, "\(name)")
    }

    @Test func `an equal target is promoted`() async {
        let ends = await Self.ends(SimulatedTarget(), SimulatedTarget(), offset: 1_000_000)
        let all = Double(Self.seeds)
        Self.figure("equal_rolled_back_percent", 100 * Double(ends.rolledBack) / all, atMost: 1)
        Self.figure("equal_not_promoted_percent", 100 * (1 - Double(ends.promoted) / all), atMost: 1)
    }

    @Test func `a target that is just as bad as allowed is rarely rolled back`() async {
        var own = SimulatedTarget()
        own.failures += 0.01
        let ends = await Self.ends(SimulatedTarget(), own, limit: 600, offset: 2_000_000)
        let bound = max(1, 100 / Double(Self.seeds))
        Self.figure(
            "at_the_limit_rolled_back_percent", 100 * Double(ends.rolledBack) / Double(Self.seeds), atMost: bound)
    }

    @Test func `a target with five more failures in a hundred goes back after few requests`() async {
        var own = SimulatedTarget()
        own.failures += 0.05
        let ends = await Self.ends(SimulatedTarget(), own, offset: 3_000_000)
        Self.figure("worse_errors_not_rolled_back", Double(Self.seeds - ends.rolledBack), atMost: 0)
        Self.figure("worse_errors_canary_requests_p99", Double(ends.high(ends.canaryRequests)), atMost: 1_500)
        Self.figure("worse_errors_requests_p99", Double(ends.high(ends.requests)), atMost: 50_000)
    }

    @Test func `a target that fails half of its requests goes back at once`() async {
        var own = SimulatedTarget()
        own.failures = 0.5
        let ends = await Self.ends(SimulatedTarget(), own, offset: 4_000_000)
        Self.figure("broken_not_rolled_back", Double(Self.seeds - ends.rolledBack), atMost: 0)
        Self.figure("broken_canary_requests_p99", Double(ends.high(ends.canaryRequests)), atMost: 30)
    }

    @Test func `a slow target goes back`() async {
        var own = SimulatedTarget()
        own.firstToken *= 1.5
        let ends = await Self.ends(SimulatedTarget(), own, offset: 5_000_000)
        Self.figure("slow_not_rolled_back", Double(Self.seeds - ends.rolledBack), atMost: 0)
        Self.figure("slow_canary_requests_p99", Double(ends.high(ends.canaryRequests)), atMost: 10_000)
    }

    @Test func `a dear target goes back`() async {
        var own = SimulatedTarget()
        own.cost *= 1.5
        let ends = await Self.ends(SimulatedTarget(), own, offset: 6_000_000)
        Self.figure("dear_not_rolled_back", Double(Self.seeds - ends.rolledBack), atMost: 0)
        Self.figure("dear_canary_requests_p99", Double(ends.high(ends.canaryRequests)), atMost: 4_000)
    }
}
