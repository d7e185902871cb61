// What lanes count of canaries: each side by itself, of the present run only, added up over lanes.
import Policy
import Testing

@testable import Node

@Suite struct CanaryCounterTests {
    private static func route(_ canary: RouteCanary?) -> ActiveRoute {
        var record = RouteRecord(name: "r")
        for (provider, group) in [("a", 1), ("b", 1), ("c", 2)] {
            record.targets.append(RouteTarget(provider: provider, model: "m", weight: 100, group: group))
        }
        return ActiveRoute(record, canary.flatMap { ActiveCanary($0, on: record) })
    }

    private static func count(_ counter: inout CanaryCounter, _ route: ActiveRoute) {
        for place in 0..<3 { counter.count(route, at: place) { $0.attempts += 1 } }
    }

    @Test func `all others are compared with the target, or the one that it replaces`() {
        var counter = CanaryCounter()
        for (replaced, others) in [(nil, 2), ("a/m", 1)] as [(String?, UInt64)] {
            let canary = RouteCanary(target: "b/m", replaced: replaced, run: replaced == nil ? 1 : 2)
            counter.use(["r": canary])
            Self.count(&counter, Self.route(canary))
            let reported = counter.reported(["r": canary], turn: 0)
            #expect(reported.first?.baseline.attempts == others && reported.first?.canary.attempts == 1)
        }
        #expect(Self.route(RouteCanary(target: "x/m", replaced: nil, run: 1)).canary == nil)
    }

    @Test func `requests of an earlier run, and routes without a canary, count for nothing`() {
        let (old, new) = (
            RouteCanary(target: "b/m", replaced: nil, run: 1), RouteCanary(target: "b/m", replaced: nil, run: 2)
        )
        var counter = CanaryCounter()
        counter.use(["r": old])
        Self.count(&counter, Self.route(old))
        Self.count(&counter, Self.route(nil))
        counter.use(["r": old])
        #expect(counter.routes["r"]?.canary.attempts == 1, "the same run goes on")
        counter.use(["r": new])
        Self.count(&counter, Self.route(old))
        #expect(counter.routes["r"]?.canary.attempts == 0 && counter.reported(["r": old], turn: 0).isEmpty)
        counter.use([:])
        #expect(counter.routes.isEmpty)
    }

    @Test func `lanes add up, but for one that is still at an earlier run`() {
        let (old, new) = (
            RouteCanary(target: "b/m", replaced: nil, run: 1), RouteCanary(target: "b/m", replaced: nil, run: 2)
        )
        var lanes = [CanaryCounter(), CanaryCounter(), CanaryCounter()]
        for (place, canary) in [new, new, old].enumerated() {
            lanes[place].use(["r": canary])
            Self.count(&lanes[place], Self.route(canary))
        }
        var sum = lanes[0]
        sum.merge(lanes[1])
        sum.merge(lanes[2])
        #expect(sum.reported(["r": new], turn: 3).first?.canary.attempts == 2)
    }

    @Test func `routes take turns to be told first`() {
        let canary = RouteCanary(target: "b/m", replaced: nil, run: 1)
        let published = ["r": canary, "s": canary, "t": canary]
        var counter = CanaryCounter()
        counter.use(published)
        #expect(counter.reported(published, turn: 3).map(\.route) == ["r", "s", "t"])
        #expect(counter.reported(published, turn: 4).map(\.route) == ["s", "t", "r"])
    }
}
