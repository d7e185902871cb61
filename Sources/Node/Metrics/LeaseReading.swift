// What a lane's blocks of quota look like at the moment of a scrape.
import Telemetry

/// Counts of blocks, for the metrics page.
struct LeaseReading: MetricSet {
    private var requests: Counter
    private var granted: Counter
    private var denied: Counter
    private var parts: Counter
    private var lost: Counter
    private var open: Int

    init(_ leases: Leases) {
        requests = leases.requests
        granted = leases.granted
        denied = leases.denied
        parts = leases.parts
        lost = leases.lost
        open = leases.openBlocks
    }

    static let rows: [MetricRow<LeaseReading>] = [
        .one("sluice_leased_requests_total", "Requests that ran on a block of quota.", \.requests),
        .one("sluice_lease_blocks_total", "Blocks of quota that were granted.", \.granted),
        .one("sluice_lease_blocks_denied_total", "Blocks of quota that a limit had no room for.", \.denied),
        .one("sluice_lease_parts_total", "Parts of blocks that Redis confirmed.", \.parts),
        .one("sluice_lease_requests_lost_total", "Requests on blocks whose settlement was given up.", \.lost),
        .level("sluice_lease_blocks_open", "Blocks not settled yet.", \.open),
    ]
}
