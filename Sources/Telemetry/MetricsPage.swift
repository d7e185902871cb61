// The text that a scrape gets: Prometheus exposition format, version 0.0.4.
import Core

/// A number in a sample line.
public enum SampleValue: Sendable {
    /// A whole number.
    case signed(Int64)
    /// A whole number.
    case unsigned(UInt64)
    /// Nanoseconds, shown as seconds with all their digits.
    case nanoseconds(Int64)
    /// Millionths, shown in whole units with all their digits.
    case millionths(UInt64)
    /// Any number.
    case real(Double)
}

/// A page of metrics being written. Each metric stands on it once, with its help and type in front of its samples.
public struct MetricsPage: ~Copyable {
    /// The media type of the page.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private var text = ByteBuffer()
    private var written: Set<String> = []
    private var overflows: [(name: MetricName, count: UInt64)] = []

    /// An empty page.
    public init() {}

    /// Writes a metric without labels.
    ///
    /// - Precondition: no metric of this name stands on the page.
    public mutating func add<M: Metric>(_ name: MetricName, help: String, _ metric: M) {
        begin(name, help: help, type: M.exposedType)
        metric.write(name, labels: .none, onto: &self)
    }

    /// Writes all series of a family; a family without series still shows its help and type.
    ///
    /// - Precondition: no metric of this name stands on the page.
    public mutating func add<M: Metric>(_ family: MetricFamily<M>) {
        begin(family.name, help: family.help, type: M.exposedType)
        family.writeSamples(onto: &self)
        overflows.append((family.name, family.overflows))
    }

    /// Writes a value that was counted elsewhere.
    public mutating func counter(_ name: MetricName, help: String, value: UInt64) {
        begin(name, help: help, type: .counter)
        sample(name, suffix: "", labels: .none, value: .unsigned(value))
    }

    /// Writes a value that was measured elsewhere and only grows.
    public mutating func counter(_ name: MetricName, help: String, value: SampleValue) {
        begin(name, help: help, type: .counter)
        sample(name, suffix: "", labels: .none, value: value)
    }

    /// Writes a level that was measured elsewhere.
    public mutating func gauge(_ name: MetricName, help: String, value: SampleValue) {
        begin(name, help: help, type: .gauge)
        sample(name, suffix: "", labels: .none, value: value)
    }

    /// Writes a level that says something about the program by its labels, such as version and name, with the value 1.
    ///
    /// - Precondition: the name ends with `_info`, as is the custom for such metrics.
    public mutating func facts(_ name: MetricName, help: String, _ facts: [(name: String, value: String)]) {
        precondition(name.description.hasSuffix("_info"), "a metric that holds facts is named …_info")
        begin(name, help: help, type: .gauge)
        let labels = LabelText(names: facts.map(\.name), values: facts.map(\.value))
        sample(name, suffix: "", labels: labels, value: .signed(1))
    }

    /// Writes help and type of a metric whose samples follow through `sample(_:labels:value:)`.
    ///
    /// - Precondition: no metric of this name stands on the page.
    public mutating func begin(_ name: MetricName, help: String, type: MetricType) {
        precondition(written.insert(name.description).inserted, "a metric stands on a page once: \(name)")
        text.append(literal: "# HELP ")
        text.append(name.description)
        text.append(UInt8(ascii: " "))
        for byte in help.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): text.append(literal: "\\\\")
            case UInt8(ascii: "\n"): text.append(literal: "\\n")
            default: text.append(byte)
            }
        }
        text.append(literal: "\n# TYPE ")
        text.append(name.description)
        text.append(UInt8(ascii: " "))
        text.append(type.rawValue)
        text.append(UInt8(ascii: "\n"))
    }

    /// Writes one sample of the metric that was begun last.
    public mutating func sample(_ name: MetricName, labels: borrowing LabelText, value: SampleValue) {
        sample(name, suffix: "", labels: labels, value: value)
    }

    mutating func sample(
        _ name: MetricName, suffix: StaticString, labels: borrowing LabelText, value: SampleValue
    ) {
        text.append(name.description)
        text.append(literal: suffix)
        if !labels.text.isEmpty {
            text.append(UInt8(ascii: "{"))
            text.append(labels.text)
            text.append(UInt8(ascii: "}"))
        }
        text.append(UInt8(ascii: " "))
        append(value)
        text.append(UInt8(ascii: "\n"))
    }

    /// `end` is nil for the bucket that holds everything.
    mutating func bucket(_ name: MetricName, labels: borrowing LabelText, upTo end: SampleValue?, count: UInt64) {
        text.append(name.description)
        text.append(literal: "_bucket{")
        text.append(labels.text)
        if !labels.text.isEmpty { text.append(UInt8(ascii: ",")) }
        text.append(literal: "le=\"")
        if let end { append(end) } else { text.append(literal: "+Inf") }
        text.append(literal: "\"} ")
        text.append(decimal: count)
        text.append(UInt8(ascii: "\n"))
    }

    private mutating func append(_ value: SampleValue) {
        switch value {
        case .signed(let number): text.append(decimal: number)
        case .unsigned(let number): text.append(decimal: number)
        case .nanoseconds(let number): text.append(secondsFrom: number)
        case .millionths(let number):
            text.append(decimal: number / 1_000_000)
            let rest = number % 1_000_000
            guard rest > 0 else { return }
            text.append(UInt8(ascii: "."))
            var digit: UInt64 = 100_000
            // Without the zeros at the end.
            while digit > 0, rest % (digit * 10) > 0 {
                text.append(UInt8(ascii: "0") + UInt8(rest / digit % 10))
                digit /= 10
            }
        case .real(let number):
            if number.isNaN {
                text.append(literal: "NaN")
            } else if number.isInfinite {
                text.append(number < 0 ? "-Inf" : "+Inf")
            } else {
                text.append(number.description)
            }
        }
    }

    /// The page's text; the page is done. When families were full, its last metric says how often.
    public consuming func finish() -> ByteBuffer {
        let full = overflows.filter { $0.count > 0 }
        guard !full.isEmpty else { return text }
        begin(
            "sluice_metrics_overflow_total",
            help: "New series that found their metric full and were counted under 'other'.", type: .counter)
        for (name, count) in full {
            sample(
                "sluice_metrics_overflow_total", labels: LabelText(names: ["metric"], values: [name.description]),
                value: .unsigned(count))
        }
        return text
    }
}
