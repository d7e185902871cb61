// A canary as it is shown, and as the next leader finds it in Redis.
import Core

extension CanaryPlan {
    /// As JSON.
    public var json: JSONValue {
        .object([
            .init("route", .string(route)), .init("target", .string(target)),
            .init("replaced", replaced.map { .string($0) } ?? .null),
            .init("steps_bp", .array(steps.map { .integer($0) })), .init("hold_ms", .integer(hold.milliseconds)),
            .init("max_error_rate_bp", .integer(limits.errorRate)),
            .init("max_first_token_percent", .integer(limits.firstToken)),
            .init("max_cost_percent", .integer(limits.cost)), .init("min_requests", .integer(leastRequests)),
        ])
    }

    /// What `json` gave; nil when it is something else.
    public init?(_ value: JSONValue?) {
        guard let route = value?["route"]?.text, let target = value?["target"]?.text,
            let steps = value?["steps_bp"]?.elements?.compactMap(\.integer), let hold = value?["hold_ms"]?.integer,
            let errors = value?["max_error_rate_bp"]?.integer,
            let first = value?["max_first_token_percent"]?.integer, let cost = value?["max_cost_percent"]?.integer,
            let least = value?["min_requests"]?.integer
        else { return nil }
        self.init(route: route, target: target, replaced: value?["replaced"]?.text)
        self.steps = steps.map { Int(clamping: $0) }
        self.hold = .milliseconds(hold)
        limits.errorRate = Int(clamping: errors)
        (limits.firstToken, limits.cost) = (Int(clamping: first), Int(clamping: cost))
        leastRequests = Int(clamping: least)
        guard !self.steps.isEmpty, isPossible else { return nil }
    }
}

extension CanaryCounts {
    /// As JSON: first tokens as pairs of bucket and count.
    var json: JSONValue {
        let pairs = firstTokens.enumerated().filter { $1 != 0 }.flatMap { [JSONValue.integer($0), .integer($1)] }
        return .object([
            .init("attempts", .integer(attempts)), .init("failures", .integer(failures)),
            .init("answers", .integer(answers)), .init("cost", .integer(cost)),
            .init("cost_squares", .number("\(costSquares)")), .init("first_tokens", .array(pairs)),
        ])
    }

    init?(_ value: JSONValue?) {
        guard let attempts = value?["attempts"]?.integer, let failures = value?["failures"]?.integer,
            let answers = value?["answers"]?.integer, let cost = value?["cost"]?.integer,
            case .number(let text)? = value?["cost_squares"], let squares = Double(text), squares.isFinite,
            let pairs = value?["first_tokens"]?.elements?.compactMap(\.integer), pairs.count % 2 == 0,
            squares >= 0, [attempts, failures, answers, cost].allSatisfy({ (0...CanaryCounts.limit).contains($0) })
        else { return nil }
        self.init()
        (self.attempts, self.failures, self.answers) = (attempts, failures, answers)
        (self.cost, costSquares) = (cost, squares)
        for place in stride(from: 0, to: pairs.count, by: 2) {
            guard (0..<Int64(FirstTokenScale.count)).contains(pairs[place]), pairs[place + 1] >= 0 else { return nil }
            add(pairs[place + 1], inBucket: Int(pairs[place]))
        }
    }
}

extension CanaryRun {
    /// What operators see.
    public var summary: [JSONValue.Member] {
        [
            .init("plan", plan.json), .init("state", .string(state.rawValue)), .init("verdict", .string(verdict)),
            .init("share_bp", .integer(share)), .init("waiting", waiting.map { .string($0) } ?? .null),
            .init("who", .string(who)), .init("reason", .string(reason)), .init("started_at", .integer(startedAt)),
            .init("ended_at", .integer(endedAt)), .init("steps", .array(steps.map(\.json))),
        ]
    }

    /// Everything.
    var json: JSONValue {
        let carried = carried.map { JSONValue.number($0.isFinite ? "\($0)" : "-1e300") }
        return .object(
            summary + [
                .init("current", .array([current.baseline.json, current.canary.json])),
                .init("block", .array([block.baseline.json, block.canary.json])), .init("carried", .array(carried)),
            ])
    }

    init?(_ value: JSONValue) {
        guard let plan = CanaryPlan(value["plan"]), let state = value["state"]?.text.flatMap(State.init),
            let verdict = value["verdict"]?.text, let who = value["who"]?.text, let reason = value["reason"]?.text,
            let started = value["started_at"]?.integer, let ended = value["ended_at"]?.integer,
            let steps = value["steps"]?.elements?.compactMap(CanaryStep.init), !steps.isEmpty,
            steps.count <= plan.steps.count, let carried = value["carried"]?.elements,
            let current = CanaryRun.pair(value["current"]), let block = CanaryRun.pair(value["block"])
        else { return nil }
        self.init(plan, who: who, reason: reason, atSeconds: started)
        (self.state, self.verdict, endedAt) = (state, verdict, ended)
        self.steps = steps
        (self.current, self.block) = (current, block)
        let numbers = carried.compactMap { if case .number(let text) = $0 { Double(text) } else { nil } }
        guard numbers.count == self.carried.count else { return nil }
        self.carried = numbers.map { $0 <= -1e300 ? -.infinity : $0 }
    }

    private static func pair(_ value: JSONValue?) -> (baseline: CanaryCounts, canary: CanaryCounts)? {
        guard let both = value?.elements, both.count == 2, let baseline = CanaryCounts(both[0]),
            let canary = CanaryCounts(both[1])
        else { return nil }
        return (baseline, canary)
    }
}

/// All canaries that are kept: those that are drawn, and the last ones that ended.
public enum CanaryRecords {
    /// The most canaries at once in a cluster.
    public static let limit = 16
    /// How many are remembered after their end.
    public static let endedLimit = 16

    /// As they are kept in Redis: a few KB each, 30 KB at most.
    public static func encode(_ runs: [CanaryRun]) -> [UInt8] { Array(JSONValue.array(runs.map(\.json)).json.utf8) }

    /// What `encode` gave; nil when it is something else.
    public static func decode(_ bytes: [UInt8]) -> [CanaryRun]? {
        let limits = JSONLimits(depth: 8, size: 2 << 20)
        guard let elements = (try? JSONValue.parse(bytes, limits: limits))?.elements else { return nil }
        let runs = elements.compactMap(CanaryRun.init)
        return runs.count == elements.count && runs.count <= limit + endedLimit ? runs : nil
    }
}
