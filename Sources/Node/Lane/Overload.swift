// A lane's load, measured ten times a second by a timer of its own, and what the lane gives up for it.
import Core
import Net
import Policy
import Telemetry

/// One lane's place on the degradation ladder. Confined to its lane; requests read what the last reading left.
final class Overload {
    private let lane: Lane
    private(set) var ladder: LoadLadder
    /// Requests refused, by rung and class.
    var shed = MetricFamily<Counter>(
        "sluice_shed_total", help: "Requests refused because the node had too much to do.", labels: ["rung", "class"],
        blank: Counter())
    /// The rung changed; told the one before.
    var onChange: ((LoadRung) -> Void)?
    private let limitsMemory: Bool
    private var readings: UInt64 = 0

    /// `memoryLimit`: resident bytes of the node; nil for none.
    init(lane: Lane, memoryLimit: Int?, lagLimit: Duration) {
        self.lane = lane
        limitsMemory = memoryLimit != nil
        ladder = LoadLadder(memoryLimit: memoryLimit.map { Int64($0) }, lagLimit: lagLimit)
    }

    var rung: LoadRung { ladder.rung }

    /// Of 255, as the protocol tells it.
    var load: UInt8 { UInt8(max(0, min(255, ladder.pressure * 255))) }

    /// Begins to measure.
    func begin() {
        let due = lane.now + LoadLadder.interval
        lane.schedule(at: due) { [self] in
            read(due: due)
            begin()
        }
    }

    private func read(due: Instant) {
        // Either way a request waits: behind a timer that comes late, or behind a turn that takes long.
        let lag = max(lane.now - due, .nanoseconds(lane.longestRecentTurnNanoseconds))
        lane.longestRecentTurnNanoseconds = 0
        readings += 1
        let before = ladder.rung
        let changed = ladder.read(lag: lag, residentBytes: limitsMemory ? Host.residentBytes() : 0)
        // What requests have given back is still the process' own until the system is told: once in five seconds is enough.
        if limitsMemory, before != .calm, lane.index == 0, readings % 50 == 0 { Host.trimMemory() }
        if changed { onChange?(before) }
    }

    /// When a request of the class may come again; nil when it is served. It is counted.
    func refuses(_ priority: PriorityClass) -> Duration? {
        guard ladder.rung != .calm, let time = ladder.retryAfter(priority) else { return nil }
        let place = shed.series(ladder.rung.description, priority.description)
        shed[place].add()
        return time
    }
}

/// What lanes give up at the moment of a scrape.
struct OverloadReading: MetricSet {
    private(set) var rung: LoadRung
    private(set) var load: UInt8
    private var pressure: Double
    private var shed: MetricFamily<Counter>

    init(_ overload: Overload, load: UInt8) {
        rung = overload.rung
        self.load = load
        pressure = overload.ladder.pressure
        shed = overload.shed
    }

    static let rows: [MetricRow<OverloadReading>] = [
        .highest(
            "sluice_rung", "Rung of the degradation ladder, of the highest lane; 0: nothing is given up.", \.rung
        ) { .signed(Int64($0.rawValue)) },
        .highest(
            "sluice_pressure_ratio", "How near lag or memory is to its limit (1), on the lane that is nearest.",
            \.pressure
        ) { .real(min($0, 1_000)) },
        .family(\.shed),
        .unshown(\.load, max),
    ]
}
