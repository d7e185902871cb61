// What every kind of measurement can do: be merged with another lane's copy and be written on a metrics page.

/// One measurement that a lane owns alone: it is changed without locks and merged with the other lanes' copies at a scrape.
public protocol Metric: Sendable {
    /// The word behind `# TYPE` in the exposition format.
    static var exposedType: MetricType { get }

    /// Adds what another lane measured.
    mutating func merge(_ other: Self)

    /// Writes the sample lines of this measurement.
    func write(_ name: MetricName, labels: borrowing LabelText, onto page: inout MetricsPage)
}

/// The types of the exposition format that Sluice uses.
public enum MetricType: String, Sendable {
    /// Only grows (until the program restarts).
    case counter
    /// Goes up and down.
    case gauge
    /// Counts per range of values.
    case histogram
}

/// A count that only grows.
@frozen public struct Counter: Metric, Equatable {
    @usableFromInline var total: UInt64

    /// A count of nothing.
    @inlinable public init() { total = 0 }

    /// What was counted since the program started; wraps at 2⁶⁴.
    @inlinable public var value: UInt64 { total }

    /// Counts `amount` more.
    @inlinable public mutating func add(_ amount: UInt64 = 1) { total &+= amount }

    /// `counter`.
    public static var exposedType: MetricType { .counter }

    /// Adds the other lane's count.
    public mutating func merge(_ other: Counter) { total &+= other.total }

    /// Writes one sample line.
    public func write(_ name: MetricName, labels: borrowing LabelText, onto page: inout MetricsPage) {
        page.sample(name, suffix: "", labels: labels, value: .unsigned(value))
    }
}

/// An amount of money that only grows, counted in millionths of a dollar and shown in dollars.
@frozen public struct MoneyCounter: Metric, Equatable {
    /// What was counted since the program started, in millionths of a dollar; wraps at 2⁶⁴.
    public private(set) var microUSD: UInt64

    /// Nothing.
    public init() { microUSD = 0 }

    /// Counts `microUSD` millionths of a dollar more.
    public mutating func add(microUSD amount: UInt64) { microUSD &+= amount }

    /// `counter`.
    public static var exposedType: MetricType { .counter }

    /// Adds the other lane's amount.
    public mutating func merge(_ other: MoneyCounter) { microUSD &+= other.microUSD }

    /// Writes one sample line.
    public func write(_ name: MetricName, labels: borrowing LabelText, onto page: inout MetricsPage) {
        page.sample(name, suffix: "", labels: labels, value: .millionths(microUSD))
    }
}

/// A level that goes up and down; the levels of all lanes add up to the program's level.
@frozen public struct Gauge: Metric, Equatable {
    /// The level at present.
    public var value: Int64

    /// A level, zero at first.
    @inlinable public init(_ value: Int64 = 0) { self.value = value }

    /// Raises (or, with a negative amount, lowers) the level.
    @inlinable public mutating func add(_ amount: Int64 = 1) { value &+= amount }

    /// Lowers the level.
    @inlinable public mutating func subtract(_ amount: Int64 = 1) { value &-= amount }

    /// `gauge`.
    public static var exposedType: MetricType { .gauge }

    /// Adds the other lane's level.
    public mutating func merge(_ other: Gauge) { value &+= other.value }

    /// Writes one sample line.
    public func write(_ name: MetricName, labels: borrowing LabelText, onto page: inout MetricsPage) {
        page.sample(name, suffix: "", labels: labels, value: .signed(value))
    }
}
