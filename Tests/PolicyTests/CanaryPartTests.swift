// The parts of canaries by themselves: logarithms, buckets, counts, plans, the route they are drawn into, their record.
import Core
import Foundation
import Testing

@testable import Policy

@Suite struct CanaryPartTests {
    @Test func `logarithms and powers are those of the C library`() {
        for number in [1e-300, 1e-9, 0.1, 0.5, 0.999_999, 1, 1.414_213, 1.5, 2, 10, 12_345.678, 1e300] {
            #expect(abs(NaturalLogarithm.of(number) - log(number)) <= 1e-13 * max(1, abs(log(number))))
        }
        for power in [-699.0, -20, -1, -0.3, 0, 0.3, 1, 17, 600] {
            #expect(abs(NaturalLogarithm.exponential(power) / exp(power) - 1) < 1e-11)
        }
        #expect(NaturalLogarithm.of(0) == -.infinity && NaturalLogarithm.exponential(-.infinity) == 0)
        #expect(abs(NaturalLogarithm.sum(-1_000, -1_001) + 1_000 - log(1 + exp(-1))) < 1e-12)
        #expect(NaturalLogarithm.sum(-.infinity, -3) == -3)
    }

    @Test func `each time lies between the edges of its bucket`() {
        var last = 0
        for microseconds in stride(from: 0.0, to: 80_000_000, by: 997) {
            let bucket = FirstTokenScale.bucket(of: .microseconds(Int64(microseconds)))
            #expect(bucket >= last && bucket < FirstTokenScale.count)
            #expect(FirstTokenScale.edge(bucket) <= microseconds && microseconds < FirstTokenScale.edge(bucket + 1))
            last = bucket
        }
        #expect(last == FirstTokenScale.count - 1)
        #expect(FirstTokenScale.bucket(of: .seconds(-1)) == 0)
        for bucket in 0..<FirstTokenScale.count {
            #expect(FirstTokenScale.firstBucket(from: FirstTokenScale.edge(bucket)) == bucket)
            #expect(FirstTokenScale.firstBucket(from: FirstTokenScale.edge(bucket) + 1) == bucket + 1)
        }
        #expect(FirstTokenScale.firstBucket(from: .infinity) == FirstTokenScale.count)
    }

    private static func counts(_ attempts: Int64, _ failures: Int64, _ milliseconds: Int64 = 300) -> CanaryCounts {
        var counts = CanaryCounts()
        (counts.attempts, counts.failures) = (attempts, failures)
        for place in 0..<(attempts - failures) {
            counts.add(firstToken: .milliseconds(milliseconds + place % 100))
            counts.add(answerFor: MicroUSD(100 + place % 7))
        }
        return counts
    }

    @Test func `what came since is the difference, and sums that fell have none`() {
        let (early, more) = (Self.counts(10, 1), Self.counts(5, 2, 800))
        var late = early
        late.add(more)
        #expect(late.since(early)?.attempts == 5 && late.since(early)?.failures == 2)
        #expect(late.since(early)?.firstTokenCount == 3 && late.since(early)?.cost == more.cost)
        #expect(early.since(late) == nil)
        #expect(late.since(late)?.firstTokenP95 == nil)
        #expect(early.firstTokenP95.map { $0 >= 308_000 && $0 < 325_000 } == true)
    }

    @Test func `the search for the least evidence finds it`() {
        for (baseline, canary) in [
            (Self.counts(1_000, 12), Self.counts(100, 9, 700)), (Self.counts(50, 1), Self.counts(60, 1, 320)),
            (Self.counts(3_000, 0), Self.counts(400, 30, 330)),
        ] {
            let found = CanaryEvidence.errors(baseline, canary, allowed: 0.01)
            var least = Double.infinity
            for step in 0..<9_900 {
                let share = Double(step) / 10_000
                let value =
                    ShareBet.lower.evidence(
                        Double(baseline.failures), of: Double(baseline.attempts), against: share)
                    + ShareBet.higher.evidence(
                        Double(canary.failures), of: Double(canary.attempts), against: share + 0.01)
                least = min(least, value)
            }
            #expect(found <= least + 0.01 && found >= least - 0.1)
            let (all, own) = (Double(baseline.firstTokenCount), Double(canary.firstTokenCount))
            least = .infinity
            for bucket in 0..<FirstTokenScale.count {
                let others = baseline.firstTokens[bucket...].reduce(0, +)
                let bound = FirstTokenScale.edge(bucket + 1) * 1.2
                let its = canary.firstTokens.enumerated().filter { FirstTokenScale.edge($0.offset) >= bound }
                let value =
                    ShareBet.lower.evidence(Double(others), of: all, against: 0.05)
                    + ShareBet.higher.evidence(Double(its.reduce(0) { $0 + $1.element }), of: own, against: 0.05)
                least = min(least, value)
            }
            #expect(abs(CanaryEvidence.firstToken(baseline, canary, allowed: 1.2) - least) < 1e-9)
        }
    }

