// The part of the configuration that coordinators publish and nodes enforce, as records that travel.
import Core

/// Everything that nodes need to serve requests. Published whole; immutable.
public struct ClusterSnapshot: Sendable, Equatable {
    /// Providers by name.
    public var providers: [String: ProviderRecord] = [:]
    /// Routes by alias.
    public var routes: [String: RouteRecord] = [:]
    /// Orgs by name.
    public var orgs: [String: TenantRecord] = [:]
    /// Teams by `org/team`.
    public var teams: [String: TenantRecord] = [:]
    /// Keys by id.
    public var keys: [String: KeyRecord] = [:]
    /// Prices by model.
    public var prices: [String: ModelPrice] = [:]
    /// Identifies the content of `prices`.
    public var priceVersion: PriceVersion { PriceVersion(of: prices) }
    /// Published keys that this version cannot read, with the reason: they have no rights, the others go on.
    public internal(set) var unreadableKeys: [String: String] = [:]
    /// How many routes an operator confirmed to be left, after most of them were taken away on purpose.
    public var confirmedRouteCount: Int?

    /// How many nodes share the limits, as far as the coordinator knows; counted generously.
    public var fleet = 1

    /// Calls at once that each node may have at a provider, by provider and node's number; only of providers with a capacity.
    public var shares: [String: [UInt32: Int]] = [:]

    /// How many client connections nodes should come down to that have clearly more than their share, by their numbers.
    public var connectionLevels: [UInt32: Int] = [:]

    /// What nodes count of canaries, by route; the weights of these routes have the canary's share already.
    public var canaries: [String: RouteCanary] = [:]

    /// An empty cluster.
    public init() {}

    /// One record: a section of the configuration's own syntax, so that one parser reads both.
    public struct Record: Sendable, Equatable {
        /// The section's kind, numbered.
        public let kind: UInt8
        /// The section's name.
        public let name: String
        /// The section's lines.
        public let body: [UInt8]

        /// A record of its three parts.
        public init(kind: UInt8, name: String, body: [UInt8]) {
            self.kind = kind
            self.name = name
            self.body = body
        }
    }

    /// The kinds in the order of their numbers. A number keeps its meaning for ever: nodes of the version before read it too.
    static let kinds = [
        "provider", "route", "org", "team", "price", "key", "confirmation", "fleet", "share", "canary", "spread",
    ]

    /// The largest snapshot that is read, in bytes: 100,000 keys of 300 bytes, twice. The wire carries no more either.
    public static let sizeLimit = 64 << 20

    /// All records, in a stable order.
    public var records: [Record] {
        var records: [Record] = []
        func add(_ kind: UInt8, _ name: String, _ lines: [String]) {
            records.append(Record(kind: kind, name: name, body: Array(lines.joined(separator: "\n").utf8)))
        }
        for (name, provider) in providers.sorted(by: { $0.key < $1.key }) { add(0, name, provider.lines) }
        for (name, route) in routes.sorted(by: { $0.key < $1.key }) { add(1, name, route.lines) }
        for (name, org) in orgs.sorted(by: { $0.key < $1.key }) { add(2, name, org.lines) }
        for (name, team) in teams.sorted(by: { $0.key < $1.key }) { add(3, name, team.lines) }
        for (name, price) in prices.sorted(by: { $0.key < $1.key }) { add(4, name, price.lines) }
        for (name, key) in keys.sorted(by: { $0.key < $1.key }) { add(5, name, key.lines) }
        if let confirmedRouteCount { add(6, "routes", ["routes = \(confirmedRouteCount)"]) }
        if fleet != 1 { add(7, "nodes", ["count = \(fleet)"]) }
        for (name, nodes) in shares.sorted(by: { $0.key < $1.key }) {
            add(8, name, nodes.sorted { $0.key < $1.key }.map { "node = \($0) \($1)" })
        }
        for (name, canary) in canaries.sorted(by: { $0.key < $1.key }) { add(9, name, canary.lines) }
        if !connectionLevels.isEmpty {
            // No provider can have this name: nodes of the version before take what they do not know for one's share.
            let lines = connectionLevels.sorted { $0.key < $1.key }.map { "node = \($0) \($1)" }
            add(10, "connections/nodes", lines)
        }
        return records
    }

