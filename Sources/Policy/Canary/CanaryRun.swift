// A canary from its start to its end: counts come in, time passes, and steps, a promotion or a rollback come out.
import Core

/// One canary of one route. A value: what it decides depends only on what it was told.
public struct CanaryRun: Sendable, Equatable {
    /// Where it stands.
    public enum State: String, Sendable {
        /// It takes its steps.
        case running
        /// It passed: its target has all requests until cluster.conf says so itself.
        case promoted
        /// cluster.conf says it.
        case adopted
        /// It was worse than allowed; the route is as configured.
        case rolledBack = "rolled_back"
        /// An operator took it back.
        case aborted
        /// The configuration has no place for it any more.
        case ended
    }

    /// What is tried.
    public let plan: CanaryPlan
    /// Who began it, why, and when, in seconds since 1970.
    public let (who, reason, startedAt): (String, String, Int64)
    /// Where it stands.
    public internal(set) var state = State.running
    /// Why it stands there; empty while it runs.
    public internal(set) var verdict = ""
    /// When it ended, in seconds since 1970; 0 while it runs.
    public internal(set) var endedAt: Int64 = 0
    /// All steps so far, the present one last.
    public internal(set) var steps: [CanaryStep]
    /// What came since the step began.
    var current = (baseline: CanaryCounts(), canary: CanaryCounts())
    /// What is judged: the same, and for a step with all requests also what the one before had.
    var block = (baseline: CanaryCounts(), canary: CanaryCounts())
    /// By measure: ln of the evidence of the blocks before.
    var carried = [Double](repeating: -.infinity, count: CanaryMeasure.allCases.count)

    /// A canary that begins.
    public init(_ plan: CanaryPlan, who: String, reason: String, atSeconds now: Int64) {
        precondition(plan.isPossible, "plans are checked before")
        self.plan = plan
        (self.who, self.reason, startedAt) = (who, reason, now)
        steps = [CanaryStep(share: plan.steps[0])]
    }

    /// Equal when their records are.
    public static func == (left: CanaryRun, right: CanaryRun) -> Bool { left.json == right.json }

    /// True while its target's share is drawn into the route.
    public var isDrawn: Bool { state == .running || state == .promoted }
    /// Its share now, in hundredths of a per cent; 0 after its end.
    public var share: Int {
        switch state {
        case .running: steps.last?.share ?? 0
        case .promoted, .adopted: 10_000
        case .rolledBack, .aborted, .ended: 0
        }
    }

    /// What one look led to.
    public enum Change: Sendable, Equatable {
        /// Another step has begun.
        case stepped
        /// It passed its last step.
        case promoted
        /// It is worse than allowed.
        case rolledBack
    }

    // MARK: - What comes in

    /// Counts that came since the last ones.
    public mutating func take(baseline: CanaryCounts, canary: CanaryCounts) {
        guard state == .running else { return }
        current.baseline.add(baseline)
        current.canary.add(canary)
        block.baseline.add(baseline)
        block.canary.add(canary)
    }

    /// Looks at what came, after a further time.
    public mutating func judge(after time: Duration, atSeconds now: Int64) -> Change? {
        guard state == .running, let last = steps.indices.last else { return nil }
        steps[last].heldMilliseconds += time.milliseconds
        steps[last].baseline = CanaryFigures(current.baseline)
        steps[last].canary = CanaryFigures(current.canary)
        let evidence = self.evidence
        for measure in CanaryMeasure.allCases {
            let part = evidence[measure.rawValue] / measure.threshold
            steps[last].evidence[measure.rawValue] = min(100, max(0, Int(part * 100)))
        }
        for measure in CanaryMeasure.allCases where evidence[measure.rawValue] >= measure.threshold {
            end(.rolledBack, breach(of: measure), atSeconds: now)
            return .rolledBack
        }
        guard waiting == nil else { return nil }
        steps[last].outcome = "passed"
        guard steps.count < plan.steps.count else {
            end(.promoted, "passed all steps", atSeconds: now)
            return .promoted
        }
        let next = plan.steps[steps.count]
        if next < 10_000 {
            carried = evidence
            block = (CanaryCounts(), CanaryCounts())
        }
        current = (CanaryCounts(), CanaryCounts())
        steps.append(CanaryStep(share: next))
        return .stepped
    }

    /// By measure: ln of the evidence of this block and of those before. What came in earlier blocks counts, and so does a canary that becomes
    /// worse later: bets began with each block, a part of the stake on each.
    private var evidence: [Double] {
        let fresh = CanaryEvidence.all(block.baseline, block.canary, plan.limits)
        let part = -NaturalLogarithm.of(Double(plan.blockCount))
        return zip(fresh, carried).map { $0 + NaturalLogarithm.sum($1, part) }
    }

