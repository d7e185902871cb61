// What the lanes of a node say of themselves, gathered once for all who ask at the same moment.
import Core
import Net

/// What the node as a whole says at the moment of a reading.
struct NodeFacts: Sendable {
    var reasonsNotReady: [String] = []
    var warnings: [String] = []
    var priceVersion = ""
    var snapshotEpoch: UInt64 = 0
    var snapshotSequence: UInt64 = 0
    var droppedLogBytes = 0
    /// Whether the newest snapshot could not be written to disk, and how many writes failed.
    var isSnapshotUnsaved = false
    var snapshotWriteFailures: UInt64 = 0
}

/// One reading of all lanes. Its page is written once, however many ask for it.
final class NodeReading {
    let facts: NodeFacts
    private let lanes: LaneReading
    private(set) lazy var page: [UInt8] = lanes.page(facts).array()

    init(_ facts: NodeFacts, _ lanes: LaneReading) {
        self.facts = facts
        self.lanes = lanes
    }
}

/// Gathers readings, at most fifty a second. Confined to the admin lane.
final class Readings {
    /// The least time between the beginnings of two readings: what each costs the data lanes, some 100 us, is bounded by it.
    static let interval = Duration.milliseconds(20)

    private let node: Node
    private let lane: Lane
    private var waiting: [(NodeReading) -> Void] = []
    /// Those whose reading is under way. It began after they had asked, so that it holds what happened before.
    private var served: [(NodeReading) -> Void] = []
    private var isBusy = false
    private var beganAt = Instant(nanoseconds: 0)

    init(_ node: Node, lane: Lane) {
        self.node = node
        self.lane = lane
    }

    /// Calls `then` with a reading that begins now or later.
    func ask(_ then: @escaping (NodeReading) -> Void) {
        waiting.append(then)
        goOn()
    }

    private func goOn() {
        guard !isBusy, !waiting.isEmpty else { return }
        isBusy = true
        let due = max(lane.now, beganAt + Readings.interval)
        if due > lane.now { lane.schedule(at: due) { [self] in gather() } } else { gather() }
    }

    private func gather() {
        beganAt = lane.now
        served = waiting
        waiting = []
        let carried = Carried(readings: self)
        node.read(LaneReading.self) { [node] lanes in
            // On the node's first lane, which owns the rest.
            let facts = node.facts(lanes)
            carried.readings.lane.execute { carried.readings.deliver(NodeReading(facts, lanes)) }
        }
    }

    private func deliver(_ reading: NodeReading) {
        let all = served
        served = []
        isBusy = false
        for then in all { then(reading) }
        goOn()
    }

    private struct Carried: @unchecked Sendable { let readings: Readings }
}
