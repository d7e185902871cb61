// How a lane stands to shared state at the moment of a scrape.
import Telemetry

/// Counts of the safe mode and the spool, for the metrics page.
struct SafeReading: Sendable {
    private var isActive: Bool
    private var granted: Counter
    private var denied: Counter
    private var closed: Counter
    private var asserted: Counter
    private var spoolShare: Double
    private(set) var damagedBytes: Int

    init(_ mode: SafeMode, spoolShare: Double, damagedBytes: Int) {
        self.damagedBytes = damagedBytes
        isActive = mode.isActive
        granted = mode.granted
        denied = mode.denied
        closed = mode.closed
        asserted = mode.asserted
        self.spoolShare = spoolShare
    }

    mutating func merge(_ other: SafeReading) {
        isActive = isActive || other.isActive
        granted.merge(other.granted)
        denied.merge(other.denied)
        closed.merge(other.closed)
        asserted.merge(other.asserted)
        spoolShare = max(spoolShare, other.spoolShare)
        damagedBytes += other.damagedBytes
    }

    func write(onto page: inout MetricsPage) {
        page.gauge(
            "sluice_safe_mode", help: "1 while a lane keeps its share of the limits alone.",
            value: .signed(isActive ? 1 : 0))
        page.add("sluice_safe_granted_total", help: "Requests let in without shared state.", granted)
        page.add("sluice_safe_denied_total", help: "Requests that a lane's share had no room for.", denied)
        page.add("sluice_safe_closed_total", help: "Requests refused because a limit is closed without Redis.", closed)
        page.add("sluice_holds_asserted_total", help: "Running reservations that another Redis was told of.", asserted)
        page.gauge(
            "sluice_spool_used_ratio", help: "How much of the fullest lane's spool is taken, of 1.",
            value: .real(spoolShare))
        page.counter(
            "sluice_spool_damaged_bytes_total", help: "Bytes of the spools that were damaged at the start.",
            value: UInt64(damagedBytes))
    }
}
