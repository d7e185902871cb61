// The canaries of the cluster: counts from nodes come in, shares for routes come out; Redis has them for the next leader.
import Core
import Net
import Policy
import Store
import Telemetry
import Wire

/// All canaries that run, and the last ones that ended. Confined to its lane.
final class Canaries {
    /// One canary with what nodes told of it.
    private struct Entry {
        var run: CanaryRun
        /// Names its count among nodes. Another one with each term: what nodes had counted before is not counted again.
        let number: UInt32
        /// What each node had told last, by its number; a node that restarts begins at nothing.
        var told: [UInt32: Told] = [:]
    }

    private struct Told {
        let incarnation: UInt64
        var baseline = CanaryCounts()
        var canary = CanaryCounts()
    }

    private let lane: Lane
    private let store: CoordinationStore
    private var entries: [Entry] = []
    private var ended: [CanaryRun.State: UInt64] = [:]
    /// True when Redis said in this term what canaries there are: before, none may begin, and nothing is written.
    private(set) var isLoaded = false
    private var isWriting = false
    private var isChanged = false
    private var lastKept: Instant
    private var lastJudged: Instant
    /// Called with what an operator should know.
    var onProblem: (String) -> Void = { _ in }

    private static let field = "canaries"
    /// Numbers of nodes that may count for one canary; about 4 KB each.
    private static let nodeLimit = 4 * Membership.limit
    /// Counts are kept so often; decisions at once.
    private static let interval = Duration.seconds(2)

    init(lane: Lane, redis: Redis) {
        self.lane = lane
        store = CoordinationStore(redis)
        // The lane's own clock is read on the lane alone, and runs already.
        let now = Host.monotonicNow()
        (lastKept, lastJudged) = (now, now)
    }

    /// All of them, the oldest first.
    var runs: [CanaryRun] { entries.map(\.run) }

    // MARK: - Redis

    /// Reads what the leader before had. Where Redis cannot say, what is known here stays, and is asked for again later.
    func load(_ then: @escaping () -> Void) {
        isLoaded = false
        store.fetch([Canaries.field]) { [self] result in
            if case .success(let values) = result {
                let found = (values.first ?? nil).map { CanaryRecords.decode($0) } ?? []
                if found == nil { onProblem("the canaries in Redis cannot be read: there are none from now on") }
                entries = []
                for run in found ?? [] { entries.append(Entry(run: run, number: Canaries.number(beside: entries))) }
                (isLoaded, lastJudged) = (true, lane.now)
            }
            then()
        }
    }

    /// A number that no other entry has.
    private static func number(beside entries: [Entry]) -> UInt32 {
        while true {
            let number = max(1, UInt32(truncatingIfNeeded: Host.randomSeed()))
            if !entries.contains(where: { $0.number == number }) { return number }
        }
    }

    /// Writes them, at once or when the time has come; one write at a time.
    func keep(epoch: UInt64, atOnce: Bool = false) {
        guard isLoaded, isChanged, !isWriting, atOnce || lane.now - lastKept >= Canaries.interval else { return }
        (isWriting, isChanged, lastKept) = (true, false, lane.now)
        store.keep([(Canaries.field, CanaryRecords.encode(runs))], epoch: epoch) { [self] result in
            isWriting = false
            if case .failure = result { isChanged = true }
        }
    }

    /// Redis may have forgotten them: they are written again.
    func keepAgain(epoch: UInt64) {
        isChanged = true
        keep(epoch: epoch, atOnce: true)
    }

    // MARK: - Orders

    /// The canary that is drawn into a route's weights; nil for none.
    func drawn(on route: String) -> CanaryRun? { place(route).map { entries[$0].run } }

    private func place(_ route: String) -> Int? {
        entries.firstIndex { $0.run.plan.route == route && $0.run.isDrawn }
    }

    /// Begins one; says why not.
    func start(_ run: CanaryRun, in cluster: ClusterSnapshot) -> String? {
        guard isLoaded else { return "Redis cannot be reached: canaries are kept there" }
        if let other = drawn(on: run.plan.route) {
            let hint = other.state == .promoted ? "write it into cluster.conf, or abort it, first" : "abort it first"
            return "'\(run.plan.route)' has a canary already, of '\(other.plan.target)': \(hint)"
        }
        guard entries.count(where: { $0.run.isDrawn }) < CanaryRecords.limit else {
            return "\(CanaryRecords.limit) canaries are under way in this cluster, which is the most"
        }
        if let problem = cluster.problem(with: run.plan) { return problem }
        entries.append(Entry(run: run, number: Canaries.number(beside: entries)))
        isChanged = true
        return nil
    }

    /// Changes the one of a route; nil when there is none, or it is too late.
    func change(_ route: String, _ order: (inout CanaryRun) -> Bool) -> CanaryRun? {
        guard let place = place(route), order(&entries[place].run) else { return nil }
        note(place)
        return entries[place].run
    }

