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
        resting.throttled(retryAfter: .seconds(5), at: RouteTests.at(0))
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

    @Test func `a target for overload comes first while there is too much to do, and last in calm times`() {
        let route = RouteTests.route([
            (100, 1), (100, 2), (75, RouteRecord.overloadGroup), (25, RouteRecord.overloadGroup),
        ])
        var chance = Chance(seed: 9)
        func pick(_ isOverloaded: Bool, without: Set<Int> = [], resting: Set<Int> = []) -> Int? {
            var tired = TargetHealth()
            tired.throttled(retryAfter: .seconds(5), at: RouteTests.at(0))
            let rest = tired
            return route.pick(
                &chance, at: RouteTests.at(1), isOverloaded: isOverloaded,
                health: { resting.contains($0) ? rest : TargetHealth() }, isAllowed: { !without.contains($0) })
        }
        #expect((0..<1_000).allSatisfy { _ in pick(false) == 0 })
        let firsts = (0..<4_000).map { _ in pick(true) }
        #expect((2_850...3_150).contains(firsts.count { $0 == 2 }), "weights hold among them")
        #expect(firsts.allSatisfy { $0 == 2 || $0 == 3 })
        // One that rests or was asked gives way, as everywhere.
        #expect(pick(true, resting: [2, 3]) == 0 && pick(true, without: [2, 3]) == 0)
        #expect(pick(true, without: [0, 2, 3]) == 1)
        #expect(pick(true, resting: [0, 1, 2, 3]).map { $0 >= 2 } == true)
        // In calm times it is better than nothing.
        #expect(pick(false, without: [0, 1]).map { $0 >= 2 } == true)
        #expect(pick(false, resting: [0]) == 1)
        #expect(pick(false, without: [0, 1, 2, 3]) == nil && pick(true, without: [0, 1, 2, 3]) == nil)
    }

    @Test func `a target for overload is written and read back, and a route cannot consist of such ones`() throws {
        let provider = "[provider p]\nkind = openai\nbase-url = https://p.example/v1\n"
        let text = "\(provider)[route r]\ntarget = p/big\ntarget = p/small weight 3 group overload priority batch\n"
        let (cluster, problems) = ClusterSnapshot.read(text, file: "t")
        #expect(problems.isEmpty)
        let small = try #require(cluster.routes["r"]?.targets.last)
        #expect(small.isForOverload && small.groupText == "overload" && small.weight == 3)
        #expect(cluster.routes["r"]?.targets.first?.isForOverload == false)
        #expect(cluster.text.contains("target = p/small weight 3 group overload priority batch"))
        #expect(ClusterSnapshot.decode(cluster.records).0 == cluster)
        let alone = "\(provider)[route r]\ntarget = p/big weight 0\ntarget = p/small group overload\n"
        #expect(ClusterSnapshot.read(alone, file: "t").1.map(\.message).first?.contains("besides those of") == true)
    }

    @Test func `a target that is spared this request serves it only when there is no other`() {
        let route = RouteTests.route([(100, 1), (100, 1)])
        var chance = Chance(seed: 7)
        for _ in 0..<100 {
            let place = route.pick(
                &chance, at: RouteTests.at(0), spared: 0b01, health: { _ in TargetHealth() }, isAllowed: { _ in true })
            #expect(place == 1)
        }
        let alone = route.pick(
            &chance, at: RouteTests.at(0), spared: 0b01, health: { _ in TargetHealth() }, isAllowed: { $0 == 0 })
        #expect(alone == 0)
    }

    @Test func `a longer rest is not cut short by a shorter one`() {
        var health = TargetHealth()
        for wait in [10, 1] {
            health.begin()
            health.end()
            health.throttled(retryAfter: .seconds(wait), at: RouteTests.at(0))
        }
        #expect(!health.isUsable(at: RouteTests.at(9)))
        #expect(health.isUsable(at: RouteTests.at(10)))
        #expect(health.inFlight == 0)
    }

    @Test func `further attempts are a tenth of the requests, and few in quiet times`() {
        var budget = RetryBudget()
        var taken = 0
        for _ in 0..<100_000 {
            budget.noteRequest()
            if budget.take() { taken += 1 }
        }
        #expect(taken == 10_000)
        for _ in 0..<100_000 { budget.noteRequest() }
        #expect((0..<200).filter { _ in budget.take() }.count == 100, "more is not saved")
        var due: Int64 = 0
        func count(at second: Double) -> Int {
            (0..<10).filter { _ in
                guard let next = RetryFloor.next(after: due, at: RouteTests.at(second)) else { return false }
                due = next
                return true
            }.count
        }
        #expect(count(at: 100) == 3 && count(at: 100.5) == 0 && count(at: 101) == 1)
        #expect(count(at: 160) == 3, "after a long quiet no more than at first")
    }

    private static func share(of route: RouteRecord, without: Int? = nil, _ prefixes: Int = 20_000) -> [Int?] {
        var chance = Chance(seed: 6)
        return (0..<prefixes).map { number in
            let bytes = Array("the beginning of prompt \(number)".utf8)
            return route.pick(
                &chance, at: at(0), near: PromptPrefix.number(of: bytes.span.raw, length: 64, org: "acme"),
                health: { _ in TargetHealth() }, isAllowed: { $0 != without })
        }
    }

    @Test func `prompts that begin alike choose alike, by weight; a target that goes takes only its own along`() {
        let route = RouteTests.route([(70, 1), (20, 1), (10, 1)])
        let first = RouteTests.share(of: route)
        #expect(first == RouteTests.share(of: route))
        for (place, share) in [0.7, 0.2, 0.1].enumerated() {
            let found = Double(first.count { $0 == place }) / 20_000
            #expect(abs(found - share) < 0.02, "\(place): \(found)")
        }
        let fewer = RouteTests.share(of: route, without: 1)
        #expect(zip(first, fewer).allSatisfy { $0 == 1 || $0 == $1 } && !fewer.contains(1))
    }

    @Test func `a prompt's number depends on its beginning and its org alone`() {
        let long = Array(String(repeating: "0123456789", count: 30).utf8)
        func number(_ bytes: [UInt8], _ length: Int, _ org: String = "acme") -> UInt64 {
            PromptPrefix.number(of: bytes.span.raw, length: length, org: org)
        }
        #expect(number(long, 100) == number(Array(long[..<100]), 100))
        #expect(number(long, 100) == number(Array(long[..<100]) + [1], 100))
        #expect(number(long, 100) != number(long, 101) && number(long, 100) != number(long, 100, "other"))
        #expect(number([], 64) == number([], 64) && number([0], 64) != number([], 64))
        for place in 0..<100 {
            var changed = long
            changed[place] ^= 1
            #expect(number(changed, 100) != number(long, 100), "\(place)")
        }
    }

    @Test func `a preferred target that is busy gives way, within a quarter more than its share`() {
        let route = RouteTests.route([(50, 1), (50, 1)])
        var health = [TargetHealth(), TargetHealth()]
        var chance = Chance(seed: 7)
        for number in 0..<1_000 {
            let place = route.pick(
                &chance, at: RouteTests.at(0), near: 42, health: { health[$0] }, isAllowed: { _ in true })
            guard let place else { return #expect(Bool(false), "there is always one with room") }
            health[place].begin()
            let most = max(health[0].inFlight, health[1].inFlight)
            #expect(most <= max(8, Int((1.25 * Double(number + 1) / 2).rounded(.up))), "\(number): \(most)")
        }
        #expect(abs(health[0].inFlight - health[1].inFlight) >= 240, "and it is preferred")
    }

    @Test func `late is what 19 of 20 first tokens are not, also when they change`() {
        var chance = Chance(seed: 8)
        var slow = SlowFirstToken()
        for _ in 0..<19 { slow.observe(.milliseconds(100)) }
        #expect(slow.time == nil, "too little is known")
        for scale in [100.0, 900, 60] {
            var late = 0
            for number in 0..<20_000 {
                // Between one and nine times as long, the long ones rare.
                let time = Duration.nanoseconds(Int64(scale * 1e6 / (1 - 0.9 * chance.unit())))
                if number >= 10_000, let known = slow.time, time > known { late += 1 }
                slow.observe(time)
            }
            #expect((300...800).contains(late), "\(scale) ms: \(late) of 10,000")
        }
        for _ in 0..<3_000 { slow.observe(.microseconds(1)) }
        #expect(slow.time == SlowFirstToken.shortest)
    }

    @Test func `conditions of one kind are alternatives, of several kinds all must hold`() {
        let target = RouteTarget(
            provider: "p", model: "m", weight: 1,
            conditions: [.team("acme/a"), .team("acme/b"), .feature("chat"), .priority(.batch)])
        #expect(target.serves(team: "acme/b", feature: "chat", priority: .batch))
        #expect(!target.serves(team: "acme/c", feature: "chat", priority: .batch))
        #expect(!target.serves(team: "acme/a", feature: "", priority: .batch))
        #expect(!target.serves(team: "acme/a", feature: "chat", priority: .interactive))
        let anybody = RouteTarget(provider: "p", model: "m", weight: 1)
        #expect(anybody.serves(team: "", feature: "", priority: .batch))
    }

    @Test func `groups and attempts are published and read back`() {
        var snapshot = ClusterSnapshot()
        var route = RouteTests.route([(90, 1), (10, 2)])
        route.attempts = 5
        route.affinity = 1_024
        route.isHedged = true
        route.mirror = RouteMirror(target: RouteTarget(provider: "p1", model: "a/b", weight: 0), share: 205)
        var provider = ProviderRecord(name: "p1")
        provider.baseURL = "https://p1.example/v1"
        provider.drain = DrainBounds(tokens: 70, time: .milliseconds(1_500))
        snapshot.providers["p1"] = provider
        route.targets.append(
            RouteTarget(
                provider: "p9", model: "m", weight: 7, group: 3,
                conditions: [.team("acme/a"), .feature("chat"), .priority(.background)]))
        (route.firstEventTimeout, route.idleTimeout) = (.milliseconds(700), .seconds(9))
        snapshot.routes["r"] = route
        let (read, problems) = ClusterSnapshot.decode(snapshot.records)
        #expect(problems.isEmpty && read.routes["r"] == route, "\(problems)")
        #expect(read.providers["p1"] == provider)
    }
}
