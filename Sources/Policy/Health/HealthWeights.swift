// What the health of targets does to their weights: those that fail keep a hundredth, and only where another one works.
import Core

/// How a target stands, as far as weights are concerned.
public struct TargetStanding: Sendable, Equatable {
    /// Known to work.
    public var isHealthy: Bool
    /// The part of its weight that it may have, in per cent.
    public var percent: Int

    /// Nothing speaks against it, and nothing for it.
    public static let unknown = TargetStanding(isHealthy: false, percent: 100)

    /// A standing of its parts.
    public init(isHealthy: Bool, percent: Int) {
        self.isHealthy = isHealthy
        self.percent = percent
    }
}

extension RouteRecord {
    /// The highest weight that a route may name.
    static let highestWeight = 1_000_000

    /// This route with the weights that nodes should use.
    ///
    /// Only the ratios within a group matter, so a group in which something fails is scaled up by 100 before parts are taken: a hundredth of a
    /// weight of 1 is 1 beside 100. A weight of 0 stays 0, and no other becomes 0. A group without a target that is known to work stays as it was
    /// configured: sparing a target means nothing where nobody else can serve.
    public func weighed(_ standing: (String) -> TargetStanding) -> RouteRecord {
        var weighed = self
        for group in Set(targets.map(\.group)) {
            let places = targets.indices.filter { targets[$0].group == group && targets[$0].weight > 0 }
            let standings = places.map { standing("\(targets[$0].provider)/\(targets[$0].model)") }
            guard let best = standings.filter(\.isHealthy).map(\.percent).max() else { continue }
            // Where all that work are recovering, nobody has the rest of their requests.
            let usual = standings.filter { $0.percent > 1 }.map(\.percent).max() ?? best
            let percents = standings.map { $0.percent > 1 ? $0.percent * 100 / usual : $0.percent }
            guard percents.contains(where: { $0 < 100 }) else { continue }
            let highest = places.map { targets[$0].weight }.max() ?? 1
            let scale = max(1, min(100, RouteRecord.highestWeight / highest))
            for (place, percent) in zip(places, percents) {
                weighed.targets[place] = targets[place].weighing(max(1, targets[place].weight * scale * percent / 100))
            }
        }
        return weighed
    }
}

extension RouteTarget {
    /// This target with another weight.
    func weighing(_ weight: Int) -> RouteTarget {
        RouteTarget(provider: provider, model: model, weight: weight, group: group, conditions: conditions)
    }
}
