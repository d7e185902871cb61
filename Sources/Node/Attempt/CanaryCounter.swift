// What a lane counts of canaries: the first attempts of requests, whose target was drawn and did not follow from a failure.
import Core
import Net
import Policy
import Providers
import Wire

/// The part of a route on trial, as its requests see it.
struct ActiveCanary: Sendable, Equatable {
    /// Names the count.
    let run: UInt32
    /// The target's place in the route.
    let place: Int
    /// A bit for each target that it is compared with.
    let baseline: UInt32

    /// Nil where the route does not have the target.
    init?(_ canary: RouteCanary, on route: RouteRecord) {
        guard let place = route.targets.firstIndex(where: { $0.name == canary.target }) else { return nil }
        (run, self.place) = (canary.run, place)
        baseline = route.targets.enumerated().reduce(0) { bits, target in
            let counts = target.offset != place && (canary.replaced == nil || canary.replaced == target.element.name)
            return counts ? bits | 1 << UInt32(target.offset) : bits
        }
    }
}

/// One lane's counts by route.
struct CanaryCounter: Sendable {
    /// The sums of one canary.
    struct Sums: Sendable {
        let run: UInt32
        var baseline = CanaryCounts()
        var canary = CanaryCounts()
    }

    private(set) var routes: [String: Sums] = [:]

    /// Begins at nothing where a run is new, and forgets what is not published any more.
    mutating func use(_ published: [String: RouteCanary]) {
        guard !published.isEmpty || !routes.isEmpty else { return }
        routes = published.reduce(into: [:]) { kept, canary in
            let known = routes[canary.key]
            kept[canary.key] = known?.run == canary.value.run ? known : Sums(run: canary.value.run)
        }
    }

    /// Changes the sums of the side that the target at `place` is on; of an earlier run nothing counts any more.
    mutating func count(_ route: ActiveRoute, at place: Int, _ change: (inout CanaryCounts) -> Void) {
        guard let canary = route.canary, let found = routes.index(forKey: route.name),
            routes.values[found].run == canary.run
        else { return }
        if place == canary.place {
            change(&routes.values[found].canary)
        } else if canary.baseline & (1 << UInt32(place)) != 0 {
            change(&routes.values[found].baseline)
        }
    }

    mutating func merge(_ other: CanaryCounter) {
        for (route, theirs) in other.routes {
            guard var sums = routes[route], sums.run == theirs.run else {
                // A lane that has not heard of the newest run yet adds nothing to it.
                if routes[route] == nil { routes[route] = theirs }
                continue
            }
            sums.baseline.add(theirs.baseline)
            sums.canary.add(theirs.canary)
            routes[route] = sums
        }
    }

    /// As it is reported; `published` names the runs that count, `turn` the route to begin with, because not all may fit.
    func reported(_ published: [String: RouteCanary], turn: Int) -> [ReportedCanary] {
        let names = routes.keys.sorted().filter { routes[$0]?.run == published[$0]?.run }
        guard !names.isEmpty else { return [] }
        let first = turn % names.count
        return (names[first...] + names[..<first]).compactMap { name in
            routes[name].map { sums in
                var report = ReportedCanary(route: name, run: sums.run)
                report.baseline = CanaryCounter.arm(sums.baseline)
                report.canary = CanaryCounter.arm(sums.canary)
                return report
            }
        }
    }

    private static func arm(_ counts: CanaryCounts) -> ReportedCanary.Arm {
        var arm = ReportedCanary.Arm()
        (arm.attempts, arm.failures) = (UInt64(clamping: counts.attempts), UInt64(clamping: counts.failures))
        (arm.answers, arm.cost) = (UInt64(clamping: counts.answers), UInt64(clamping: counts.cost))
        arm.costSquares = counts.costSquares
        for (bucket, count) in counts.firstTokens.enumerated() where count > 0 {
            arm.firstTokens.append(.init(UInt8(clamping: bucket), UInt32(clamping: count)))
        }
        return arm
    }
}

extension Pipeline {
    /// A request's first attempt has ended: it counts for its side of the route's canary, if there is one.
    static func countFirst(_ exchange: Exchange, _ held: Held, _ attempt: Attempt, firstToken: Duration?) {
        let route = held.caller.route
        guard route.canary != nil, let index = attempt.index else { return }
        let failure = attempt.outcome?.failure
        let sample = LaneTarget.sample(failure)
        // Without a failure the answer is whole.
        let cost = failure == nil && attempt.price != nil ? attempt.bill(held).cost : nil
        exchange.gateway.canaries.count(route, at: index) { counts in
            if let sample {
                counts.attempts += 1
                if sample == .failure { counts.failures += 1 }
            }
            if let firstToken { counts.add(firstToken: firstToken) }
            if let cost { counts.add(answerFor: cost) }
        }
    }
}
