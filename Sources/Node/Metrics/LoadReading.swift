// How much a lane has to do at the moment: what the node tells the coordinator, and what the end of a node waits for.
import Core
import Net
import Policy
import Telemetry

/// What is gathered from all lanes by visiting each one, on its own thread. Gathering changes nothing.
protocol Reading: Sendable {
    /// Reads a lane; on its own thread.
    init(_ gateway: Gateway)
    /// Adds another lane's.
    mutating func merge(_ other: Self)
}

/// The load of lanes, without their counters and histograms: light enough for each second.
struct LoadReading: Reading {
    /// Client connections.
    private(set) var connections: Int
    private(set) var requestsUnderWay: Int
    /// Requests that ended since the start.
    private(set) var requests: UInt64
    /// Of 255, of the lane that is nearest to a limit.
    private(set) var load: UInt8
    /// Settlements and blocks that a stopping node waits for.
    private(set) var unsettled: Int
    private(set) var standing: RebalancePace.Standing
    private(set) var canaries: CanaryCounter
    /// Calls under way at each provider.
    private(set) var running: [String: Int]

    init(_ gateway: Gateway) {
        connections = gateway.listenerCounts.open
        requestsUnderWay = gateway.openRequests
        requests = gateway.metrics.requests.sum { $0.value }
        load = gateway.load
        unsettled = gateway.isSettled ? 0 : 1
        standing = gateway.standing
        canaries = gateway.canaries
        running = gateway.admissions.mapValues(\.running)
    }

    mutating func merge(_ other: LoadReading) {
        connections += other.connections
        requestsUnderWay += other.requestsUnderWay
        requests &+= other.requests
        load = max(load, other.load)
        unsettled += other.unsettled
        standing.add(other.standing)
        canaries.merge(other.canaries)
        running.merge(other.running) { $0 + $1 }
    }
}
