// The limits that apply to one tenant path, checked together, with the layout by which the scripts read them.

/// All limits of one request on its path org → team → key (and feature). Immutable; made once per tenant and configuration.
public struct LimitSet: Sendable, Hashable {
    /// The version of the configuration it was made from.
    public let version: UInt64
    /// The limits in the order in which they are checked and reported: by scope, then as written.
    public var limits: [Limit] { layout.limits }
    /// How the limits are laid out for the scripts.
    public let layout: LimitLayout

    /// The most limits that one decision checks: 32 × 34 bytes of plan, about 40 µs of Redis at the very most.
    public static let maximumCount = 32

    /// No limits at all: every reservation is granted, and remembered.
    public static let unlimited = LimitSet()

    private init() {
        version = 0
        layout = LimitLayout(of: [])
    }

    /// A set of limits.
    ///
    /// - Throws: `LimitProblem.tooMany`, or `.repeated` when two limits would share a counter.
    public init(version: UInt64, limits: [Limit]) throws(LimitProblem) {
        guard limits.count <= Self.maximumCount else { throw .tooMany(limits.count) }
        // A stable sort by scope: within one scope the order of the configuration stays.
        let ordered = LimitScope.allCases.flatMap { scope in limits.filter { $0.scope == scope } }
        var names = Set<String>()
        for limit in ordered {
            guard names.insert("\(limit.scope.rawValue)\(limit.field)").inserted else {
                throw .repeated(limit.scope, limit.unit)
            }
        }
        self.version = version
        layout = LimitLayout(of: ordered)
    }

    /// The same version and the same limits.
    public static func == (left: LimitSet, right: LimitSet) -> Bool {
        left.version == right.version && left.limits == right.limits
    }

    /// Hashes the version and the limits.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(version)
        hasher.combine(limits)
    }
}

/// Which counter fields the limits use in the Redis hash of each scope, and the limits as numbers for the scripts.
///
/// Field names carry unit, algorithm and period but not the amount: raising a limit keeps its count, changing its period starts anew.
public final class LimitLayout: Sendable {
    /// The limits, in order.
    public let limits: [Limit]
    /// One scope that has limits.
    public struct Group: Sendable {
        /// The scope.
        public let scope: LimitScope
        /// Where its limits stand in `LimitSet.limits`.
        public let range: Range<Int>
        /// A concurrency limit is among them: reservations are counted while they last.
        public let holdsRequests: Bool
        /// A money limit is among them: reserved money is held while it lasts.
        public let holdsMoney: Bool
        /// Names of the hash fields of its limits, in order.
        public let fields: [String]
    }

    /// What the end of one request looks at.
    public struct End: Sendable {
        /// As `LimitLayout.plan`, also with the scopes of which nothing but what is held matters.
        public fileprivate(set) var plan: [UInt8] = []
        /// Names of the hash fields of all scopes, in order.
        public fileprivate(set) var fields: [String] = []
        /// As `LimitLayout.logs`.
        public fileprivate(set) var logs: [(scope: LimitScope, field: String)] = []
    }

    /// The scopes that have limits, in order.
    public let groups: [Group]
    /// The plan as the scripts read it: per scope `scope, limits, fields, holds` (1 byte each), then per limit kind and unit
    /// (1 byte each) and four little-endian doubles (`LimitRule.numbers`).
    public let plan: [UInt8]
    /// The same for the end of a request that counts as one: without limits on requests and concurrency, of which nothing changes then.
    public let end: End
    /// The rules with their numbers, in the order of the limits.
    public let rules: [LimitRule]
    /// The logs of sliding windows, in order: each has a key of its own.
    public let logs: [(scope: LimitScope, field: String)]
    /// Counter fields of all scopes together.
    public let fieldCount: Int

    init(of limits: [Limit]) {
        self.limits = limits
        var groups: [Group] = []
        var plan: [UInt8] = []
        var ended = End()
        rules = limits.map(LimitRule.init)
        var start = 0
        while start < limits.count {
            let scope = limits[start].scope
            let end = limits[start...].firstIndex { $0.scope != scope } ?? limits.count
            let group = Group(
                scope: scope, range: start..<end,
                holdsRequests: limits[start..<end].contains { $0.unit == .concurrency },
                holdsMoney: limits[start..<end].contains { $0.unit == .microUSD },
                fields: limits[start..<end].flatMap(\.fields))
            let holds: UInt8 = (group.holdsRequests ? 1 : 0) | (group.holdsMoney ? 2 : 0)
            plan += [scope.rawValue, UInt8(end - start), UInt8(group.fields.count), holds]
            for rule in rules[start..<end] { rule.append(to: &plan) }
            let changing = (start..<end).filter { ![.requests, .concurrency].contains(limits[$0].unit) }
            ended.plan += [scope.rawValue, UInt8(changing.count), UInt8(changing.count), holds]
            for index in changing { rules[index].append(to: &ended.plan) }
            ended.fields += changing.flatMap { limits[$0].fields }
            ended.logs += Self.logs(of: changing.map { limits[$0] })
            groups.append(group)
            start = end
        }
        self.groups = groups
        self.plan = plan
        self.end = ended
        logs = Self.logs(of: limits)
        fieldCount = groups.reduce(0) { $0 + $1.fields.count }
    }

    private static func logs(of limits: [Limit]) -> [(scope: LimitScope, field: String)] {
        limits.filter { $0.unit != .concurrency && $0.algorithm == .slidingWindow }.map { ($0.scope, $0.field) }
    }
}

extension Limit {
    /// The stem of its field names: kind, unit, period.
    var field: String {
        let kind = ["", "b", "f", "l", "c"][Int(algorithm.rawValue)]
        let counted = ["", "r", "i", "o", "t", "n", "u"][Int(unit.rawValue)]
        if unit == .concurrency { return "n" }
        switch period {
        case .calendarMonth: return "\(kind)\(counted)M"
        case .microseconds(let microseconds): return "\(kind)\(counted)\(microseconds / 1000)"
        }
    }

    /// Names of its fields in the hash of its scope: one, or none for concurrency, which counts holds.
    var fields: [String] {
        unit == .concurrency ? [] : [field]
    }
}
