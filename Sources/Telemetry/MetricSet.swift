// Metrics that belong together: one row for each, so that none is merged and not shown, or shown and not merged.

/// What lanes hold apart and a scrape adds up and shows.
public protocol MetricPart: Sendable {
    /// Adds what another lane holds.
    mutating func merge(_ other: Self)
    /// Writes all of it.
    func write(onto page: inout MetricsPage)
}

/// A part that is nothing but its rows.
public protocol MetricSet: MetricPart {
    /// One row for each metric, in the order of the page.
    static var rows: [MetricRow<Self>] { get }
}

extension MetricSet {
    /// Adds what another lane holds.
    public mutating func merge(_ other: Self) { for row in Self.rows { row.merge(&self, other) } }

    /// Writes all of it.
    public func write(onto page: inout MetricsPage) { for row in Self.rows { row.write(self, &page) } }
}

/// One metric of a set: where it is kept, how those of two lanes become one, and how it is shown.
public struct MetricRow<Whole>: Sendable {
    let merge: @Sendable (inout Whole, Whole) -> Void
    let write: @Sendable (Whole, inout MetricsPage) -> Void

    /// A row of its own kind.
    public init(
        merge: @escaping @Sendable (inout Whole, Whole) -> Void,
        write: @escaping @Sendable (Whole, inout MetricsPage) -> Void
    ) {
        self.merge = merge
        self.write = write
    }

    /// A metric with labels, which has its name and help itself.
    public static func family<M: Metric>(_ path: any WritableKeyPath<Whole, MetricFamily<M>> & Sendable) -> MetricRow {
        MetricRow {
            $0[keyPath: path].merge($1[keyPath: path])
        } write: {
            $1.add($0[keyPath: path])
        }
    }

    /// A metric without labels: a counter, a histogram.
    public static func one<M: Metric>(
        _ name: MetricName, _ help: String, _ path: any WritableKeyPath<Whole, M> & Sendable
    ) -> MetricRow {
        MetricRow {
            $0[keyPath: path].merge($1[keyPath: path])
        } write: {
            $1.add(name, help: help, $0[keyPath: path])
        }
    }

    /// A level that is the sum of the lanes'.
    public static func level(
        _ name: MetricName, _ help: String, _ path: any WritableKeyPath<Whole, Int> & Sendable
    ) -> MetricRow {
        MetricRow {
            $0[keyPath: path] += $1[keyPath: path]
        } write: {
            $1.gauge(name, help: help, value: .signed(Int64($0[keyPath: path])))
        }
    }

    /// A count that is the sum of the lanes'.
    public static func total(
        _ name: MetricName, _ help: String, _ path: any WritableKeyPath<Whole, Int> & Sendable
    ) -> MetricRow {
        MetricRow {
            $0[keyPath: path] += $1[keyPath: path]
        } write: {
            $1.counter(name, help: help, value: .signed(Int64($0[keyPath: path])))
        }
    }

    /// A level that is the highest of the lanes'.
    public static func highest<Value: Comparable & Sendable>(
        _ name: MetricName, _ help: String, _ path: any WritableKeyPath<Whole, Value> & Sendable,
        _ shown: @escaping @Sendable (Value) -> SampleValue
    ) -> MetricRow {
        MetricRow {
            $0[keyPath: path] = max($0[keyPath: path], $1[keyPath: path])
        } write: {
            $1.gauge(name, help: help, value: shown($0[keyPath: path]))
        }
    }

    /// 1 when it is so on any lane.
    public static func any(
        _ name: MetricName, _ help: String, _ path: any WritableKeyPath<Whole, Bool> & Sendable
    ) -> MetricRow {
        MetricRow {
            $0[keyPath: path] = $0[keyPath: path] || $1[keyPath: path]
        } write: {
            $1.gauge(name, help: help, value: .signed($0[keyPath: path] ? 1 : 0))
        }
    }

    /// 1 when it is so on all lanes.
    public static func all(
        _ name: MetricName, _ help: String, _ path: any WritableKeyPath<Whole, Bool> & Sendable
    ) -> MetricRow {
        MetricRow {
            $0[keyPath: path] = $0[keyPath: path] && $1[keyPath: path]
        } write: {
            $1.gauge(name, help: help, value: .signed($0[keyPath: path] ? 1 : 0))
        }
    }

    /// A part that writes itself.
    public static func part<Part: MetricPart>(_ path: any WritableKeyPath<Whole, Part> & Sendable) -> MetricRow {
        MetricRow {
            $0[keyPath: path].merge($1[keyPath: path])
        } write: {
            $0[keyPath: path].write(onto: &$1)
        }
    }

    /// What is merged and shown elsewhere.
    public static func unshown<Value>(
        _ path: any WritableKeyPath<Whole, Value> & Sendable,
        _ merged: @escaping @Sendable (Value, Value) -> Value
    ) -> MetricRow {
        MetricRow {
            $0[keyPath: path] = merged($0[keyPath: path], $1[keyPath: path])
        } write: {
            _, _ in
        }
    }
}
