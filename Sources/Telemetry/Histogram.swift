// Counts values per range in fixed memory, merges exactly, and tells percentiles with a stated error.
import Core

/// A distribution of durations or amounts.
///
/// Memory: 10 KiB, from the first value on. Recording allocates nothing after that. Merging loses nothing: the merge of two
/// histograms equals the histogram of all values. A percentile is at most 1/64 (1.6 %) off the recorded value it stands for;
/// Prometheus buckets, count, sum and largest value are exact.
@frozen public struct Histogram: Metric {
    /// Fine counts, then one count for each round boundary. Empty until the first value.
    @usableFromInline var counts: [UInt64]
    @usableFromInline let scale: HistogramScale
    @usableFromInline var total: Int64
    @usableFromInline var maximum: Int64

    /// An empty histogram.
    public init(_ scale: HistogramScale = .duration) {
        counts = []
        self.scale = scale
        total = 0
        maximum = 0
    }

    /// Sum of all values in recorded units; saturates.
    public var sum: Int64 { total }

    /// The largest value so far, zero when there is none.
    public var largest: Int64 { maximum }

    /// How many values were recorded.
    public var count: UInt64 { counts.dropFirst(HistogramScale.rangeCount).reduce(0, &+) }

    /// Counts one value in recorded units (nanoseconds for durations). A negative value counts as zero.
    @inlinable public mutating func record(_ value: Int64) {
        if counts.isEmpty { allocate() }
        let value = max(0, value)
        let range = HistogramScale.index(of: min(value, HistogramScale.largestValue))
        counts[range] &+= 1
        var boundary = Int(scale.firstBoundary[range])
        // A fine range holds at most one boundary, so one comparison makes the round counts exact.
        if value > scale.bounds[boundary] { boundary += 1 }
        counts[scale.firstBoundary.count + boundary] &+= 1
        let (sum, overflow) = total.addingReportingOverflow(value)
        total = overflow ? .max : sum
        if value > maximum { maximum = value }
    }

    /// Counts one duration.
    @inlinable public mutating func record(_ duration: Duration) { record(duration.nanoseconds) }

    /// Counts the time between two moments; the cheapest way to record a duration.
    @inlinable public mutating func record(from start: Instant, to end: Instant) {
        record(end.nanoseconds &- start.nanoseconds)
    }

    @usableFromInline mutating func allocate() {
        counts = [UInt64](repeating: 0, count: HistogramScale.rangeCount + scale.bounds.count)
    }

    /// Adds every value of `other`.
    ///
    /// - Precondition: both count on the same scale.
    public mutating func merge(_ other: Histogram) {
        precondition(scale === other.scale, "only histograms of one scale can be merged")
        guard !other.counts.isEmpty else { return }
        if counts.isEmpty { allocate() }
        for index in counts.indices { counts[index] &+= other.counts[index] }
        let (sum, overflow) = total.addingReportingOverflow(other.total)
        total = overflow ? .max : sum
        maximum = max(maximum, other.maximum)
    }

    /// The value that `percent` of all values do not exceed, in recorded units; nil when nothing was recorded.
    ///
    /// The answer is the middle of the range that holds the value, at most 1/64 off it, and never above `largest`.
    public func percentile(_ percent: Double) -> Int64? {
        let total = count
        guard total > 0 else { return nil }
        let share = min(max(percent, 0), 100) / 100 * Double(total)
        // Rounded up by hand: the standard library's rounding would tie this room to the C library's mathematics.
        let whole = UInt64(share)
        let rank = min(max(1, Double(whole) < share ? whole + 1 : whole), total)
        var passed: UInt64 = 0
        for range in 0..<HistogramScale.rangeCount where counts[range] > 0 {
            passed &+= counts[range]
            guard passed >= rank else { continue }
            if range == HistogramScale.rangeCount - 1 { return largest }
            return min(largest, HistogramScale.lowerEnd(of: range) + (HistogramScale.width(of: range) - 1) / 2)
        }
        return largest
    }

    /// The value that `percent` of all values do not exceed, read as nanoseconds.
    public func percentileDuration(_ percent: Double) -> Duration? {
        percentile(percent).map { .nanoseconds($0) }
    }

    /// The mean in recorded units; nil when nothing was recorded.
    public var mean: Double? { count == 0 ? nil : Double(sum) / Double(count) }

    /// `histogram`.
    public static var exposedType: MetricType { .histogram }

    /// Writes the cumulative `_bucket` lines, `_sum` and `_count`.
    public func write(_ name: MetricName, labels: borrowing LabelText, onto page: inout MetricsPage) {
        var passed: UInt64 = 0
        for (index, bound) in scale.bounds.enumerated() {
            if !counts.isEmpty { passed &+= counts[HistogramScale.rangeCount + index] }
            let end: SampleValue? = bound == .max ? nil : shown(bound)
            page.bucket(name, labels: labels, upTo: end, count: passed)
        }
        page.sample(name, suffix: "_sum", labels: labels, value: shown(sum))
        page.sample(name, suffix: "_count", labels: labels, value: .unsigned(passed))
    }

    private func shown(_ value: Int64) -> SampleValue {
        switch scale.unit {
        case .seconds: .nanoseconds(value)
        case .count: .signed(value)
        }
    }
}
