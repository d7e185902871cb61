// What a lane's blocks of quota look like at the moment of a scrape.
import Telemetry

/// Counts of blocks, for the metrics page.
struct LeaseReading: Sendable {
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

    mutating func merge(_ other: LeaseReading) {
        requests.merge(other.requests)
        granted.merge(other.granted)
        denied.merge(other.denied)
        parts.merge(other.parts)
        lost.merge(other.lost)
        open += other.open
    }

    func write(onto page: inout MetricsPage) {
        page.add("sluice_leased_requests_total", help: "Requests that ran on a block of quota.", requests)
        page.add("sluice_lease_blocks_total", help: "Blocks of quota that were granted.", granted)
        page.add("sluice_lease_blocks_denied_total", help: "Blocks of quota that a limit had no room for.", denied)
        page.add("sluice_lease_parts_total", help: "Parts of blocks that Redis confirmed.", parts)
        page.add("sluice_lease_requests_lost_total", help: "Requests on blocks whose settlement was given up.", lost)
        page.gauge("sluice_lease_blocks_open", help: "Blocks not settled yet.", value: .signed(Int64(open)))
    }
}
