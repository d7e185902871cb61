// How a lane stands to shared state at the moment of a scrape.
import Telemetry

/// Counts of the safe mode and the spool, for the metrics page.
struct SafeReading: MetricSet {
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

    static let rows: [MetricRow<SafeReading>] = [
        .any("sluice_safe_mode", "1 while a lane keeps its share of the limits alone.", \.isActive),
        .one("sluice_safe_granted_total", "Requests let in without shared state.", \.granted),
        .one("sluice_safe_denied_total", "Requests that a lane's share had no room for.", \.denied),
        .one("sluice_safe_closed_total", "Requests refused because a limit is closed without Redis.", \.closed),
        .one("sluice_holds_asserted_total", "Running reservations re-asserted to a new Redis.", \.asserted),
        .highest("sluice_spool_used_ratio", "How much of the fullest lane's spool is taken, of 1.", \.spoolShare) {
            .real($0)
        },
        .total(
            "sluice_spool_damaged_bytes_total", "Bytes of the spools that were damaged at the start.", \.damagedBytes),
    ]
}