    /// Why the present step does not end yet; nil when it may.
    public var waiting: String? {
        guard state == .running, let step = steps.last else { return nil }
        let left = plan.hold.milliseconds - step.heldMilliseconds
        if left > 0 { return "\(ConfigurationValue.words(.seconds((left + 999) / 1_000))) of the hold are left" }
        if step.canary.attempts < plan.leastRequests {
            return "waits for requests: \(step.canary.attempts) of \(plan.leastRequests)"
        }
        // With all requests nothing more is learned of the others: what is open is decided in the step before.
        guard step.share < 10_000 else { return nil }
        let isLast = steps.count == plan.steps.count || plan.steps[steps.count] == 10_000
        for measure in CanaryMeasure.allCases {
            let part = step.evidence[measure.rawValue]
            guard part >= 50 || isLast && isBeyond(measure) else { continue }
            return "waits for more evidence: \(CanaryRun.names[measure.rawValue]) may be beyond the limit (\(part) %)"
        }
        return nil
    }

    /// True when the measured value itself is beyond the limit, however little that says.
    private func isBeyond(_ measure: CanaryMeasure) -> Bool {
        let (usual, own) = (block.baseline, block.canary)
        switch measure {
        case .errors:
            guard usual.attempts > 0, own.attempts > 0 else { return false }
            let excess =
                Double(own.failures) / Double(own.attempts) - Double(usual.failures) / Double(usual.attempts)
            return excess * 10_000 > Double(plan.limits.errorRate)
        case .firstToken:
            guard let usual = usual.firstTokenP95, let own = own.firstTokenP95 else { return false }
            return own > usual * (1 + Double(plan.limits.firstToken) / 100)
        case .cost:
            guard let mean = usual.meanCost, let ownMean = own.meanCost,
                min(usual.answers, own.answers) >= CanaryEvidence.leastAnswers
            else { return false }
            return ownMean > mean * (1 + Double(plan.limits.cost) / 100)
        }
    }

    /// An operator's word; false when it comes too late.
    public mutating func promote(_ verdict: String, atSeconds now: Int64) -> Bool {
        guard state == .running else { return false }
        end(.promoted, verdict, atSeconds: now)
        return true
    }

    /// An operator's word, also after the promotion; false when it comes too late.
    public mutating func abort(_ verdict: String, atSeconds now: Int64) -> Bool {
        guard isDrawn else { return false }
        end(.aborted, verdict, atSeconds: now)
        return true
    }

    /// Compares it with a new configuration; true when it ends.
    public mutating func follow(_ cluster: ClusterSnapshot, atSeconds now: Int64) -> Bool {
        guard isDrawn else { return false }
        if state == .promoted, let route = cluster.routes[plan.route], route.hasAdopted(plan) {
            end(.adopted, "cluster.conf says so itself", atSeconds: now)
            return true
        }
        guard let problem = cluster.problem(with: plan) else { return false }
        end(.ended, problem, atSeconds: now)
        return true
    }

    private mutating func end(_ state: State, _ verdict: String, atSeconds now: Int64) {
        if let last = steps.indices.last, steps[last].outcome.isEmpty {
            steps[last].outcome = state == .promoted ? "promoted" : state.rawValue.replacing("_", with: " ")
        }
        (self.state, self.verdict, endedAt) = (state, verdict, now)
        (current, block) = ((CanaryCounts(), CanaryCounts()), (CanaryCounts(), CanaryCounts()))
    }

    // MARK: - In words

    static let names = ["errors", "the first token", "cost"]

    private func breach(of measure: CanaryMeasure) -> String {
        let (old, new) = (CanaryFigures(block.baseline), CanaryFigures(block.canary))
        switch measure {
        case .errors:
            let allowed = CanaryPlan.words(share: plan.limits.errorRate)
            return "errors: \(new.failures) of \(new.attempts) requests failed, of the others \(old.failures) of "
                + "\(old.attempts); allowed are \(allowed) more"
        case .firstToken:
            return "the first token: 95 % came within \(new.firstTokenP95 / 1_000) ms, of the others within "
                + "\(old.firstTokenP95 / 1_000) ms; allowed are \(plan.limits.firstToken) % more"
        case .cost:
            let means = [new, old].map { MicroUSD($0.answers > 0 ? $0.cost / $0.answers : 0).description }
            return "cost: \(means[0]) an answer, of the others \(means[1]); allowed are \(plan.limits.cost) % more"
        }
    }
}
