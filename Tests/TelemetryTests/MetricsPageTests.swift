// The metrics page as a scraper reads it.
import Core
import Testing

@testable import Telemetry

@Suite struct MetricsPageTests {
    @Test func aCounterHasHelpTypeAndOneSample() {
        var counter = Counter()
        counter.add()
        counter.add(41)
        var page = MetricsPage()
        page.add("sluice_requests_total", help: "Requests that\narrived \\ here.", counter)
        #expect(
            text(page.finish()) == """
                # HELP sluice_requests_total Requests that\\narrived \\\\ here.
                # TYPE sluice_requests_total counter
                sluice_requests_total 42

                """)
    }

    @Test func aFamilyWritesItsSeriesInOrderUnderOneHeading() {
        var family = MetricFamily(
            "sluice_refusals_total", help: "Refused requests.", labels: ["org", "reason"], blank: Counter())
        family[family.series("zeta", "limit")].add(2)
        family[family.series("acme", "say \"no\"\\\n")].add(1)
        family[family.series("zeta", "limit")].add(3)
        var page = MetricsPage()
        page.add(family)
        #expect(
            text(page.finish()) == """
                # HELP sluice_refusals_total Refused requests.
                # TYPE sluice_refusals_total counter
                sluice_refusals_total{org="acme",reason="say \\"no\\"\\\\\\n"} 1
                sluice_refusals_total{org="zeta",reason="limit"} 5

                """)
    }

    @Test func lanesThatMetSeriesInDifferentOrderMergeByTheirLabels() {
        let blank = MetricFamily("f", help: "f", labels: ["model"], blank: Counter())
        var left = blank, right = blank
        left[left.series("a")].add(1)
        left[left.series("b")].add(10)
        right[right.series("c")].add(100)
        right[right.series("b")].add(1000)
        left.merge(right)
        #expect(left[left.series("a")].value == 1)
        #expect(left[left.series("b")].value == 1010)
        #expect(left[left.series("c")].value == 100)
        #expect(left.count == 3)
    }

    @Test func aFullFamilyCountsNewcomersAsOther() {
        var family = MetricFamily("f", help: "f", labels: ["model"], limit: 3, blank: Counter())
        for model in ["a", "b", "c", "d", "e"] { family[family.series(model)].add() }
        #expect(family.count == 3)
        #expect(family[family.series("a")].value == 1)
        #expect(family[family.series("other")].value == 3)
    }

    @Test func mergingManyLanesStaysWithinTheBound() {
        let blank = MetricFamily("f", help: "f", labels: ["model"], limit: 4, blank: Counter())
        var merged = blank
        for lane in 0..<10 {
            var copy = blank
            for model in 0..<10 { copy[copy.series("model \(lane) \(model)")].add() }
            merged.merge(copy)
        }
        #expect(merged.count == 4)
        var total: UInt64 = 0
        for series in merged.metrics { total += series.value }
        #expect(total == 100, "what does not fit is counted as other, not dropped")
    }

    @Test func aHistogramIsCumulativeAndInSeconds() {
        var family = MetricFamily(.requestDuration, help: "d", labels: [GenAILabel.operation], blank: Histogram())
        let chat = family.series("chat")
        family[chat].record(.microseconds(90))
        family[chat].record(.milliseconds(30))
        family[chat].record(.seconds(500))
        var page = MetricsPage()
        page.add(family)
        let lines = text(page.finish()).split(separator: "\n").map(String.init)
        let name = "gen_ai_server_request_duration_seconds"
        let label = "gen_ai_operation_name=\"chat\""
        #expect(lines[1] == "# TYPE \(name) histogram")
        #expect(lines[2] == "\(name)_bucket{\(label),le=\"0.0001\"} 1")
        #expect(lines.contains("\(name)_bucket{\(label),le=\"0.025\"} 1"))
        #expect(lines.contains("\(name)_bucket{\(label),le=\"0.05\"} 2"))
        #expect(lines.contains("\(name)_bucket{\(label),le=\"120\"} 2"))
        #expect(lines.contains("\(name)_bucket{\(label),le=\"+Inf\"} 3"))
        #expect(lines.contains("\(name)_sum{\(label)} 500.03009"))
        #expect(lines.last == "\(name)_count{\(label)} 3")
    }

    @Test func anEmptyHistogramStillShowsAllBuckets() {
        var page = MetricsPage()
        page.add("h", help: "h", Histogram())
        let lines = text(page.finish()).split(separator: "\n")
        #expect(lines.count == 2 + 20 + 2)
        #expect(lines.dropFirst(2).allSatisfy { $0.hasSuffix(" 0") })
    }

    @Test func gaugesFactsAndRealNumbers() {
        var page = MetricsPage()
        page.gauge("a", help: "a", value: .signed(-7))
        page.gauge("b", help: "b", value: .real(.infinity))
        page.gauge("c", help: "c", value: .real(.nan))
        page.gauge("d", help: "d", value: .real(0.25))
        page.gauge("e", help: "e", value: .nanoseconds(-1_500_000_000))
        page.facts("f_info", help: "f", [("version", "1.0"), ("name", "a")])
        let lines = text(page.finish()).split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(lines == ["a -7", "b +Inf", "c NaN", "d 0.25", "e -1.5", "f_info{version=\"1.0\",name=\"a\"} 1"])
    }

    @Test func `money is counted in millionths and shown in dollars`() {
        for (amount, shown) in [
            (0, "0"), (1, "0.000001"), (1_500_000, "1.5"), (20_000_000, "20"), (7_000_120, "7.00012"),
            (UInt64.max, "18446744073709.551615"),
        ] {
            var money = MoneyCounter()
            money.add(microUSD: amount)
            var page = MetricsPage()
            page.add("m", help: "m", money)
            #expect(text(page.finish()) == "# HELP m m\n# TYPE m counter\nm \(shown)\n")
        }
    }

    @Test func `h10: ten thousand invented label values stay within the bound, and the page says that it was full`() {
        let blank = MetricFamily("f", help: "f", labels: ["model"], limit: 200, blank: Counter())
        var lanes = [blank, blank]
        for number in 0..<10_000 {
            let lane = number % 2
            let place = lanes[lane].series("model \(number)")
            lanes[lane][place].add()
        }
        var merged = blank
        for lane in lanes { merged.merge(lane) }
        #expect(merged.count == 200)
        #expect(merged.sum(\.value) == 10_000, "what does not fit is counted as other")
        // Each lane had room for 199 of its 5,000.
        #expect(merged.overflows == 2 * (5_000 - 199))
        var page = MetricsPage()
        page.add(merged)
        let lines = text(page.finish()).split(separator: "\n")
        #expect(lines.count == 2 + 200 + 3)
        #expect(lines.last == "sluice_metrics_overflow_total{metric=\"f\"} 9602")
        #expect(lines.contains { $0.hasPrefix("f{model=\"other\"} ") })
    }

    @Test func gaugesOfAllLanesAddUp() {
        var left = Gauge(5)
        var right = Gauge()
        right.add(3)
        right.subtract(1)
        left.merge(right)
        #expect(left.value == 7)
    }

    @Test(arguments: ["a", "A_b:c9", ":x", "_"])
    func validNames(_ name: String) { #expect(MetricName(name)?.description == name) }

    @Test(arguments: ["", "9a", "a-b", "a b", "ä", "a.b", "a\n"])
    func invalidNames(_ name: String) { #expect(MetricName(name) == nil) }

    @Test(arguments: ["le", "__name__", "a:b", "", "1"])
    func invalidLabels(_ name: String) { #expect(!MetricName.isValidLabel(name)) }

    private func text(_ buffer: consuming ByteBuffer) -> String { buffer.string(of: buffer.slice) }
}
