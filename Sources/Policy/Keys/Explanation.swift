// What would become of a request, and why: the node's decisions in their order, from a snapshot alone and without any effect.
import Core

/// A request that is not made: what somebody wants to know about.
public struct ExplainQuestion: Sendable {
    /// The id of the key.
    public var key: String
    /// SHA-256 of the secret, hexadecimal; nil when it is not asked about.
    public var secretHash: String?
    /// Where it would come from; nil when it is not asked about.
    public var address: UInt128?
    /// What it would do.
    public var wish: KeyQuestion
    /// Tokens of its prompt.
    public var inputTokens: Int64
    /// The output limit that it would name; 0 for none.
    public var outputLimit: Int64

    /// A question of its parts.
    public init(key: String, wish: KeyQuestion, inputTokens: Int64, outputLimit: Int64) {
        self.key = key
        self.wish = wish
        self.inputTokens = inputTokens
        self.outputLimit = outputLimit
    }
}

/// The answer.
public struct Explanation: Sendable {
    /// One decision.
    public struct Step: Hashable, Sendable {
        /// `key`, `secret`, `network`, `tenant`, `model`, `operation`, `feature`, `priority`, `route`, `price` or `limits`.
        public let name: String
        /// Whether the request goes on behind it; nil when it was not asked about.
        public let passes: Bool?
        /// What was found, a sentence.
        public let text: String
    }

    /// A target of the route, with what the request would cost there.
    public struct Choice: Equatable, Sendable {
        /// The target.
        public let target: RouteTarget
        /// Its share of the route's requests, in thousandths.
        public let permille: Int
        /// What would be reserved in money; nil without a price.
        public let reserved: MicroUSD?
        /// What the longest answer would cost; nil without a price.
        public let most: MicroUSD?
    }

    /// The decisions in their order, those behind a refusal too, as far as they can be told.
    public private(set) var steps: [Step] = []
    /// Who can serve it.
    public private(set) var choices: [Choice] = []
    /// What would be reserved; nil when it would not come so far. Its id has no meaning.
    public private(set) var call: ReserveCall?
    /// Output tokens that would be reserved.
    public private(set) var reservedOutput: Int64 = 0
    /// Output tokens that the answer may have at most.
    public private(set) var mostOutput: Int64 = 0

    /// True when no step refuses.
    public var isAllowed: Bool { !steps.contains { $0.passes == false } }
    /// The step that refuses first.
    public var refusal: Step? { steps.first { $0.passes == false } }

    private mutating func add(_ name: String, _ passes: Bool?, _ text: String) {
        steps.append(Step(name: name, passes: passes, text: text))
    }

    private mutating func add(_ name: String, _ refusal: KeyRefusal?, else text: String) {
        add(name, refusal == nil, refusal?.description ?? text)
    }

    /// Decides about `question` at a time. What needs shared state, how the limits stand, is added by `take`.
    public init(_ question: ExplainQuestion, in cluster: ClusterSnapshot, atSeconds now: Int64) {
        guard let key = cluster.keys[question.key] else {
            add("key", false, KeyRefusal.unknown.description)
            return
        }
        let until = key.expiresAtSeconds.map { "expires at \($0)" } ?? "never expires"
        add("key", key.refusal(atSeconds: now), else: "valid, \(until)")
        judgeProof(question, key, now)
        let org = cluster.orgs[key.org]
        let team = cluster.teams["\(key.org)/\(key.team)"]
        let limits = org.flatMap { org in team.flatMap { try? key.limitSet(version: 0, org: org, team: $0) } }
        add("tenant", limits == nil ? .tenantGone : nil, else: "\(key.org)/\(key.team)")
        judgeScopes(question.wish, key)
        guard let route = cluster.routes[question.wish.model] else {
            add("route", false, "no route is named '\(question.wish.model)'")
            return
        }
        judgeRoute(route, question, cluster.prices)
        guard let limits else { return }
        let hasBudget = limits.limits.contains { $0.unit == .microUSD }
        if let unpriced = choices.first(where: { $0.reserved == nil && $0.permille > 0 }) {
            add(
                "price", !hasBudget,
                "'\(unpriced.target.model)' has no price" + (hasBudget ? ", so no budget can be kept" : ""))
        } else if !choices.isEmpty {
            add("price", true, "known")
        }
        guard isAllowed else { return }
        // Later groups, too, and those for overload: a node's reservation covers whoever comes to serve.
        let (wish, name) = (question.wish, "\(key.org)/\(key.team)")
        let able = choices.filter {
            $0.target.weight > 0 && $0.target.serves(team: name, feature: wish.feature, priority: wish.priority)
        }
        let dearest = able.compactMap(\.reserved).max() ?? .zero
        let tenant = Tenant(org: key.org, team: key.team, key: key.id, feature: question.wish.feature)
        call = ReserveCall(
            id: Identifier128(high: 0, low: 0), tenant: tenant,
            estimate: QuotaUse(
                inputTokens: question.inputTokens, outputTokens: reservedOutput, microUSD: dearest.amount),
            holdMilliseconds: 1, limits: limits)
    }

