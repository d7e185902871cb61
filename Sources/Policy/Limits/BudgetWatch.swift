// Watches how far budgets are used, from what reservations say is left, and tells each threshold once a window.

/// How near a tenant is to the end of a budget.
public enum BudgetStanding: UInt8, Sendable, Comparable {
    /// No threshold is reached.
    case within
    /// The first threshold is reached.
    case near
    /// All of it is used or held.
    case over

    /// Nearer to the end is more.
    public static func < (left: BudgetStanding, right: BudgetStanding) -> Bool { left.rawValue < right.rawValue }
}

/// A budget reached one of its thresholds.
public struct BudgetWarning: Hashable, Sendable {
    /// The budget.
    public let limit: Limit
    /// The threshold, in percent.
    public let percent: UInt8
    /// What is used and held, in micro-USD.
    public let used: Int64
}

/// The budgets of many tenants, as one lane sees them. Each lane tells a threshold once in each window.
public struct BudgetWatch: Sendable {
    private struct Place: Hashable {
        let tenant: Tenant
        let scope: LimitScope
        let period: LimitPeriod
    }

    private var told: [Place: (window: Int64, percent: UInt8)] = [:]
    /// Budgets beyond a threshold that are remembered, at about 200 B each; beyond, all are forgotten and told once more.
    public static let placeLimit = 4_096

    /// Nothing told yet.
    public init() {}

    /// Looks at what a reservation left. Returns where the tenant stands, and what has to be told.
    public mutating func look(
        at grant: QuotaGrant, of limits: LimitSet, for tenant: Tenant
    ) -> (standing: BudgetStanding, warnings: [BudgetWarning]) {
        var standing = BudgetStanding.within
        var warnings: [BudgetWarning] = []
        for (index, limit) in limits.limits.enumerated() where limit.unit == .microUSD {
            guard grant.remaining.indices.contains(index) else { continue }
            let found = look(at: limit, remaining: grant.remaining[index], for: tenant, at: grant.atMicroseconds)
            standing = max(standing, found.standing)
            if let warning = found.warning { warnings.append(warning) }
        }
        return (standing, warnings)
    }

    /// Looks at one budget, for example the one that refused a request: then nothing of it is left.
    public mutating func look(
        at limit: Limit, remaining: Int64, for tenant: Tenant, at now: Int64
    ) -> (standing: BudgetStanding, warning: BudgetWarning?) {
        let used = limit.amount - min(max(0, remaining), limit.amount)
        let reached = limit.warnings.last { used * 100 >= limit.amount * Int64($0) }
        let standing = used >= limit.amount ? BudgetStanding.over : reached == nil ? .within : .near
        guard let reached else { return (standing, nil) }
        let place = Place(tenant: tenant.path(to: limit.scope), scope: limit.scope, period: limit.period)
        let length: Int64 = if case .microseconds(let length) = limit.period { length } else { 0 }
        let window = Window(period: length, holding: now).start
        if let known = told[place], known.window == window, known.percent >= reached { return (standing, nil) }
        if told.count >= Self.placeLimit { told.removeAll(keepingCapacity: true) }
        told[place] = (window, reached)
        return (standing, BudgetWarning(limit: limit, percent: reached, used: used))
    }
}

extension Tenant {
    /// The part of the path that a scope counts; what lies below it is empty.
    func path(to scope: LimitScope) -> Tenant {
        switch scope {
        case .org: Tenant(org: org, team: "", key: "")
        case .team: Tenant(org: org, team: team, key: "")
        case .key: Tenant(org: org, team: team, key: key)
        case .feature: Tenant(org: org, team: team, key: "", feature: feature)
        }
    }

    /// The part of the path that a scope counts, in words: `team acme/search`.
    public func words(for scope: LimitScope) -> String {
        switch scope {
        case .org: "org \(org)"
        case .team: "team \(org)/\(team)"
        case .key: "key \(key) of \(org)/\(team)"
        case .feature: "feature \(feature) of \(org)/\(team)"
        }
    }
}
