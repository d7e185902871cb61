// Which target of a route is asked, when one rests, and how many further attempts there may be.
import Core
import Policy
import Testing

@Suite struct RouteTests {
    private static func route(_ targets: [(weight: Int, group: Int)]) -> RouteRecord {
        var route = RouteRecord(name: "r")
        route.targets = targets.enumerated().map {
            RouteTarget(provider: "p\($0)", model: "m", weight: $1.weight, group: $1.group)
        }
        return route
    }

    private static func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    @Test func `weights hold among targets that do alike`() {
        let route = RouteTests.route([(90, 1), (10, 1), (1_000, 2)])
        var chance = Chance(seed: 1)
        var counts = [0, 0, 0]
        for _ in 0..<10_000 {
            let place = route.pick(
                &chance, at: RouteTests.at(0), health: { _ in TargetHealth() }, isAllowed: { _ in true })
            if let place { counts[place] += 1 }
        }
        #expect((8_800...9_200).contains(counts[0]), "\(counts)")
        #expect(counts[0] + counts[1] == 10_000, "the second group waits")
    }

    @Test func `a busy target has less than an idle one`() {
        let route = RouteTests.route([(100, 1), (100, 1)])
        var busy = TargetHealth()
        for _ in 0..<10 { busy.begin() }
        var chance = Chance(seed: 2)
        var first = 0
        for _ in 0..<4_000 {
            let place = route.pick(
                &chance, at: RouteTests.at(0), health: { $0 == 0 ? busy : TargetHealth() }, isAllowed: { _ in true })
            if place == 0 { first += 1 }
        }
        // Only when both draws fall on it.
        #expect((900...1_100).contains(first), "\(first)")
    }

    @Test func `the next group serves when the first rests or was asked; when all rest they are asked all the same`() {
        let route = RouteTests.route([(100, 1), (100, 2), (0, 3)])
        var chance = Chance(seed: 3)
        var resting = TargetHealth()
        resting.begin()
        resting.end(.throttled(retryAfter: .seconds(5)), at: RouteTests.at(0), &chance)
        func pick(_ second: Double, _ health: [TargetHealth], without: Int? = nil) -> Int? {
            route.pick(&chance, at: RouteTests.at(second), health: { health[$0] }, isAllowed: { $0 != without })
        }
        let fresh = TargetHealth()
        #expect(pick(1, [resting, fresh, fresh]) == 1)
        #expect(pick(6, [resting, fresh, fresh]) == 0)
        #expect(pick(1, [resting, resting, fresh]) == 0)
        #expect(pick(1, [fresh, fresh, fresh], without: 0) == 1)
        #expect(pick(1, [resting, fresh, fresh], without: 1) == 0)
    }

    @Test func `five failures in a row make a rest, one attempt probes, each failed probe doubles the rest`() {
        var chance = Chance(seed: 4)
        var health = TargetHealth()
        for count in 1...5 {
            #expect(health.isUsable(at: RouteTests.at(0)), "\(count)")
            health.begin()
            health.end(.failed, at: RouteTests.at(0), &chance)
        }
        var now = 0.0
        for rest in [1.0, 2, 4, 8, 16, 32, 60, 60] {
            #expect(!health.isUsable(at: RouteTests.at(now + rest * 0.79)), "rest \(rest)")
            now += rest
            #expect(health.isUsable(at: RouteTests.at(now)), "rest \(rest)")
            health.begin()
            #expect(!health.isUsable(at: RouteTests.at(now)), "one probe alone")
            health.end(.failed, at: RouteTests.at(now), &chance)
        }
        health.begin()
        health.end(.well, at: RouteTests.at(now + 61), &chance)
        #expect(health.isUsable(at: RouteTests.at(now + 61)))
        health.begin()
        health.end(.failed, at: RouteTests.at(now + 61), &chance)
        #expect(health.isUsable(at: RouteTests.at(now + 61)), "it begins anew")
    }

    @Test func `a longer rest is not cut short by a shorter one`() {
        var chance = Chance(seed: 5)
        var health = TargetHealth()
        for wait in [10, 1] {
            health.begin()
            health.end(.throttled(retryAfter: .seconds(wait)), at: RouteTests.at(0), &chance)
        }
        #expect(!health.isUsable(at: RouteTests.at(9)))
        #expect(health.isUsable(at: RouteTests.at(10)))
        #expect(health.inFlight == 0)
    }

    @Test func `further attempts are a tenth of the requests, and few in quiet times`() {
        var budget = RetryBudget()
        var taken = 0
        for number in 0..<100_000 {
            budget.noteRequest()
            if budget.take(at: RouteTests.at(Double(number) / 10_000)) { taken += 1 }
        }
        #expect((9_900...10_020).contains(taken), "\(taken)")
        var quiet = RetryBudget()
        #expect((0..<10).filter { _ in quiet.take(at: RouteTests.at(100)) }.count == 3)
        #expect((0..<10).filter { _ in quiet.take(at: RouteTests.at(101)) }.count == 1)
        #expect((0..<10).filter { _ in quiet.take(at: RouteTests.at(160)) }.count == 3)
    }

    @Test func `groups and attempts are published and read back`() {
        var snapshot = ClusterSnapshot()
        var route = RouteTests.route([(90, 1), (10, 2)])
        route.attempts = 5
        (route.firstEventTimeout, route.idleTimeout) = (.milliseconds(700), .seconds(9))
        snapshot.routes["r"] = route
        let (read, problems) = ClusterSnapshot.decode(snapshot.records)
        #expect(problems.isEmpty && read.routes["r"] == route)
    }
}
