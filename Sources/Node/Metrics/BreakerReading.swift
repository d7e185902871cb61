// How the circuit breakers of a lane's targets stand at the moment of a scrape.
import Policy
import Telemetry

/// States and counts by target, for the metrics page.
struct BreakerReading: Sendable {
    private struct Target {
        let provider: String
        let model: String
        var state: Int64
        var forced: Int64
        var opened: Int64
        var ownTrips: Int64
        var probes: Int64
    }

    private var targets: [String: Target] = [:]

    init(_ lane: some Sequence<LaneTarget>) {
        for target in lane {
            let breaker = target.breaker
            targets[target.name] = Target(
                provider: target.provider, model: target.model, state: breaker.record.state.rawValue,
                forced: breaker.record.order.rawValue, opened: target.opened, ownTrips: breaker.ownTrips,
                probes: target.probes)
        }
    }

    mutating func merge(_ other: BreakerReading) {
        for (name, theirs) in other.targets {
            guard var sum = targets[name] else {
                targets[name] = theirs
                continue
            }
            sum.state = max(sum.state, theirs.state)
            sum.forced = max(sum.forced, theirs.forced)
            sum.opened += theirs.opened
            sum.ownTrips += theirs.ownTrips
            sum.probes += theirs.probes
            targets[name] = sum
        }
    }

    func write(onto page: inout MetricsPage) {
        gauge("sluice_breaker_state", "0 closed, 1 open, 2 half-open: as the cluster knows it.", \.state, &page)
        gauge("sluice_breaker_forced", "1 forced open, 2 forced closed by an operator, else 0.", \.forced, &page)
        counter("sluice_breaker_opened_total", "Breakers that this node's reports opened.", \.opened, &page)
        counter("sluice_breaker_trips_total", "Windows of this node's lanes that tripped.", \.ownTrips, &page)
        counter("sluice_breaker_probes_total", "Requests of this node that probed.", \.probes, &page)
    }

    private func gauge(
        _ name: MetricName, _ help: String, _ value: KeyPath<Target, Int64>, _ page: inout MetricsPage
    ) {
        page.begin(name, help: help, type: .gauge)
        for target in sorted { page.sample(name, labels: labels(target), value: .signed(target[keyPath: value])) }
    }

    private func counter(
        _ name: MetricName, _ help: String, _ value: KeyPath<Target, Int64>, _ page: inout MetricsPage
    ) {
        page.begin(name, help: help, type: .counter)
        for target in sorted { page.sample(name, labels: labels(target), value: .signed(target[keyPath: value])) }
    }

    private var sorted: [Target] { targets.sorted { $0.key < $1.key }.map(\.value) }

    private func labels(_ target: Target) -> LabelText {
        LabelText(names: [GenAILabel.provider, GenAILabel.requestModel], values: [target.provider, target.model])
    }
}
