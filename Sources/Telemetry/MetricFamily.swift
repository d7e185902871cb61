// One metric with labels: a bounded set of series, each found once and then reached by its place.

/// The place of one series in its family: looked up once (cold), used on every record (hot).
@frozen public struct Series: Hashable, Sendable {
    @usableFromInline let index: Int

    @inlinable init(index: Int) { self.index = index }
}

/// A metric with labels. The number of series is bounded: label values that come after the bound share one series whose
/// label values are all `other`, so a peer that invents names cannot grow memory or the page.
public struct MetricFamily<M: Metric>: Sendable {
    /// The metric's name.
    public let name: MetricName
    let help: String
    let labels: [String]
    let limit: Int
    let blank: M
    private var places: [[String]: Int] = [:]
    private var values: [[String]] = []
    @usableFromInline var metrics: [M] = []
    /// Times that a new series found the family full and became part of `other`.
    public private(set) var overflows: UInt64 = 0

    /// A family without series.
    ///
    /// - Parameters:
    ///   - limit: most series that the family will hold, the one for `other` included.
    ///   - blank: what a new series starts as.
    public init(_ name: MetricName, help: String, labels: [String], limit: Int = 200, blank: M) {
        precondition(limit >= 1, "a family has room for one series")
        precondition(labels.allSatisfy(MetricName.isValidLabel), "a label name consists of letters, digits and '_'")
        self.name = name
        self.help = help
        self.labels = labels
        self.limit = limit
        self.blank = blank
    }

    /// How many series the family holds.
    public var count: Int { metrics.count }

    /// The series with these label values, made when there is none; the shared series `other` once the family is full.
    ///
    /// - Precondition: there is one value for each label.
    public mutating func series(_ labelValues: String...) -> Series { series(labelValues) }

    /// The series with these label values, made when there is none; the shared series `other` once the family is full.
    ///
    /// - Precondition: there is one value for each label.
    public mutating func series(_ labelValues: [String]) -> Series {
        precondition(labelValues.count == labels.count, "each label of a family has one value")
        if let index = places[labelValues] { return Series(index: index) }
        let other = [String](repeating: "other", count: labels.count)
        // The last place is kept for `other`, so that a full family can always name it.
        let isFull = metrics.count >= limit - (places[other] == nil ? 1 : 0)
        if isFull, labelValues != other {
            overflows &+= 1
            return series(other)
        }
        places[labelValues] = metrics.count
        values.append(labelValues)
        metrics.append(blank)
        return Series(index: metrics.count - 1)
    }

    /// The measurement of a series of this family.
    @inlinable public subscript(series: Series) -> M {
        get { metrics[series.index] }
        _modify { yield &metrics[series.index] }
    }

    /// A sum over all series.
    public func sum(_ value: (M) -> UInt64) -> UInt64 { metrics.reduce(0) { $0 &+ value($1) } }

    /// Adds another lane's copy, series by series; series that this copy lacks are added within the bound.
    public mutating func merge(_ other: MetricFamily) {
        precondition(name == other.name && labels == other.labels, "only copies of one family can be merged")
        // What has no room in the sum is no new overflow: this copy is made again at each scrape.
        let sum = overflows &+ other.overflows
        for (labelValues, metric) in zip(other.values, other.metrics) {
            metrics[series(labelValues).index].merge(metric)
        }
        overflows = sum
    }

    /// Writes the samples of all series in the order of their label values.
    func writeSamples(onto page: inout MetricsPage) {
        let order = values.indices.sorted { values[$0].lexicographicallyPrecedes(values[$1]) }
        for index in order {
            metrics[index].write(name, labels: LabelText(names: labels, values: values[index]), onto: &page)
        }
    }
}
