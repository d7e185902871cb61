// Picks a target of a route by weight.
import Core

extension RouteRecord {
    /// A target by chance in proportion to the weights; nil when all weights are zero.
    public func pick(_ chance: inout Chance) -> RouteTarget? {
        let total = targets.reduce(0) { $0 + $1.weight }
        guard total > 0 else { return nil }
        if targets.count == 1 { return targets[0] }
        var place = Int(chance.below(UInt64(total)))
        for target in targets {
            if place < target.weight { return target }
            place -= target.weight
        }
        return nil
    }
}
