// Histograms: exact counts, exact merges, percentiles within the stated error.
import Core
import Testing

@testable import Telemetry

@Suite struct HistogramTests {
    @Test func fineRangesCoverEveryValueWithoutGapOrOverlap() {
        for range in 0..<HistogramScale.rangeCount {
            let low = HistogramScale.lowerEnd(of: range)
            let high = low + HistogramScale.width(of: range) - 1
            #expect(HistogramScale.index(of: low) == range)
            #expect(HistogramScale.index(of: high) == range)
            if range + 1 < HistogramScale.rangeCount {
                #expect(HistogramScale.lowerEnd(of: range + 1) == high + 1)
            } else {
                #expect(high == HistogramScale.largestValue)
            }
            #expect(HistogramScale.width(of: range) <= max(1, low / 32))
        }
    }

    @Test func percentilesStayWithinOneSixtyFourth() {
        var state: UInt64 = 7
        var values: [Int64] = []
        var histogram = Histogram()
        for _ in 0..<20_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // Spread over nine powers of ten, as latencies are.
            let value = Int64(state >> 40) << Int64((state >> 33) % 18)
            values.append(value)
            histogram.record(value)
        }
        values.sort()
        for percent in [0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 100] {
            let exact = values[max(0, Int((percent / 100 * 20_000).rounded(.up)) - 1)]
            guard let told = histogram.percentile(percent) else {
                Issue.record("a filled histogram tells every percentile")
                return
            }
            #expect(
                abs(Double(told - exact)) <= Double(exact) / 64 + 1, "percentile \(percent): \(told), exact \(exact)")
        }
    }

    @Test func percentileOfNothingIsNothing() {
        #expect(Histogram().percentile(50) == nil)
        #expect(Histogram().mean == nil)
    }

    @Test func oneValueIsEveryPercentile() {
        var histogram = Histogram()
        histogram.record(.milliseconds(250))
        #expect(histogram.percentileDuration(0) == histogram.percentileDuration(100))
        #expect(histogram.largest == 250_000_000)
        #expect(histogram.sum == 250_000_000)
    }

    @Test func roundBoundariesAreExactToTheNanosecond() {
        for bound in HistogramScale.duration.bounds.dropLast() {
            var histogram = Histogram()
            histogram.record(bound)
            histogram.record(bound + 1)
            let lines = page(histogram).split(separator: "\n").filter { $0.contains("_bucket") }
            let counts = lines.compactMap { $0.split(separator: " ").last.map(String.init) }
            let place = HistogramScale.duration.bounds.firstIndex(of: bound) ?? 0
            #expect(counts[place] == "1", "the bound itself belongs to its bucket")
            #expect(counts[place + 1] == "2", "the next nanosecond belongs to the next bucket")
            #expect(place == 0 || counts[place - 1] == "0")
        }
    }

    @Test func mergeEqualsTheHistogramOfAllValues() {
        var left = Histogram(), right = Histogram(), both = Histogram()
        for step in 0..<1000 {
            let value = Int64(step * step * 977)
            if step % 3 == 0 { left.record(value) } else { right.record(value) }
            both.record(value)
        }
        left.merge(right)
        #expect(left.counts == both.counts)
        #expect(left.sum == both.sum)
        #expect(left.largest == both.largest)
        #expect(left.count == 1000)
    }

    @Test func mergingIntoAnEmptyHistogramCopies() {
        var filled = Histogram(.tokenUsage), empty = Histogram(.tokenUsage)
        filled.record(12)
        empty.merge(filled)
        #expect(empty.count == 1)
        filled.merge(Histogram(.tokenUsage))
        #expect(filled.count == 1)
    }

    @Test func extremesAreCountedAndKeepTheirSum() {
        var histogram = Histogram()
        histogram.record(-5)
        histogram.record(.max)
        histogram.record(.max)
        #expect(histogram.count == 3)
        #expect(histogram.sum == .max)
        #expect(histogram.percentile(1) == 0)
        #expect(histogram.percentile(100) == .max)
    }

    @Test func tokenUsageShowsWholeNumbers() {
        var histogram = Histogram(.tokenUsage)
        histogram.record(64)
        histogram.record(65)
        let text = page(histogram)
        #expect(text.contains("h_bucket{le=\"64\"} 1\n"))
        #expect(text.contains("h_bucket{le=\"256\"} 2\n"))
        #expect(text.contains("h_sum 129\n"))
        #expect(text.contains("h_count 2\n"))
    }

    private func page(_ histogram: Histogram) -> String {
        var page = MetricsPage()
        page.add("h", help: "h", histogram)
        let text = page.finish()
        return text.string(of: text.slice)
    }
}
