// What a benchmark prints, and what the kernel tells of a process.
import Core
import Net

/// Figures in the order in which they are told.
struct BenchReport {
    private let isJSON: Bool
    private var rows: [(name: String, value: Double, unit: String)] = []

    init(isJSON: Bool) { self.isJSON = isJSON }

    mutating func add(_ name: String, _ value: Double, _ unit: String) { rows.append((name, value, unit)) }

    func text(_ errors: [String: Int]) -> String {
        guard isJSON else {
            let errorRows = errors.sorted { $0.key < $1.key }.map { ["error \($0.key)", "\($0.value)", ""] }
            return Table.text(
                ["FIGURE", "VALUE", "UNIT"], rows.map { [$0.name, BenchReport.number($0.value), $0.unit] } + errorRows)
        }
        var members = rows.map { JSONValue.Member($0.name, .number(BenchReport.number($0.value))) }
        members.append(.init("error_codes", .object(errors.map { .init($0.key, .integer($0.value)) })))
        return JSONValue.object(members).json + "\n"
    }

    /// Two decimals at most, without trailing zeros.
    static func number(_ value: Double) -> String {
        let scaled = Int64((value * 100).rounded())
        let fraction = scaled.magnitude % 100
        let whole = "\(scaled < 0 ? "-" : "")\(scaled.magnitude / 100)"
        if fraction == 0 { return whole }
        return fraction % 10 == 0 ? "\(whole).\(fraction / 10)" : "\(whole).\(fraction < 10 ? "0" : "")\(fraction)"
    }
}

/// Processor time and memory of a process.
struct ProcessUsage {
    let cpuMicroseconds: Int64
    let residentBytes: Int64

    /// Reads `/proc`; nil when there is no such process.
    init?(_ pid: Int) {
        guard let bytes = try? FileAccess.read("/proc/\(pid)/stat", limit: 4_096) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        // The name stands in parentheses and may hold blanks; everything behind it is numbers.
        guard let close = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 21, let user = Int64(fields[11]), let system = Int64(fields[12]),
            let pages = Int64(fields[21])
        else { return nil }
        // The kernel counts processor time in hundredths of a second (USER_HZ).
        cpuMicroseconds = (user + system) * 10_000
        residentBytes = pages * 4_096
    }
}