    private mutating func judgeProof(_ question: ExplainQuestion, _ key: KeyRecord, _ now: Int64) {
        if let hash = question.secretHash {
            let secret = key.secrets.first { $0.hash == hash.lowercased() }
            let text = secret.map { $0.isValid(atSeconds: now) ? "right" : "replaced, and its time is over" }
            add("secret", secret?.isValid(atSeconds: now) ?? false, text ?? "not one of the key's secrets")
        } else {
            add("secret", nil, "not asked about; name the whole key to check it")
        }
        if let address = question.address {
            add("network", key.refusal(from: address), else: "the address is allowed")
        } else {
            let networks = key.networks.map(\.description).joined(separator: ", ")
            add("network", key.networks.isEmpty ? true : nil, networks.isEmpty ? "any" : "only from \(networks)")
        }
    }

    private mutating func judgeScopes(_ wish: KeyQuestion, _ key: KeyRecord) {
        add("model", key.allows(model: wish.model) ? nil : .model(wish.model), else: wish.model)
        let operations = key.operations.contains(wish.operation)
        add("operation", operations ? nil : .operation(wish.operation), else: "\(wish.operation)")
        let features = key.features.isEmpty || key.features.contains(wish.feature)
        let tag = wish.feature.isEmpty ? "none named" : wish.feature
        add("feature", features ? nil : .feature(wish.feature), else: tag)
        let priority = wish.priority >= key.highestPriority
        add(
            "priority", priority ? nil : .priority(wish.priority, highest: key.highestPriority),
            else: "\(wish.priority)")
    }

    private mutating func judgeRoute(
        _ route: RouteRecord, _ question: ExplainQuestion, _ prices: [String: ModelPrice]
    ) {
        let limit = question.outputLimit
        mostOutput = limit == 0 ? route.maximumOutputTokens : min(limit, route.maximumOutputTokens)
        reservedOutput = TokenEstimates().outputTokens(
            org: "", model: "", feature: question.wish.feature, limit: mostOutput)
        // Later groups are asked when the first cannot serve.
        let group = route.targets.filter { $0.weight > 0 }.map(\.group).min() ?? 1
        let total = route.targets.reduce(0) { $0 + ($1.group == group ? $1.weight : 0) }
        choices = route.targets.map { target in
            let price = prices[target.model]
            return Choice(
                target: target, permille: total == 0 || target.group != group ? 0 : target.weight * 1_000 / total,
                reserved: price?.cost(of: TokenCounts(input: question.inputTokens, output: reservedOutput)),
                most: price?.cost(of: TokenCounts(input: question.inputTokens, output: mostOutput)))
        }
        let names = choices.filter { $0.permille > 0 }.map { "\($0.target.provider)/\($0.target.model)" }
        let later = route.targets.filter { $0.weight > 0 && $0.group > group }.sorted { $0.group < $1.group }
            .map { ", then \($0.provider)/\($0.model)\($0.isForOverload ? " (first under overload)" : "")" }.joined()
        let text =
            names.isEmpty ? "no target of '\(route.name)' has a weight" : names.joined(separator: " or ") + later
        add("route", !names.isEmpty, text)
    }

    /// Adds how the limits stand.
    public mutating func take(_ peek: QuotaPeek) {
        guard let call else { return }
        guard let index = peek.binding else {
            return add("limits", true, call.limits.limits.isEmpty ? "none" : "all have room")
        }
        let limit = call.limits.limits[index]
        let wait =
            switch peek.standings[index].retry {
            case .after(let microseconds): "has room in \((microseconds + 999) / 1_000) ms"
            case .whenReleased: "has room when a running request ends"
            case .never, nil: "is smaller than the request"
            }
        add("limits", false, "the \(limit.scope)'s limit of \(limit.text) \(wait)")
    }

    /// Says that the limits are not known, for example because Redis is away.
    public mutating func takeNoLimits(_ reason: String) { add("limits", nil, reason) }
}