    /// Reads records back; problems name the record.
    public static func decode(_ records: [Record]) -> (ClusterSnapshot, [ConfigurationProblem]) {
        read(text(of: records), file: "snapshot")
    }

    /// All records as one text in the configuration's syntax, as it is kept on disk.
    public var text: String { ClusterSnapshot.text(of: records) }

    private static func text(of records: [Record]) -> String {
        var text = ""
        for record in records where Int(record.kind) < kinds.count {
            text += "[\(kinds[Int(record.kind)]) \(record.name)]\n\(String(decoding: record.body, as: UTF8.self))\n"
        }
        return text
    }

    /// Reads what `text` wrote.
    public static func read(_ text: String, file: String) -> (ClusterSnapshot, [ConfigurationProblem]) {
        let (document, syntax) = ConfigurationDocument.parse(text, file: file, limit: sizeLimit)
        var reader = SnapshotReader(file: file, isPublished: true)
        for section in document.sections { reader.read(section) }
        return (reader.snapshot, syntax + reader.problems)
    }

    /// This snapshot with the routes of `current`, and what they need: what a guard does that holds on to its routes. Keys and
    /// tenants are the new ones, so that a right that was taken away is gone all the same.
    public func keepingRoutes(of current: ClusterSnapshot) -> ClusterSnapshot {
        var kept = self
        kept.routes = current.routes
        kept.providers = current.providers
        kept.prices = current.prices
        kept.confirmedRouteCount = current.confirmedRouteCount
        return kept
    }

    /// Takes over the changed records, and drops the removed ones: what an UPDATE says.
    ///
    /// - Returns: problems; when there are any the snapshot stays as it was.
    public mutating func apply(
        changed: [Record], removed: [(kind: UInt8, name: String)]
    ) -> [ConfigurationProblem] {
        let (fresh, problems) = ClusterSnapshot.decode(changed)
        guard problems.isEmpty else { return problems }
        for (kind, name) in removed + changed.map({ ($0.kind, $0.name) }) {
            switch kind {
            case 0: providers[name] = nil
            case 1: routes[name] = nil
            case 2: orgs[name] = nil
            case 3: teams[name] = nil
            case 4: prices[name] = nil
            case 5: (keys[name], unreadableKeys[name]) = (nil, nil)
            case 6: confirmedRouteCount = nil
            case 7: fleet = 1
            case 8: shares[name] = nil
            case 9: canaries[name] = nil
            case 10: connectionLevels = [:]
            // Of a later version: what it says is not known here, and neither is its end.
            default: break
            }
        }
        providers.merge(fresh.providers) { $1 }
        routes.merge(fresh.routes) { $1 }
        orgs.merge(fresh.orgs) { $1 }
        teams.merge(fresh.teams) { $1 }
        prices.merge(fresh.prices) { $1 }
        keys.merge(fresh.keys) { $1 }
        unreadableKeys.merge(fresh.unreadableKeys) { $1 }
        if let count = fresh.confirmedRouteCount { confirmedRouteCount = count }
        if fresh.fleet != 1 { fleet = fresh.fleet }
        shares.merge(fresh.shares) { $1 }
        if !fresh.connectionLevels.isEmpty { connectionLevels = fresh.connectionLevels }
        canaries.merge(fresh.canaries) { $1 }
        return []
    }
}

extension ProviderRecord {
    var lines: [String] {
        var lines = ["kind = \(kind.rawValue)", "base-url = \(baseURL)"]
        if allowsPlainHTTP { lines.append("allow-plain-http = yes") }
        if let apiKey { lines.append("api-key = \(apiKey)") }
        if let ca { lines.append("ca = \(ca)") }
        if usesLegacyLimitField { lines.append("limit-field = max_tokens") }
        // What is usual is left out: nodes that do not know the line refuse the whole state for it.
        if streamOptions != .full { lines.append("stream-options = \(streamOptions.rawValue)") }
        if userField != .safetyIdentifier { lines.append("user-field = \(userField.rawValue)") }
        if developerRole != .developer { lines.append("developer-role = \(developerRole.rawValue)") }
        if !passthrough.names.isEmpty { lines.append("passthrough = \(passthrough.text)") }
        if !hasBreaker { lines.append("breaker = no") }
        if let capacity { lines.append("capacity = \(capacity)") }
        lines.append("max-connections = \(maximumConnections)")
        lines.append("max-concurrency = \(concurrency.upperBound)")
        lines.append("min-concurrency = \(concurrency.lowerBound)")
        lines.append("connect-timeout = \(ConfigurationValue.words(connectTimeout))")
        lines.append("first-event-timeout = \(ConfigurationValue.words(firstEventTimeout))")
        lines.append("idle-timeout = \(ConfigurationValue.words(idleTimeout))")
        if let drain {
            lines.append("on-cancel = drain \(drain.tokens) tokens \(ConfigurationValue.words(drain.time))")
        }
        if let probe {
            lines.append("probe = \(probe.text)")
            if probe.hasOwnBudget { lines.append("probe-budget = \(probe.budget) / hour") }
        }
        return lines
    }
}

