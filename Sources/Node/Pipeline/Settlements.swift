// Settlements on their way to Redis; those that fail are kept and repeated until their hold would have expired.
import Core
import Net
import Policy
import Store
import Telemetry

/// One lane's settlements. Repeating is safe: a settlement counts once.
final class Settlements {
    private let lane: Lane
    private let quota: QuotaStore
    private var waiting = BoundedQueue<(call: SettleCall, until: Instant)>(limit: 65_536)
    private var timer: LaneTimer?
    /// Settlements that were confirmed.
    private(set) var settled = Counter()
    /// Settlements that were given up: their holds expire by themselves.
    private(set) var lost = Counter()
    /// Settlements that wait to be repeated.
    var backlog: Int { waiting.count }

    /// How long a settlement is repeated.
    private static let patience = Duration.seconds(900)

    init(lane: Lane, quota: QuotaStore) {
        self.lane = lane
        self.quota = quota
    }

    /// Settles; `done` is called once, when Redis confirmed or the settlement is kept for later.
    func settle(_ call: SettleCall, done: @escaping () -> Void) {
        quota.settle(call) { [self] result in
            if case .success = result { settled.add() } else { keep(call, until: lane.now + Settlements.patience) }
            done()
        }
    }

    private func keep(_ call: SettleCall, until: Instant) {
        guard until > lane.now, waiting.append((call, until)) else { return lost.add() }
        guard timer == nil else { return }
        timer = lane.schedule(after: .milliseconds(250)) { [self] in
            timer = nil
            repeatSome()
        }
    }

    private func repeatSome() {
        for _ in 0..<min(256, waiting.count) {
            guard let (call, until) = waiting.popFirst() else { return }
            quota.settle(call) { [self] result in
                if case .success = result { settled.add() } else { keep(call, until: until) }
            }
        }
        if !waiting.isEmpty, timer == nil {
            timer = lane.schedule(after: .milliseconds(250)) { [self] in
                timer = nil
                repeatSome()
            }
        }
    }
}
