// How often attempts at a lane's targets failed, by class, at the moment of a scrape.
import Policy
import Providers
import Telemetry

/// How often attempts at one target failed: classes are a closed set, so that they may be a label.
struct FailureCounts: Sendable {
    private var counts: [FailureClass: Int64] = [:]

    mutating func add(_ kind: FailureClass) { counts[kind, default: 0] += 1 }

    mutating func merge(_ other: FailureCounts) { counts.merge(other.counts) { $0 + $1 } }

    /// Those that happened, in the order of the classes.
    var all: [(kind: FailureClass, count: Int64)] {
        FailureClass.allCases.compactMap { kind in counts[kind].map { (kind, $0) } }
    }
}

/// Counts by target, for the metrics page.
struct FailureReading: Sendable {
    private struct Target {
        let provider: String
        let model: String
        var counts: FailureCounts
    }

    private var targets: [String: Target] = [:]

    init(_ lane: some Sequence<LaneTarget>) {
        for target in lane {
            targets[target.name] = Target(
                provider: target.provider, model: target.model, counts: target.failureCounts)
        }
    }

    mutating func merge(_ other: FailureReading) {
        for (name, theirs) in other.targets {
            if targets[name] == nil { targets[name] = theirs } else { targets[name]?.counts.merge(theirs.counts) }
        }
    }

    func write(onto page: inout MetricsPage) {
        let name: MetricName = "sluice_attempt_failures_total"
        page.begin(name, help: "Attempts that failed, also those that a later one repaired, by class.", type: .counter)
        for (_, target) in targets.sorted(by: { $0.key < $1.key }) {
            for (kind, count) in target.counts.all {
                let labels = LabelText(
                    names: [GenAILabel.provider, GenAILabel.requestModel, "error_type"],
                    values: [target.provider, target.model, kind.rawValue])
                page.sample(name, labels: labels, value: .signed(count))
            }
        }
    }
}