extension RouteRecord {
    var lines: [String] {
        // What is usual is left out, so that nodes of the version before can read it.
        var lines = ["max-output = \(maximumOutputTokens)"]
        if attempts != 3 { lines.append("attempts = \(attempts)") }
        if let firstEventTimeout {
            lines.append("first-event-timeout = \(ConfigurationValue.words(firstEventTimeout))")
        }
        if let idleTimeout { lines.append("idle-timeout = \(ConfigurationValue.words(idleTimeout))") }
        if let affinity { lines.append("affinity = \(affinity)") }
        if isHedged { lines.append("hedge = interactive") }
        if let mirror { lines.append("mirror = \(mirror.text)") }
        for target in targets {
            let group = target.group == 1 ? "" : " group \(target.groupText)"
            let conditions = target.conditions.map { " \($0.text)" }.joined()
            lines.append("target = \(target.provider)/\(target.model) weight \(target.weight)\(group)\(conditions)")
        }
        return lines
    }
}

extension RouteCanary {
    var lines: [String] {
        ["target = \(target)", "run = \(run)"] + (replaced.map { ["replaced = \($0)"] } ?? [])
    }
}

extension TenantRecord {
    var lines: [String] {
        limits.map { "limit = \($0.text)" } + keyLimits.map { "key-limit = \($0.text)" }
            + (weight == 1 ? [] : ["weight = \(weight)"])
            + (isClosedWithoutState ? ["without-redis = refuse"] : [])
    }
}

extension ModelPrice {
    var lines: [String] {
        func lines(_ rates: Rates, _ prefix: String) -> [String] {
            let named = [
                ("input", rates.input), ("output", rates.output), ("cached-input", rates.cachedInput),
                ("cache-write", rates.cacheWrite), ("reasoning", rates.reasoning),
            ]
            return named.map { "\(prefix)\($0) = \(MicroUSD($1)) / 1M tokens" }
        }
        var all = lines(rates, "")
        if let longPrompt { all += ["long-prompt = \(longPrompt.threshold)"] + lines(longPrompt.rates, "long-") }
        return all
    }
}

extension Limit {
    /// The form that `parse` reads.
    public var text: String {
        switch unit {
        case .concurrency: return "\(amount) concurrent"
        case .microUSD:
            let percents = warnings.isEmpty ? " off" : warnings.map { " \($0)%" }.joined()
            let warn = warnings == Limit.usualWarnings ? "" : " warn\(percents)"
            return "\(MicroUSD(amount)) / \(periodText)\(isSoft ? " soft" : "")\(warn)"
        case .requests, .inputTokens, .outputTokens, .totalTokens:
            let algorithms = ["token-bucket", "fixed-window", "sliding-window", "sliding-counter"]
            let burstText = algorithm == .tokenBucket ? " burst \(burst)" : ""
            return "\(amount) \(unitText) / \(periodText)\(burstText) \(algorithms[Int(algorithm.rawValue) - 1])"
        }
    }

    /// The unit in words.
    public var unitText: String {
        switch unit {
        case .requests: "requests"
        case .inputTokens: "input tokens"
        case .outputTokens: "output tokens"
        case .totalTokens: "tokens"
        case .concurrency: "concurrent"
        case .microUSD: "micro-USD"
        }
    }

    /// The period in a word.
    public var periodText: String {
        switch period {
        case .calendarMonth: "month"
        case .second: "second"
        case .minute: "minute"
        case .hour: "hour"
        default: "day"
        }
    }
}
