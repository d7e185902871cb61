// Which target of a route is asked next: groups in their order, within a group by weight and by how its targets do.
import Core

extension RouteRecord {
    /// The most targets of a route: each has a bit in the set of those that were asked.
    public static let targetLimit = 32
    /// The highest number of a group.
    public static let groupLimit = 8
    /// The group of targets that spare the node: asked first while it has too much to do, else last.
    public static let overloadGroup = 9

    /// The place of the target that is asked next; nil when none is left.
    ///
    /// The first group with a usable target serves: two are drawn by weight, with replacement, and the cheaper of the two is
    /// taken. So weights hold, and between two that were drawn the less busy and faster one wins. When every target rests, they
    /// are asked all the same, in the order of their groups: resting prefers others, it does not refuse. `isAllowed` leaves out
    /// what this request may not use, such as a target that it has asked already; `spared`, a bit a place, is for when there is nothing
    /// else. `isOverloaded` puts `overloadGroup` before the others; otherwise it is what is left when they cannot serve.
    ///
    /// With the number of a prompt's beginning nothing is drawn: the target that most wants such prompts is taken, and the next one while
    /// it has more than its share of the calls under way.
    ///
    /// `canary`, the place of a target on trial, has exactly its share: being drawn decides, and neither its speed nor its load. Otherwise a
    /// slow one would hardly be asked, and its requests would not be like those of the others.
    public func pick(
        _ chance: inout Chance, at now: Instant, near prefix: UInt64? = nil, spared: UInt32 = 0,
        canary: Int? = nil, isOverloaded: Bool = false, health: (Int) -> TargetHealth, isAllowed: (Int) -> Bool
    ) -> Int? {
        if targets.count == 1 { return targets[0].weight > 0 && isAllowed(0) ? 0 : nil }
        for mayRest in [false, true] {
            for turn in 1...RouteRecord.overloadGroup {
                let group = isOverloaded ? (turn == 1 ? RouteRecord.overloadGroup : turn - 1) : turn
                let place = pick(group, &chance, prefix, canary, health) { place in
                    isAllowed(place)
                        && (mayRest || spared & (1 << UInt32(place)) == 0 && health(place).isUsable(at: now))
                }
                if let place { return place }
            }
        }
        return nil
    }

    private func pick(
        _ group: Int, _ chance: inout Chance, _ prefix: UInt64?, _ canary: Int?, _ health: (Int) -> TargetHealth,
        _ fits: (Int) -> Bool
    ) -> Int? {
        var total = 0
        for place in targets.indices where targets[place].group == group && fits(place) {
            total += targets[place].weight
        }
        if total > 0, let prefix { return nearest(group, prefix, total, health, fits) }
        guard total > 0, let first = draw(group, total, &chance, fits), let second = draw(group, total, &chance, fits)
        else { return nil }
        if let canary, first == canary || second == canary { return first }
        return health(second).cost < health(first).cost ? second : first
    }

    private func nearest(
        _ group: Int, _ prefix: UInt64, _ total: Int, _ health: (Int) -> TargetHealth, _ fits: (Int) -> Bool
    ) -> Int? {
        var running = 1
        for place in targets.indices where targets[place].group == group && fits(place) {
            running += health(place).inFlight
        }
        var best: (place: Int, score: Double)?
        for place in targets.indices where targets[place].group == group && fits(place) {
            let target = targets[place]
            let share = PromptPrefix.slack * Double(running) * Double(target.weight) / Double(total)
            // Rounded up, and with slack: there is always a target with room.
            guard target.weight > 0, health(place).inFlight < max(PromptPrefix.quiet, Int(share.rounded(.up))) else {
                continue
            }
            let score = PromptPrefix.score(prefix, target.number, weight: target.weight)
            if score > best?.score ?? -1 { best = (place, score) }
        }
        return best?.place
    }

    private func draw(_ group: Int, _ total: Int, _ chance: inout Chance, _ fits: (Int) -> Bool) -> Int? {
        var rest = Int(chance.below(UInt64(total)))
        for place in targets.indices where targets[place].group == group && fits(place) {
            if rest < targets[place].weight { return place }
            rest -= targets[place].weight
        }
        return nil
    }
}

extension RouteTarget {
    /// True for one that requests go to while the node has too much to do.
    public var isForOverload: Bool { group == RouteRecord.overloadGroup }

    /// Its group as it is written.
    public var groupText: String { isForOverload ? "overload" : "\(group)" }
}
