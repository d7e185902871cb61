// Figures of things that have names, such as targets: one column a metric, one row a thing.
import Telemetry

/// What is counted of one thing.
protocol Figures: Sendable {
    /// Names of the labels that tell things apart.
    static var labels: [String] { get }
    /// One column for each metric.
    static var columns: [FigureColumn<Self>] { get }
}

/// One metric of all things.
struct FigureColumn<Row: Figures>: Sendable {
    let name: MetricName
    let help: String
    let type: MetricType
    let path: any WritableKeyPath<Row, Int64> & Sendable
    /// Lanes do not add up: the highest of them counts.
    var isHighest = false

    static func counter(
        _ name: MetricName, _ help: String, _ path: any WritableKeyPath<Row, Int64> & Sendable
    ) -> FigureColumn { FigureColumn(name: name, help: help, type: .counter, path: path) }

    static func level(
        _ name: MetricName, _ help: String, _ path: any WritableKeyPath<Row, Int64> & Sendable
    ) -> FigureColumn { FigureColumn(name: name, help: help, type: .gauge, path: path) }

    static func highest(
        _ name: MetricName, _ help: String, _ path: any WritableKeyPath<Row, Int64> & Sendable
    ) -> FigureColumn { FigureColumn(name: name, help: help, type: .gauge, path: path, isHighest: true) }
}

/// The figures of all things of a kind, by the values of their labels.
struct FigureTable<Row: Figures>: MetricPart {
    private var rows: [[String]: Row] = [:]

    subscript(_ labels: String...) -> Row? {
        get { rows[labels] }
        set { rows[labels] = newValue }
    }

    mutating func merge(_ other: FigureTable) {
        rows.merge(other.rows) { own, theirs in
            var sum = own
            for column in Row.columns {
                let more = theirs[keyPath: column.path]
                if column.isHighest {
                    sum[keyPath: column.path] = max(sum[keyPath: column.path], more)
                } else {
                    sum[keyPath: column.path] += more
                }
            }
            return sum
        }
    }

    func write(onto page: inout MetricsPage) {
        let sorted = rows.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        for column in Row.columns {
            page.begin(column.name, help: column.help, type: column.type)
            for (values, row) in sorted {
                let labels = LabelText(names: Row.labels, values: values)
                page.sample(column.name, labels: labels, value: .signed(row[keyPath: column.path]))
            }
        }
    }
}
