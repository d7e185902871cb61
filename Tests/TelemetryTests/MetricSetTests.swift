// A set of metrics: what its rows merge and show.
import Core
import Telemetry
import Testing

@Suite struct MetricSetTests {
    private struct Inner: MetricSet {
        var count = Counter()
        static let rows: [MetricRow<Inner>] = [.one("inner_total", "Inner.", \.count)]
    }

    private struct Sample: MetricSet {
        var requests = MetricFamily<Counter>("requests_total", help: "Requests.", labels: ["route"], blank: Counter())
        var inner = Inner()
        var open = 0
        var lost = 0
        var share = 0.0
        var isSafe = false
        var isReady = true
        var hidden = 0
        static let rows: [MetricRow<Sample>] = [
            .family(\.requests), .part(\.inner), .level("open", "Open.", \.open), .total("lost_total", "Lost.", \.lost),
            .highest("share_ratio", "Share.", \.share) { .real($0) }, .any("safe", "Safe.", \.isSafe),
            .all("ready", "Ready.", \.isReady), .unshown(\.hidden, max),
        ]

        init(_ number: Int, isSafe: Bool, isReady: Bool) {
            let series = requests.series("r")
            requests[series].add(UInt64(number))
            inner.count.add(UInt64(number))
            (open, lost, share, hidden) = (number, number, Double(number), number)
            (self.isSafe, self.isReady) = (isSafe, isReady)
        }
    }

    @Test func `each row merges as it says, and is shown once`() {
        var sum = Sample(1, isSafe: false, isReady: true)
        sum.merge(Sample(2, isSafe: true, isReady: false))
        var page = MetricsPage()
        sum.write(onto: &page)
        let bytes = page.finish().array()
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(
            lines == [
                "requests_total{route=\"r\"} 3", "inner_total 3", "open 3", "lost_total 3", "share_ratio 2.0", "safe 1",
                "ready 0",
            ])
        #expect(sum.hidden == 2)
    }
}
