// How providers and their targets do: from nodes' reports and from probes; what is published follows it at once.
import Core
import Net
import Policy
import Providers
import Telemetry
import Wire

/// Keeps the board of all targets and acts on what changes. Confined to the coordinator's lane.
final class ProviderHealth {
    private unowned let coordinator: Coordinator
    private let prober: Prober
    private(set) var board = HealthBoard()
    private var standings: [String: TargetStanding] = [:]
    private var wasLeading = false
    private var probes = MetricFamily<Counter>(
        "sluice_probes_total", help: "Probes of providers by their result.", labels: ["provider", "result"],
        blank: Counter())

    private static let beat = Duration.milliseconds(200)

    init(_ coordinator: Coordinator) {
        self.coordinator = coordinator
        prober = Prober(lane: coordinator.lane, source: coordinator.source)
        prober.onProblem = { [unowned coordinator] text in coordinator.note(.warning, "provider_not_probed", text) }
        prober.onResult = { [unowned self] record, setting, outcome in probed(record, setting, outcome) }
    }

    /// Begins to look, for good: it finds out by itself whether this coordinator leads.
    func start() {
        coordinator.lane.schedule(after: ProviderHealth.beat) { [self] in
            look()
            start()
        }
    }

    private func look() {
        followRoutes()
        if coordinator.leads {
            prober.look(after: coordinator.configuration.published.providers)
        } else if wasLeading {
            prober.rest()
        }
        wasLeading = coordinator.leads
        advance()
    }

    private var latestRoutes: [String: RouteRecord] = [:]

    private func followRoutes() {
        let routes = coordinator.configuration.published.routes
        guard routes != latestRoutes else { return }
        latestRoutes = routes
        board.follow(
            Set(routes.values.flatMap(\.targets).map { "\($0.provider)/\($0.model)" }), at: coordinator.lane.now)
    }

    // MARK: - What is told

    /// A node reported; `report` came on the node's own connection.
    func take(_ report: Report) {
        followRoutes()
        var isChanged = false
        for target in report.targets {
            var news = TargetNews()
            news.successes = Int(target.successes)
            news.failures = Int(target.failures)
            news.throttled = Int(target.throttled)
            news.firstTokenMicroseconds = Int(target.firstTokenMedianMicroseconds)
            news.isShut = target.vote == .open
            if board.take(news, of: target.name, at: coordinator.lane.now) { isChanged = true }
        }
        // With many nodes there are many reports, and most bring nothing new.
        if isChanged { advance() }
    }

    private func probed(_ record: ProviderRecord, _ setting: ProbeSetting, _ outcome: ProbeCall.Outcome) {
        // What was asked in a term that is over is the next leader's to find out.
        guard coordinator.leads else { return }
        let series = probes.series(record.name, outcome.result.word)
        probes[series].add()
        var model: String?
        if case .chat(let asked) = setting.call { model = asked }
        board.take(
            outcome.result, of: record.name, model: model, concernsModelAlone: outcome.isOfModel,
            every: setting.interval, at: coordinator.lane.now)
        advance()
    }

    /// Tells the log what changed, and nodes when weights did.
    private func advance() {
        let now = coordinator.lane.now
        for flip in board.advance(to: now) where coordinator.leads {
            let level: LogLevel = flip.to == .failing ? .warning : .info
            let why = flip.why.isEmpty ? "" : ": \(flip.why)"
            coordinator.note(
                level, "target_health", "\(flip.target): \(flip.to.rawValue), was \(flip.from.rawValue)\(why)")
        }
        let fresh = board.standings(at: now)
        guard fresh != standings else { return }
        standings = fresh
        coordinator.publishSoon()
    }

    // MARK: - What follows

    /// What nodes get: the configured state with the weights that health leaves, and without what is the coordinator's alone.
    func applied(to configured: ClusterSnapshot) -> ClusterSnapshot {
        var published = configured
        for name in published.providers.keys { published.providers[name]?.probe = nil }
        guard !standings.isEmpty else { return published }
        published.routes = published.routes.mapValues { $0.weighed { standings[$0] ?? .unknown } }
        return published
    }

    /// What operators should see to.
    var warnings: [String] {
        guard coordinator.leads else { return [] }
        let dead = latestRoutes.values.filter { board.isServedByNobody($0) }.map(\.name).sorted()
        return prober.problems + dead.map { "no target of route \($0) works" }
    }

    /// All targets, for the tool.
    func json() -> JSONValue {
        let now = coordinator.lane.now
        let all = board.targets.sorted { $0.key < $1.key }.map { name, judge -> JSONValue in
            let minute = board.lastMinute(of: name, at: now)
            let probe: JSONValue =
                judge.lastProbe.map { probe in
                    .object([
                        .init("result", .string(probe.result.word)), .init("why", .string(probe.result.why)),
                        .init("ms_ago", .integer((now - probe.at).milliseconds)),
                    ])
                } ?? .null
            let telling = max(1, minute.telling)
            return .object([
                .init("target", .string(name)), .init("health", .string(judge.verdict.rawValue)),
                .init("why", .string(judge.why)), .init("since_ms", .integer((now - judge.since).milliseconds)),
                .init("weight_percent", .integer(judge.percent(at: now))), .init("last_probe", probe),
                .init("answered_last_minute", .integer(minute.successes)),
                .init("failed_last_minute", .integer(minute.failures)),
                .init("throttled_last_minute", .integer(minute.throttled)),
                .init("error_per_mille", .integer(minute.failures * 1_000 / telling)),
                .init("first_token_us", .integer(judge.firstTokenMicroseconds)),
            ])
        }
        return .array(all)
    }

    /// Metrics of targets and probes.
    func write(onto page: inout MetricsPage) {
        let name: MetricName = "sluice_provider_healthy"
        page.begin(name, help: "1 for a target that works, 0 for one that fails; unknown ones have none.", type: .gauge)
        for (target, judge) in board.targets.sorted(by: { $0.key < $1.key }) where judge.verdict != .unknown {
            let parts = target.split(separator: "/", maxSplits: 1).map(String.init)
            let labels = LabelText(names: [GenAILabel.provider, GenAILabel.requestModel], values: parts)
            page.sample(name, labels: labels, value: .signed(judge.verdict == .healthy ? 1 : 0))
        }
        page.add(probes)
    }
}
