// What a lane counts of targets, providers and their queues, at the moment of a scrape.
import Policy
import Providers
import Telemetry

/// Attempts at one target.
struct AttemptFigures: Figures {
    var began: Int64
    var failed: Int64
    /// Those whose usage was not told, and those of which it cannot be.
    var unaccounted: Int64
    var implausible: Int64

    static let labels = [GenAILabel.provider, GenAILabel.requestModel]
    static let columns: [FigureColumn<AttemptFigures>] = [
        .counter("sluice_attempts_total", "Attempts that began at each target.", \.began),
        .counter("sluice_attempts_failed_total", "Attempts that failed.", \.failed),
        .counter(
            "sluice_attempts_without_usage_total", "Attempts that were answered without a believable usage.",
            \.unaccounted),
        .counter(
            "sluice_usage_implausible_total",
            "Attempts whose provider reported impossible figures: beyond the request, or 0 for a text.", \.implausible),
    ]
}

/// The circuit breaker of one target.
struct BreakerFigures: Figures {
    var state: Int64
    var forced: Int64
    var opened: Int64
    var ownTrips: Int64
    var probes: Int64

    static let labels = [GenAILabel.provider, GenAILabel.requestModel]
    static let columns: [FigureColumn<BreakerFigures>] = [
        .highest("sluice_breaker_state", "0 closed, 1 open, 2 half-open: as the cluster knows it.", \.state),
        .highest("sluice_breaker_forced", "1 forced open, 2 forced closed by an operator, else 0.", \.forced),
        .counter("sluice_breaker_opened_total", "Breakers that this node's reports opened.", \.opened),
        .counter("sluice_breaker_trips_total", "Windows of this node's lanes that tripped.", \.ownTrips),
        .counter("sluice_breaker_probes_total", "Requests of this node that probed.", \.probes),
    ]
}

/// Failures of one class at one target.
struct FailureFigures: Figures {
    var count: Int64

    static let labels = [GenAILabel.provider, GenAILabel.requestModel, "error_type"]
    static let columns: [FigureColumn<FailureFigures>] = [
        .counter(
            "sluice_attempt_failures_total", "Attempts that failed, also those that a later one repaired, by class.",
            \.count)
    ]
}

/// Connections to one provider.
struct UpstreamFigures: Figures {
    var inFlight: Int64
    var open: Int64
    var idle: Int64
    var made: Int64
    var reused: Int64

    static let labels = [GenAILabel.provider]
    static let columns: [FigureColumn<UpstreamFigures>] = [
        .level("sluice_upstream_in_flight", "Calls under way.", \.inFlight),
        .level("sluice_upstream_connections", "Connections open.", \.open),
        .level("sluice_upstream_connections_idle", "Connections idle.", \.idle),
        .counter("sluice_upstream_connects_total", "Connections made.", \.made),
        .counter("sluice_upstream_reused_total", "Requests on a kept connection.", \.reused),
    ]
}

/// The queue before one provider.
struct QueueFigures: Figures {
    var capacity: Int64

    static let labels = [GenAILabel.provider]
    static let columns: [FigureColumn<QueueFigures>] = [
        .level("sluice_concurrency_limit", "Calls that a provider takes at once.", \.capacity)
    ]
}

/// Requests of one class in the queue before one provider.
struct WaitingFigures: Figures {
    var count: Int64

    static let labels = [GenAILabel.provider, "class"]
    static let columns: [FigureColumn<WaitingFigures>] = [
        .level("sluice_queue_waiting", "Requests that wait for a provider.", \.count)
    ]
}

/// All figures of a lane by provider and model.
struct TargetReading: MetricSet {
    private var waiting = FigureTable<WaitingFigures>()
    private var queues = FigureTable<QueueFigures>()
    private var upstream = FigureTable<UpstreamFigures>()
    private var attempts = FigureTable<AttemptFigures>()
    private var breakers = FigureTable<BreakerFigures>()
    private var failures = FigureTable<FailureFigures>()

    static let rows: [MetricRow<TargetReading>] = [
        .part(\.waiting), .part(\.queues), .part(\.upstream), .part(\.attempts), .part(\.breakers), .part(\.failures),
    ]

    init(_ gateway: Gateway) {
        for (name, admission) in gateway.admissions {
            queues[name] = QueueFigures(capacity: Int64(admission.capacity))
            for priority in PriorityClass.allCases {
                waiting[name, priority.description] = WaitingFigures(count: Int64(admission.waiting(priority)))
            }
        }
        for (name, target) in gateway.targets {
            let connections = target.connections
            upstream[name] = UpstreamFigures(
                inFlight: Int64(target.inFlight), open: Int64(connections.open), idle: Int64(connections.idle),
                made: connections.made, reused: connections.reused)
        }
        for target in gateway.laneTargets.values { take(target) }
    }

    private mutating func take(_ target: LaneTarget) {
        let (provider, model, breaker) = (target.provider, target.model, target.breaker)
        attempts[provider, model] = AttemptFigures(
            began: target.attempts, failed: target.failures, unaccounted: target.unaccounted,
            implausible: target.implausible)
        breakers[provider, model] = BreakerFigures(
            state: breaker.record.state.rawValue, forced: breaker.record.order.rawValue, opened: target.opened,
            ownTrips: breaker.ownTrips, probes: target.probes)
        for (kind, count) in target.failureCounts.all {
            failures[provider, model, kind.rawValue] = FailureFigures(count: count)
        }
    }
}
