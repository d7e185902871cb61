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
    let cpuNanoseconds: Int64
    let residentBytes: Int64

    /// Asks the kernel; nil when there is no such process.
    init?(_ pid: Int) {
        // The process' clock counts nanoseconds; /proc/PID/stat only hundredths of a second, too coarse for short runs.
        guard let process = Int32(exactly: pid), let time = Host.processorNanoseconds(of: process),
            let bytes = try? FileAccess.read("/proc/\(pid)/statm", limit: 4_096)
        else { return nil }
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let pages = Int64(fields[1]) else { return nil }
        cpuNanoseconds = time
        residentBytes = pages * 4_096
    }
}
