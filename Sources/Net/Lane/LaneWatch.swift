// Notices lanes that hang, from a lane of its own.
import Core

/// Looks once a second whether each lane made a turn. Confined to its own lane.
///
/// It counts its own looks, not time: when the whole process was stopped or starved, the watch was so too, and accuses nobody.
public final class LaneWatch {
    /// Looks without a turn after which a lane counts as hung. A lane without work makes a turn each second.
    public static let patience = 5

    private let own: Lane
    private let lanes: [Lane]
    private var seen: [(turns: UInt64, silentLooks: Int)]
    /// A lane began to hang, or makes turns again.
    public var onChange: ((_ lane: Int, _ hangs: Bool) -> Void)?

    /// Watches `lanes` from `own`, which is none of them.
    public init(_ lanes: [Lane], from own: Lane) {
        self.lanes = lanes
        self.own = own
        seen = lanes.map { ($0.turns, 0) }
    }

    /// The lanes that hang, by their index.
    public var hung: [Int] { seen.indices.filter { seen[$0].silentLooks >= LaneWatch.patience } }

    /// Looks every `interval` from now on.
    public func begin(every interval: Duration = .seconds(1)) {
        own.schedule(after: interval) { [self] in
            look()
            begin(every: interval)
        }
    }

    private func look() {
        for (index, lane) in lanes.enumerated() {
            let hung = seen[index].silentLooks >= LaneWatch.patience
            let turns = lane.turns
            seen[index] = (turns, turns == seen[index].turns ? seen[index].silentLooks + 1 : 0)
            let hangs = seen[index].silentLooks >= LaneWatch.patience
            if hangs != hung { onChange?(index, hangs) }
        }
    }
}