    private func note(_ place: Int) {
        isChanged = true
        if !entries[place].run.isDrawn { ended[entries[place].run.state, default: 0] += 1 }
        entries[place].told = [:]
        while entries.count(where: { !$0.run.isDrawn }) > CanaryRecords.endedLimit,
            let oldest = entries.firstIndex(where: { !$0.run.isDrawn })
        {
            entries.remove(at: oldest)
        }
    }

    // MARK: - What nodes tell

    /// Adds what a node counted since it told last.
    func take(_ reported: [ReportedCanary], from node: UInt32, incarnation: UInt64) {
        for report in reported {
            guard let place = place(report.route), entries[place].number == report.run else { continue }
            // What a node told is never forgotten while it may tell it again: it would count twice.
            guard entries[place].told[node] != nil || entries[place].told.count < Canaries.nodeLimit else { continue }
            var told = entries[place].told[node] ?? Told(incarnation: incarnation)
            if told.incarnation != incarnation { told = Told(incarnation: incarnation) }
            let (baseline, canary) = (CanaryCounts(told: report.baseline), CanaryCounts(told: report.canary))
            // Sums that fell are of a beginning that nobody told of: they count from here.
            if let more = baseline.since(told.baseline), let moreCanary = canary.since(told.canary) {
                entries[place].run.take(baseline: more, canary: moreCanary)
                if more.attempts > 0 || moreCanary.attempts > 0 { isChanged = true }
            }
            (told.baseline, told.canary) = (baseline, canary)
            entries[place].told[node] = told
        }
    }

    /// Looks at all of them; those that changed.
    func judge(atSeconds now: Int64) -> [(run: CanaryRun, change: CanaryRun.Change)] {
        // Time in which nobody led is no time of a step.
        let passed = min(lane.now - lastJudged, Canaries.interval)
        lastJudged = lane.now
        var changes: [(run: CanaryRun, change: CanaryRun.Change)] = []
        // By number: noting one may remove another.
        for number in entries.filter({ $0.run.state == .running }).map(\.number) {
            isChanged = true
            guard let place = entries.firstIndex(where: { $0.number == number }),
                let change = entries[place].run.judge(after: passed, atSeconds: now)
            else { continue }
            changes.append((entries[place].run, change))
            if change != .stepped { note(place) }
        }
        return changes
    }

    /// Ends those that the configuration has no place for, or says itself; returns them.
    func follow(_ cluster: ClusterSnapshot, atSeconds now: Int64) -> [CanaryRun] {
        var gone: [CanaryRun] = []
        for route in entries.map(\.run.plan.route) {
            if let run = change(route, { $0.follow(cluster, atSeconds: now) }) { gone.append(run) }
        }
        return gone
    }

    /// Draws their shares into the routes.
    func draw(into cluster: inout ClusterSnapshot) {
        for entry in entries where entry.run.isDrawn {
            let plan = entry.run.plan
            guard let route = cluster.routes[plan.route] else { continue }
            cluster.routes[plan.route] = route.drawn(by: plan, share: entry.run.share)
            guard entry.run.state == .running else { continue }
            cluster.canaries[plan.route] = RouteCanary(
                target: plan.target, replaced: plan.replaced, run: entry.number)
        }
    }

    // MARK: - Metrics

    func write(onto page: inout MetricsPage) {
        let drawn = entries.map(\.run).filter(\.isDrawn)
        page.begin(
            "sluice_canary_share_ratio", help: "Share of a route's requests that its canary has.", type: .gauge)
        for run in drawn {
            page.sample(
                "sluice_canary_share_ratio", labels: LabelText(names: ["route"], values: [run.plan.route]),
                value: .real(Double(run.share) / 10_000))
        }
        page.begin(
            "sluice_canary_evidence_ratio",
            help: "How near the evidence against a canary is to its rollback, at 1.", type: .gauge)
        for run in drawn where run.state == .running {
            for measure in CanaryMeasure.allCases {
                page.sample(
                    "sluice_canary_evidence_ratio",
                    labels: LabelText(names: ["route", "measure"], values: [run.plan.route, "\(measure)"]),
                    value: .real(Double(run.steps.last?.evidence[measure.rawValue] ?? 0) / 100))
            }
        }
        page.begin(
            "sluice_canaries_ended_total", help: "Canaries that ended while this coordinator led, by how.",
            type: .counter)
        for state in [CanaryRun.State.adopted, .rolledBack, .aborted, .ended] {
            page.sample(
                "sluice_canaries_ended_total", labels: LabelText(names: ["outcome"], values: [state.rawValue]),
                value: .unsigned(ended[state] ?? 0))
        }
    }
}

extension CanaryCounts {
    /// What a node told.
    init(told arm: ReportedCanary.Arm) {
        self.init()
        (attempts, failures) = (Int64(clamping: arm.attempts), Int64(clamping: arm.failures))
        (answers, cost) = (Int64(clamping: arm.answers), Int64(clamping: arm.cost))
        costSquares = arm.costSquares
        for bucket in arm.firstTokens where Int(bucket.number) < FirstTokenScale.count {
            add(Int64(bucket.count), inBucket: Int(bucket.number))
        }
    }
}
