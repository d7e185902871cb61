// Canaries within a term: judged each second, drawn into what is published, told in the log.
import Core
import Net
import Policy
import Telemetry
import Wire

extension Coordinator {
    private var seconds: Int64 { lane.wallClockMicroseconds / 1_000_000 }

    /// Judges them each second while this coordinator leads.
    func watchCanaries() {
        lane.schedule(after: .seconds(1)) { [self] in
            defer { watchCanaries() }
            guard leads else { return }
            guard canaries.isLoaded else {
                return canaries.load { [self] in if canaries.isLoaded { publishChange() } }
            }
            let changes = canaries.judge(atSeconds: seconds)
            for (run, change) in changes { tell(run, change) }
            if !changes.isEmpty { publishChange() }
            canaries.keep(epoch: epoch, atOnce: !changes.isEmpty)
        }
    }

    private func tell(_ run: CanaryRun, _ change: CanaryRun.Change) {
        let name = "\(run.plan.route): \(run.plan.target)"
        let past = run.steps.last { !$0.outcome.isEmpty }
        let facts = past.map { "; step of \(CanaryPlan.words(share: $0.share)): \($0.facts)" } ?? ""
        switch change {
        case .stepped: note(.info, "canary_step", "\(name) has \(CanaryPlan.words(share: run.share)) now\(facts)")
        case .promoted:
            note(.info, "canary_promoted", "\(name) passed all steps and has all requests\(facts)")
        case .rolledBack: note(.error, "canary_rolled_back", "\(name) is worse than allowed: \(run.verdict)\(facts)")
        }
    }

    /// Draws their shares into what is about to be published; those that the configuration has no place for end here. The next leader begins
    /// with routes as they are configured, for canaries are kept beside them.
    func drawingCanaries(into configured: ClusterSnapshot) -> ClusterSnapshot {
        let gone = canaries.follow(configuration.published, atSeconds: seconds)
        for run in gone {
            note(
                run.state == .adopted ? .info : .warning, "canary_ended",
                "\(run.plan.route): \(run.plan.target): \(run.verdict)")
        }
        if !gone.isEmpty { canaries.keep(epoch: epoch, atOnce: true) }
        var drawn = configured
        canaries.draw(into: &drawn)
        return drawn
    }

    /// What a node counted, if it speaks on its own connection.
    func countCanaries(_ report: Report, by node: UInt32, on channel: Channel<ServerConnection>) {
        guard !report.canaries.isEmpty, let member = members.nodes[node], member.channel == ObjectIdentifier(channel)
        else { return }
        canaries.take(report.canaries, from: node, incarnation: member.incarnation)
    }

    /// Begins a canary; says why not.
    func startCanary(_ plan: CanaryPlan, _ order: ConfigurationChange) -> String? {
        let run = CanaryRun(plan, who: order.who, reason: order.reason, atSeconds: seconds)
        if let problem = canaries.start(run, in: configuration.published) { return problem }
        let replaced = plan.replaced.map { " in place of \($0)" } ?? ""
        let share = CanaryPlan.words(share: run.share)
        note(
            .info, "canary_started",
            "\(plan.route): \(plan.target)\(replaced) has \(share) now, by \(order.who): \(order.reason)")
        publishChange()
        canaries.keep(epoch: epoch, atOnce: true)
        return nil
    }

    /// Promotes or takes back the canary of a route by an operator's order; nil when there is none.
    func endCanary(_ route: String, isPromoted: Bool, _ order: ConfigurationChange) -> CanaryRun? {
        let reason = order.reason.isEmpty ? "" : ": \(order.reason)"
        let verdict = "\(isPromoted ? "promoted" : "taken back") by \(order.who)\(reason)"
        let run = canaries.change(route) {
            isPromoted ? $0.promote(verdict, atSeconds: seconds) : $0.abort(verdict, atSeconds: seconds)
        }
        guard let run else { return nil }
        note(
            .warning, isPromoted ? "canary_promoted" : "canary_aborted", "\(route): \(run.plan.target): \(verdict)")
        publishChange()
        canaries.keep(epoch: epoch, atOnce: true)
        return run
    }

    /// What is to be written into cluster.conf after promotions.
    var canaryWarnings: [String] {
        guard leads else { return [] }
        return canaries.runs.compactMap { run in
            adoption(of: run).map {
                "the canary of \(run.plan.route) was promoted and has all requests; write into cluster.conf, then "
                    + "sluice apply: \($0)"
            }
        }
    }

    /// The line that a promoted canary wants in cluster.conf; nil for others.
    func adoption(of run: CanaryRun) -> String? {
        guard run.state == .promoted, let route = configuration.published.routes[run.plan.route] else { return nil }
        return route.adoption(of: run.plan)
    }
}

extension CanaryStep {
    /// Both sides in a line of the log.
    fileprivate var facts: String {
        func words(_ figures: CanaryFigures) -> String {
            let cost = MicroUSD(figures.answers > 0 ? figures.cost / figures.answers : 0)
            return "\(figures.failures) of \(figures.attempts) failed, first tokens within "
                + "\(figures.firstTokenP95 / 1_000) ms, \(cost) an answer"
        }
        let parts = evidence.map { "\($0) %" }.joined(separator: ", ")
        return "\(words(canary)); the others: \(words(baseline)); evidence \(parts) after \(heldMilliseconds / 1_000) s"
    }
}
