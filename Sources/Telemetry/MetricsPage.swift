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
    /// Any number.
    case real(Double)
}

/// A page of metrics being written. Each metric stands on it once, with its help and type in front of its samples.
public struct MetricsPage: ~Copyable {
    /// The media type of the page.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private var text = ByteBuffer()
    private var written: Set<String> = []

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
    }

    /// Writes a value that was counted elsewhere.
    public mutating func counter(_ name: MetricName, help: String, value: UInt64) {
        begin(name, help: help, type: .counter)
        sample(name, suffix: "", labels: .none, value: .unsigned(value))
    }

    /// Writes a level that was measured elsewhere.
    public mutating func gauge(_ name: MetricName, help: String, value: SampleValue) {
        begin(name, help: help, type: .gauge)
        sample(name, suffix: "", labels: .none, value: value)
    }

    /// Writes a level that says something about the program by its labels, such as version and name, with the value 1.
    public mutating func facts(_ name: MetricName, help: String, _ facts: [(name: String, value: String)]) {
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

    /// The page's text; the page is done.
    public consuming func finish() -> ByteBuffer { text }
}
