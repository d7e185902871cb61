// A route with a canary's share drawn in, and why a plan does not fit a configuration.
import Core

/// What nodes are told of a canary beside the route's weights: what to count.
public struct RouteCanary: Sendable, Equatable {
    /// The target on trial, as `provider/model`.
    public internal(set) var target: String
    /// The only target that it is compared with; nil: all others of the route.
    public internal(set) var replaced: String?
    /// Names the count: a new number begins at nothing on all nodes.
    public internal(set) var run: UInt32

    /// A canary of its parts.
    public init(target: String, replaced: String?, run: UInt32) {
        (self.target, self.replaced, self.run) = (target, replaced, run)
    }
}

extension RouteTarget {
    /// As people name it.
    public var name: String { "\(provider)/\(model)" }
}

extension RouteRecord {
    /// What the weights of a group add up to, about, while a canary is drawn in.
    private static let whole = 1_000_000

    /// This route with the plan's target drawn for `share` hundredths of a per cent of the requests of group 1.
    ///
    /// With all of them, what it replaces stays behind it in a group of its own: a failure is still answered.
    public func drawn(by plan: CanaryPlan, share: Int) -> RouteRecord {
        guard let fresh = newTarget(for: plan) else { return self }
        var drawn = self
        let first = targets.filter { $0.group == 1 && (plan.replaced != nil || $0.name != plan.target) }
        let total = first.reduce(0) { $0 + $1.weight }
        guard total > 0 else { return self }
        var moved = 0
        let isWhole = share >= 10_000
        drawn.targets = targets.filter { $0.name != plan.target }.map { target in
            if target.isForOverload { return target }
            guard target.group == 1 else { return isWhole ? target.placed(in: target.group + 1) : target }
            let own = (Double(target.weight) / Double(total) * Double(RouteRecord.whole)).rounded()
            guard plan.replaced == nil || plan.replaced == target.name else {
                return target.placed(in: 1, weight: target.weight == 0 ? 0 : max(1, Int(own)))
            }
            let part = Int((own * Double(share) / 10_000).rounded())
            moved += part
            if isWhole { return target.placed(in: 2) }
            return target.placed(in: 1, weight: target.weight == 0 ? 0 : max(1, Int(own) - part))
        }
        // A migration's target keeps the share that it had itself.
        let had = plan.replaced == nil ? 0 : first.first { $0.name == plan.target }?.weight ?? 0
        let kept = Int((Double(had) / Double(total) * Double(RouteRecord.whole)).rounded())
        let weight = min(RouteRecord.whole, max(1, moved + kept))
        let place = targets.firstIndex { $0.name == plan.target } ?? drawn.targets.count
        drawn.targets.insert(fresh.placed(in: 1, weight: weight), at: place)
        return drawn
    }

    /// The target as the route has it, or a new one for those whom the first group serves; nil when it cannot be told whom.
    private func newTarget(for plan: CanaryPlan) -> RouteTarget? {
        if let known = targets.first(where: { $0.name == plan.target }) { return known }
        let parts = plan.target.split(separator: "/", maxSplits: 1).map(String.init)
        let models = targets.filter { plan.replaced == nil ? $0.group == 1 : $0.name == plan.replaced }
        guard parts.count == 2, let conditions = models.first?.conditions,
            models.allSatisfy({ $0.conditions == conditions })
        else { return nil }
        return RouteTarget(provider: parts[0], model: parts[1], weight: 0, conditions: conditions)
    }

    /// Why the plan cannot be carried out on this route; nil when it can.
    fileprivate func problem(with plan: CanaryPlan) -> String? {
        let known = targets.map(\.name).joined(separator: ", ")
        let serving = targets.filter { $0.group == 1 && $0.weight > 0 && $0.name != plan.target }
        if let replaced = plan.replaced {
            guard replaced != plan.target else { return "a target cannot take its own place" }
            guard let old = targets.first(where: { $0.name == replaced }) else {
                return "'\(name)' has no target '\(replaced)'; it has \(known)"
            }
            guard old.group == 1, old.weight > 0 else {
                return "'\(replaced)' gets no first attempts of '\(name)': only a target of group 1 with a weight is "
                    + "replaced step by step; edit cluster.conf instead"
            }
            if let own = targets.first(where: { $0.name == plan.target }), own.conditions != old.conditions {
                return "'\(plan.target)' has other conditions than '\(replaced)', whose requests it would have to serve"
            }
        } else if serving.isEmpty {
            return "'\(name)' has no other target in group 1 that '\(plan.target)' could be compared with"
        }
        if targets.count == RouteRecord.targetLimit, !targets.contains(where: { $0.name == plan.target }) {
            return "'\(name)' has \(RouteRecord.targetLimit) targets already, which is the most"
        }
        if newTarget(for: plan) == nil {
            return "the targets of group 1 of '\(name)' have different conditions: write '\(plan.target)' with its own "
                + "into cluster.conf, with weight 0"
        }
        return nil
    }

    /// True when the configured route says what the plan led to.
    public func hasAdopted(_ plan: CanaryPlan) -> Bool {
        let serving = targets.filter { $0.group == 1 && $0.weight > 0 }
        guard serving.contains(where: { $0.name == plan.target }) else { return false }
        if let replaced = plan.replaced { return !serving.contains { $0.name == replaced } }
        return serving.count == 1
    }

    /// The line that says what the plan led to, for cluster.conf.
    public func adoption(of plan: CanaryPlan) -> String {
        let replaced = plan.replaced.flatMap { name in targets.first { $0.name == name } }
        let had = plan.replaced == nil ? 0 : targets.first { $0.name == plan.target && $0.group == 1 }?.weight ?? 0
        let conditions = (newTarget(for: plan)?.conditions ?? []).map { " \($0.text)" }.joined()
        let line = "target = \(plan.target) weight \((replaced?.weight ?? 100) + had)\(conditions)"
        guard let name = plan.replaced else {
            return "[route \(self.name)] \(line), and no other target in group 1"
        }
        return "[route \(self.name)] \(line), and no weight for \(name)"
    }
}

extension RouteTarget {
    fileprivate func placed(in group: Int, weight: Int? = nil) -> RouteTarget {
        RouteTarget(
            provider: provider, model: model, weight: weight ?? self.weight, group: min(group, RouteRecord.groupLimit),
            conditions: conditions)
    }
}

extension ClusterSnapshot {
    /// Why the plan cannot be carried out in this cluster, in words for the operator; nil when it can.
    public func problem(with plan: CanaryPlan) -> String? {
        guard let route = routes[plan.route] else { return "there is no route '\(plan.route)'" }
        let parts = plan.target.split(separator: "/", maxSplits: 1).map(String.init)
        guard parts.count == 2, !parts[1].isEmpty, plan.target.utf8.count <= 128,
            !plan.target.hasControls, !plan.target.utf8.contains(where: { $0 == 0x20 || $0 == UInt8(ascii: "#") })
        else { return "a target is named as provider/model, at most 128 bytes, found '\(plan.target.visible())'" }
        guard providers[parts[0]] != nil else { return "the provider '\(parts[0])' does not exist" }
        if let problem = route.problem(with: plan) { return problem }
        let tenants = Array(orgs.values) + Array(teams.values)
        let hasBudget = tenants.contains { ($0.limits + $0.keyLimits).contains { $0.unit == .microUSD } }
        if hasBudget, prices[parts[1]] == nil {
            return "'\(parts[1])' has no price, and there is a limit in dollars: write '\(plan.target)' into "
                + "[route \(plan.route)] with weight 0 and apply that first, so that its price is published"
        }
        return nil
    }
}
