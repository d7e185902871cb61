// Settlements on their way to Redis; those that fail are kept, also on disk, and repeated until Redis has them.
import Core
import Net
import Policy
import Store
import Telemetry

/// One lane's settlements. Repeating is safe: a settlement counts once as long as Redis remembers its request.
final class Settlements {
    private struct Kept {
        let call: SettleCall
        /// µs since 1970.
        let keptAt: Int64
        /// True when an earlier attempt was sent and its reply did not come: it may be booked.
        var mayBeBooked: Bool
        var entry: UInt64?
    }

    private let lane: Lane
    private let quota: QuotaStore
    private let spool: Spool?
    private var waiting = BoundedQueue<Kept>(limit: 65_536)
    private var timer: LaneTimer?
    /// Settlements that were confirmed.
    private(set) var settled = Counter()
    /// Settlements that were given up: their holds expire by themselves.
    private(set) var lost = Counter()
    /// Settlements that wait to be repeated.
    var backlog: Int { waiting.count }

    /// A settlement that may be booked is not repeated after this: Redis will soon have forgotten whether it is (`QuotaTimes`).
    private static let patience: Int64 = 840_000_000

    init(lane: Lane, quota: QuotaStore, spool: Spool?) {
        self.lane = lane
        self.quota = quota
        self.spool = spool
    }

    /// Settles; `done` is called once, when Redis confirmed or the settlement is kept for later.
    func settle(_ call: SettleCall, done: @escaping () -> Void) {
        quota.settle(call) { [self] result in
            switch result {
            case .success: settled.add()
            case .failure(let error):
                let now = lane.wallClockMicroseconds
                let isUndone = error.isCertainlyUndone
                let entry = spool?.append(.settlement(call, keptAt: now, mayBeBooked: !isUndone))
                keep(Kept(call: call, keptAt: now, mayBeBooked: !isUndone, entry: entry))
            }
            done()
        }
    }

    /// Takes over what another process left in the spool.
    func recover(_ records: [(entry: UInt64, record: SpoolRecord)]) {
        for (entry, record) in records {
            guard case .settlement(let call, let keptAt, let mayBeBooked) = record else { continue }
            keep(Kept(call: call, keptAt: keptAt, mayBeBooked: mayBeBooked, entry: entry))
        }
    }

    private func keep(_ kept: Kept) {
        let isTooOld = kept.mayBeBooked && lane.wallClockMicroseconds - kept.keptAt > Settlements.patience
        guard !isTooOld, waiting.append(kept) else {
            lost.add()
            return drop(kept)
        }
        repeatLater()
    }

    private func repeatLater() {
        guard timer == nil, !waiting.isEmpty else { return }
        timer = lane.schedule(after: .milliseconds(250)) { [self] in
            timer = nil
            repeatSome()
        }
    }

    private func repeatSome() {
        for _ in 0..<min(256, waiting.count) {
            guard let kept = waiting.popFirst() else { return }
            quota.settle(kept.call) { [self] result in
                switch result {
                case .success:
                    settled.add()
                    drop(kept)
                case .failure(let error): keep(again(kept, error))
                }
            }
        }
        repeatLater()
    }

    /// After a repetition that may have been booked, the spool says so, too.
    private func again(_ kept: Kept, _ error: StoreError) -> Kept {
        guard !kept.mayBeBooked, !error.isCertainlyUndone else { return kept }
        var kept = kept
        let now = lane.wallClockMicroseconds
        let entry = spool?.append(.settlement(kept.call, keptAt: now, mayBeBooked: true))
        drop(kept)
        kept = Kept(call: kept.call, keptAt: now, mayBeBooked: true, entry: entry)
        return kept
    }

    private func drop(_ kept: Kept) { if let entry = kept.entry { spool?.drop(entry) } }
}
