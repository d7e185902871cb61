// One lane of the simulator: its listener, its settings, what it saw.
import Core
import Net

/// What belongs to one lane. Touched on that lane only.
final class SimulatorLane: @unchecked Sendable {
    let lane: Lane
    let options: SimulatorOptions
    let concurrency: Concurrency
    /// Where answers with a tag leave their line.
    let lines: LineWriter
    /// The settings of requests that say nothing else.
    var behaviour: Behaviour
    var stats = SimulatorStats()
    /// Bytes being rendered; lent for the length of a call.
    var scratch = ByteBuffer()
    /// All lanes of the simulator, this one included; set before the first connection.
    var lanes: [SimulatorLane] = []
    private var listener: Listener<SimulatorConnection>?
    private var answered: UInt64 = 0
    private var requestsSinceReset: UInt64 = 0

    init(lane: Lane, options: SimulatorOptions, concurrency: Concurrency, lines: LineWriter) {
        self.lines = lines
        self.lane = lane
        self.options = options
        self.concurrency = concurrency
        behaviour = options.behaviour
    }

    /// Begins to listen; returns the bound address.
    func listen(on address: SocketAddress, tls: TLSContext?) throws(SystemFailure) -> SocketAddress {
        // The simulator is a target for load: what limits a benchmark must be the other side.
        var limits = ListenerLimits()
        limits.connections = 200_000
        (limits.newcomers, limits.newcomersPerSource) = (10_000, 10_000)
        (limits.handshakesPerSecond, limits.handshakesPerTurn) = (100_000, 1_000)
        let listener = try Listener(
            lane: lane, address: address, tls: tls, limits: limits, machine: { SimulatorConnection(at: $0) },
            onAccept: { [self] channel in Visitor(home: self, channel: channel).begin() })
        self.listener = listener
        return listener.address
    }

    /// An identifier that no other answer of this process has: lane, then a count.
    func nextID() -> UInt64 {
        answered += 1
        return UInt64(lane.index) << 48 | answered
    }

    /// The fault that strikes the next request; the seed and the number of the request decide.
    func nextFault(of behaviour: borrowing Behaviour) -> Fault? {
        requestsSinceReset &+= 1
        guard let fault = behaviour.fault else { return nil }
        var mixed = (behaviour.seed &+ requestsSinceReset) &* 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ mixed >> 32) &* 0xD6E8_FEB8_6659_FD93
        guard Int((mixed >> 33) % 10_000) < behaviour.faultShare else { return nil }
        stats.faults[fault.word, default: 0] += 1
        return fault
    }

    /// Forgets what was counted and goes back to the command line's settings.
    func reset() {
        stats = SimulatorStats()
        behaviour = options.behaviour
        requestsSinceReset = 0
    }

    /// Visits all lanes in turn, then comes back to this one with what they gave.
    func visitAll(
        _ visit: @escaping @Sendable (SimulatorLane) -> SimulatorStats,
        then: @escaping @Sendable (SimulatorStats) -> Void
    ) {
        visitLanes(from: 0, SimulatorStats(), visit, then: then)
    }

    private func visitLanes(
        from index: Int, _ sum: SimulatorStats, _ visit: @escaping @Sendable (SimulatorLane) -> SimulatorStats,
        then: @escaping @Sendable (SimulatorStats) -> Void
    ) {
        guard index < lanes.count else { return lane.execute { then(sum) } }
        let next = lanes[index]
        next.lane.execute { [self] in
            var sum = sum
            sum.merge(visit(next))
            visitLanes(from: index + 1, sum, visit, then: then)
        }
    }
}
