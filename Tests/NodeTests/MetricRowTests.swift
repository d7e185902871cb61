// Each metric that a node keeps has its row: what has none is neither merged nor shown.
import Store
import Telemetry
import Testing

@testable import Node

@Suite struct MetricRowTests {
    @Test func `each metric of a lane has a row`() {
        let kept = Mirror(reflecting: NodeMetrics()).children.compactMap(\.label)
        // How requests find their series is not counted.
        #expect(kept.count - Set(kept).intersection(["places", "last"]).count == NodeMetrics.rows.count)
        #expect(Mirror(reflecting: RedisMetrics()).children.count == RedisMetrics.rows.count)
    }

    @Test func `figures of lanes add up by name, but for states, of which the highest counts`() {
        func table(_ model: String, state: Int64) -> FigureTable<BreakerFigures> {
            var table = FigureTable<BreakerFigures>()
            table["sim", model] = BreakerFigures(state: state, forced: 0, opened: 1, ownTrips: 2, probes: 3)
            return table
        }
        var sum = table("a", state: 2)
        sum.merge(table("a", state: 1))
        sum.merge(table("b", state: 1))
        #expect(sum["sim", "a"]?.state == 2 && sum["sim", "a"]?.probes == 6)
        var page = MetricsPage()
        sum.write(onto: &page)
        let bytes = page.finish().array()
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains("sluice_breaker_trips_total{gen_ai_provider_name=\"sim\",gen_ai_request_model=\"a\"} 4"))
        #expect(text.contains("sluice_breaker_state{gen_ai_provider_name=\"sim\",gen_ai_request_model=\"b\"} 1"))
    }
}
