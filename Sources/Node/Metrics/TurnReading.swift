// How long the turns of a node's lanes take, at the moment of a scrape.
import Core
import Net
import Telemetry

/// The turns of lanes, for the metrics page.
struct TurnReading: Sendable {
    private var turns: Histogram
    private var longest: Duration

    init(_ lane: Lane) {
        turns = lane.turnTimes.all
        longest = lane.turnTimes.longest(at: lane.now)
    }

    mutating func merge(_ other: TurnReading) {
        turns.merge(other.turns)
        longest = max(longest, other.longest)
    }

    func write(onto page: inout MetricsPage) {
        page.add(
            "sluice_lane_turn_seconds",
            help: "Turns of the lanes: what a lane does before it looks at its sockets again.", turns)
        page.gauge(
            "sluice_lane_longest_turn_seconds", help: "Longest turn of a lane in the last 30 to 60 seconds.",
            value: .nanoseconds(longest.nanoseconds))
    }
}
