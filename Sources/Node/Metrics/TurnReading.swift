// How long the turns of a node's lanes take, at the moment of a scrape.
import Core
import Net
import Telemetry

/// The turns of lanes, for the metrics page.
struct TurnReading: MetricSet {
    private var turns: Histogram
    private var longest: Duration

    init(_ lane: Lane) {
        turns = lane.turnTimes.all
        longest = lane.turnTimes.longest(at: lane.now)
    }

    static let rows: [MetricRow<TurnReading>] = [
        .one(
            "sluice_lane_turn_seconds",
            "Turns of the lanes: what a lane does before it looks at its sockets again.", \.turns),
        .highest(
            "sluice_lane_longest_turn_seconds", "Longest turn of a lane in the last 30 to 60 seconds.", \.longest
        ) { .nanoseconds($0.nanoseconds) },
    ]
}