    @Test func `without counts there is no evidence`() {
        for evidence in CanaryEvidence.all(CanaryCounts(), CanaryCounts(), CanaryLimits()) {
            #expect(abs(evidence) < 1e-9)
        }
    }

    // MARK: - Plans

    @Test func `a plan is read as people write it`() throws {
        let texts = [
            "steps": "0.5,5%,100", "hold": "90s", "max-error-rate": "+0.25%", "max-ttft-p95": "50", "max-cost": "+5%",
            "min-requests": "40",
        ]
        let plan = try CanaryPlan.read(route: "r", target: "p/m", replaced: nil) { texts[$0] }
        #expect(plan.steps == [50, 500, 10_000] && plan.hold == .seconds(90) && plan.leastRequests == 40)
        #expect(plan.limits.errorRate == 25 && plan.limits.firstToken == 50 && plan.limits.cost == 5)
        #expect(CanaryPlan(plan.json) == plan)
        #expect(
            [50, 500, 10_000, 101, 110].map(CanaryPlan.words(share:)) == ["0.5 %", "5 %", "100 %", "1.01 %", "1.1 %"])
        for (name, text, wanted) in [
            ("steps", "5,1", "rising"), ("steps", "", "rising"), ("steps", "100", "below 100"),
            ("steps", "1,101", "rising"),
            ("steps", "1,x", "rising"), ("hold", "0s", "hold"), ("max-error-rate", "0", "percentage points"),
            ("max-ttft-p95", "1.5%", "whole per cent"), ("max-cost", "-1", "whole per cent"),
            ("min-requests", "1", "min"),
        ] {
            do throws(ValueProblem) {
                _ = try CanaryPlan.read(route: "r", target: "p/m", replaced: nil) { $0 == name ? text : nil }
                Issue.record("\(name) = '\(text)' was read")
            } catch {
                #expect(error.message.hasPrefix("\(name): ") && error.message.contains(wanted), "\(error.message)")
            }
        }
    }

    static let text = """
        [provider a]
        kind = openai
        base-url = https://a/v1
        [provider b]
        kind = openai
        base-url = https://b/v1
        [route one]
        target = a/m
        [route two]
        target = a/m weight 30
        target = a/n weight 10
        target = b/m weight 0
        target = b/n group 2
        [route split]
        target = a/m feature x
        target = a/n
        [route spared]
        target = a/m
        target = b/n group overload
        """

    static func cluster() -> ClusterSnapshot { ClusterSnapshot.read(text, file: "t").0 }

    private static func drawn(_ route: String, _ target: String, from: String? = nil, share: Int) throws -> [String] {
        let plan = CanaryPlan(route: route, target: target, replaced: from)
        var cluster = Self.cluster()
        #expect(cluster.problem(with: plan) == nil)
        let record = try #require(cluster.routes[route]).drawn(by: plan, share: share)
        cluster.routes[route] = record
        cluster.canaries[route] = RouteCanary(target: target, replaced: from, run: 7)
        // What is published can be read.
        let (read, problems) = ClusterSnapshot.decode(cluster.records)
        #expect(problems.isEmpty && read.routes[route] == record && read.canaries == cluster.canaries)
        return record.targets.map { "\($0.name) \($0.weight) \($0.group)" }
    }

    @Test func `a canary has its share of the first group`() throws {
        #expect(try Self.drawn("one", "b/m", share: 100) == ["a/m 990000 1", "b/m 10000 1"])
        #expect(
            try Self.drawn("two", "b/m", share: 2_500)
                == ["a/m 562500 1", "a/n 187500 1", "b/m 250000 1", "b/n 100 2"])
        // With everything, the others stay behind it, so that a failure is still answered.
        #expect(
            try Self.drawn("two", "b/n", share: 10_000) == ["a/m 30 2", "a/n 10 2", "b/m 0 2", "b/n 1000000 1"])
    }

    @Test func `a target for overload stays one beside a canary that has everything`() throws {
        #expect(
            try Self.drawn("spared", "b/m", share: 10_000) == ["a/m 100 2", "b/n 100 9", "b/m 1000000 1"])
    }

    @Test func `a migration moves the share of one target`() throws {
        #expect(
            try Self.drawn("two", "b/m", from: "a/n", share: 5_000)
                == ["a/m 750000 1", "a/n 125000 1", "b/m 125000 1", "b/n 100 2"])
        #expect(
            try Self.drawn("two", "a/m", from: "a/n", share: 10_000)
                == ["a/m 1000000 1", "a/n 10 2", "b/m 0 1", "b/n 100 3"])
    }

    @Test func `what cannot be compared is refused with the reason`() {
        for (route, target, from, wanted) in [
            ("none", "b/m", nil, "no route"), ("one", "c/m", nil, "provider 'c'"), ("one", "b", nil, "provider/model"),
            ("one", "a/m", nil, "no other target"), ("split", "b/m", nil, "different conditions"),
            ("two", "b/x", "b/n", "gets no first attempts"), ("two", "b/x", "b/m", "gets no first attempts"),
            ("two", "b/x", "c/c", "has no target"), ("two", "a/m", "a/m", "own place"),
            ("split", "a/n", "a/m", "other conditions"),
        ] {
            let problem = Self.cluster().problem(with: CanaryPlan(route: route, target: target, replaced: from))
            #expect(problem?.contains(wanted) == true, "\(route) \(target): \(problem ?? "taken")")
        }
    }

    @Test func `cluster conf says it when its target is alone, or the old one has no weight`() throws {
        let route = try #require(Self.cluster().routes["two"])
        let plan = CanaryPlan(route: "two", target: "b/m", replaced: "a/n")
        #expect(
            !route.hasAdopted(plan)
                && route.adoption(of: plan).contains("target = b/m weight 10, and no weight for a/n"))
        let (after, problems) = ClusterSnapshot.read(
            Self.text.replacing("a/n weight 10", with: "a/n weight 0").replacing("b/m weight 0", with: "b/m weight 10"),
            file: "t")
        #expect(problems.isEmpty && after.routes["two"]?.hasAdopted(plan) == true)
        #expect(try #require(Self.cluster().routes["one"]).hasAdopted(CanaryPlan(route: "one", target: "a/m")))
    }

    @Test func `the canary is drawn as often as its share says, whatever it costs`() throws {
        let plan = CanaryPlan(route: "one", target: "b/m")
        let route = try #require(Self.cluster().routes["one"]).drawn(by: plan, share: 500)
        var chance = Chance(seed: 3)
        for isSlow in [false, true] {
            var busy = TargetHealth()
            for _ in 0..<20 { busy.begin() }
            var drawn = 0
            for _ in 0..<40_000 {
                let place = route.pick(
                    &chance, at: Instant(nanoseconds: 0), canary: 1,
                    health: { ($0 == 1) == isSlow ? busy : TargetHealth() }, isAllowed: { _ in true })
                if place == 1 { drawn += 1 }
            }
            // 2,000 are expected, with a standard deviation of 44.
            #expect((1_800...2_200).contains(drawn), "\(drawn)")
        }
    }

    // MARK: - Runs

    @Test func `a canary goes on from its record where it was`() throws {
        var plan = CanaryTests.plan()
        plan.steps = [1_000, 5_000, 10_000]
        var simulation = CanarySimulation(seed: 5, plan: plan)
        simulation.run(SimulatedTarget(), SimulatedTarget(), limit: 30)
        let run = simulation.run
        #expect(run.steps.count == 2 && run.state == .running && run.share == 5_000)
        let bytes = CanaryRecords.encode([run])
        let read = try #require(CanaryRecords.decode(bytes)?.first)
        #expect(read == run && CanaryRecords.encode([read]) == bytes)
        #expect(CanaryRecords.decode(Array("[{}]".utf8)) == nil && CanaryRecords.decode([]) == nil)
        #expect(CanaryRecords.decode(Array("[]".utf8)) == [])
    }

    @Test func `it waits for its hold and for requests, and says so`() {
        var plan = CanaryTests.plan()
        plan.steps = [1_000, 10_000]
        var run = CanaryRun(plan, who: "t", reason: "", atSeconds: 0)
        var change: CanaryRun.Change?
        change = run.judge(after: .seconds(19), atSeconds: 19)
        #expect(change == nil && run.waiting == "1s of the hold are left")
        change = run.judge(after: .seconds(1), atSeconds: 20)
        #expect(change == nil)
        #expect(run.waiting == "waits for requests: 0 of 200")
        run.take(baseline: Self.counts(2_000, 20), canary: Self.counts(200, 2))
        change = run.judge(after: .seconds(1), atSeconds: 21)
        #expect(change == .stepped && run.share == 10_000)
        run.take(baseline: CanaryCounts(), canary: Self.counts(400, 4))
        change = run.judge(after: .seconds(20), atSeconds: 41)
        #expect(change == .promoted && run.isDrawn)
        let words = [
            run.promote("late", atSeconds: 42), run.abort("taken back", atSeconds: 42),
            run.abort("again", atSeconds: 43),
        ]
        #expect(words == [false, true, false] && run.share == 0 && run.verdict == "taken back")
    }

    @Test func `with all requests a failing target goes back, compared with the step before`() {
        var plan = CanaryTests.plan()
        plan.steps = [5_000, 10_000]
        var run = CanaryRun(plan, who: "t", reason: "", atSeconds: 0)
        var change: CanaryRun.Change?
        run.take(baseline: Self.counts(1_000, 10), canary: Self.counts(1_000, 10))
        change = run.judge(after: .seconds(20), atSeconds: 20)
        #expect(change == .stepped)
        run.take(baseline: CanaryCounts(), canary: Self.counts(300, 150))
        #expect(
            run.judge(after: .seconds(1), atSeconds: 21) == .rolledBack && run.share == 0 && run.state == .rolledBack)
        #expect(run.verdict.hasPrefix("errors: 160 of 1300 requests failed, of the others 10 of 1000"))
    }

    @Test func `a configuration without its provider ends it, one that says the same adopts it`() {
        var run = CanaryRun(CanaryPlan(route: "one", target: "b/m"), who: "t", reason: "", atSeconds: 0)
        let stays = run.follow(Self.cluster(), atSeconds: 1)
        var gone = Self.cluster()
        gone.providers["b"] = nil
        var other = run
        let goes = other.follow(gone, atSeconds: 2)
        #expect(!stays && goes && other.state == .ended && other.verdict.contains("provider 'b'"))
        let isPromoted = run.promote("promoted", atSeconds: 2)
        let isDone = run.follow(Self.cluster(), atSeconds: 3)
        #expect(isPromoted && !isDone)
        let text = Self.text.replacing("[route one]\ntarget = a/m", with: "[route one]\ntarget = b/m")
        let isAdopted = run.follow(ClusterSnapshot.read(text, file: "t").0, atSeconds: 4)
        #expect(isAdopted && run.state == .adopted && !run.isDrawn)
    }

    @Test func `a node of the version before drops what it does not know`() {
        var cluster = Self.cluster()
        cluster.canaries["one"] = RouteCanary(target: "b/m", replaced: nil, run: 9)
        let unknown = ClusterSnapshot.Record(kind: 200, name: "a", body: Array("x = 1".utf8))
        let (read, problems) = ClusterSnapshot.decode(cluster.records + [unknown])
        #expect(problems.isEmpty && read == cluster)
        cluster.shares["a"] = [1: 5]
        var changed = cluster
        var complaints = changed.apply(changed: [unknown], removed: [(201, "a")])
        #expect(complaints.isEmpty && changed == cluster)
        complaints = changed.apply(changed: [], removed: [(9, "one")])
        #expect(complaints.isEmpty && changed.canaries.isEmpty)
        #expect(changed.shares == cluster.shares)
        // It is made by coordinators, never written by people.
        #expect(throws: ClusterConfiguration.Problems.self) {
            try ClusterConfiguration.parse("[canary one]\ntarget = b/m\nrun = 1", file: "t")
        }
    }
}
