// Canaries as they are printed: where each stands, and each step with what both sides did.
import Core
import Policy

enum CanaryView {
    static func text(_ canaries: [JSONValue]) -> String { canaries.map(text).joined(separator: "\n") }

    private static func text(_ canary: JSONValue) -> String {
        guard let plan = CanaryPlan(canary["plan"]), let steps = canary["steps"]?.elements?.compactMap(CanaryStep.init)
        else { return "a canary that this version cannot read\n" }
        let replaced = plan.replaced.map { " in place of \($0)" } ?? ""
        let begun = "begun \(UTCDate.text(canary["started_at"]?.integer ?? 0)) by \(canary["who"]?.text ?? "")"
        let reason = canary["reason"]?.text ?? ""
        return """
            \(plan.route): \(plan.target)\(replaced), \(state(canary, plan, steps))
            \(begun)\(reason.isEmpty ? "" : ": \(reason)")
            allowed: \(CanaryPlan.words(share: plan.limits.errorRate)) more errors, first tokens \
            \(plan.limits.firstToken) % later (p95), \(plan.limits.cost) % dearer

            \(table(steps))
            """
    }

    private static func state(_ canary: JSONValue, _ plan: CanaryPlan, _ steps: [CanaryStep]) -> String {
        let verdict = canary["verdict"]?.text ?? ""
        switch canary["state"]?.text {
        case "running":
            let share = CanaryPlan.words(share: steps.last?.share ?? 0)
            return
                "step \(steps.count) of \(plan.steps.count): \(share)\n\(canary["waiting"]?.text ?? "about to go on")"
        case "promoted":
            let line = canary["cluster_conf"]?.text ?? ""
            return "PROMOTED: \(verdict)\nit has all requests; write into cluster.conf, then sluice apply:\n\(line)"
        case "rolled_back": return "ROLLED BACK: \(verdict)"
        case let state: return "\(state ?? ""): \(verdict)"
        }
    }

    /// Each step on two lines: the target on trial, and below it the others.
    private static func table(_ steps: [CanaryStep]) -> String {
        let rows = steps.enumerated().flatMap { number, step -> [[String]] in
            let evidence = step.evidence.map { "\($0)" }.joined(separator: " ")
            let held = ConfigurationValue.words(.seconds(step.heldMilliseconds / 1_000))
            let outcome = step.outcome.isEmpty ? "under way" : step.outcome
            let first = ["\(number + 1)", CanaryPlan.words(share: step.share), held, "canary"]
            return [
                first + figures(step.canary) + [evidence, outcome],
                ["", "", "", "others"] + figures(step.baseline) + ["", ""],
            ]
        }
        let heading = [
            "STEP", "SHARE", "HELD", "SIDE", "REQUESTS", "FAILED", "P95", "COST/ANSWER", "EVIDENCE %", "OUTCOME",
        ]
        return Table.text(heading, rows)
    }

    private static func figures(_ figures: CanaryFigures) -> [String] {
        var failed = ""
        if figures.attempts > 0 {
            let share = figures.failures * 10_000 / figures.attempts
            failed = "\(figures.failures) (\(share / 100).\(share % 100 < 10 ? "0" : "")\(share % 100) %)"
        }
        let first = figures.firstTokenP95 > 0 ? "\(figures.firstTokenP95 / 1_000) ms" : ""
        let cost = figures.answers > 0 ? MicroUSD(figures.cost / figures.answers).description : ""
        return ["\(figures.attempts)", failed, first, cost]
    }
}
