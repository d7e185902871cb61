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
    /// Confirmed of late: another Redis may have lost them.
    private var recent = BoundedQueue<(call: SettleCall, at: Instant)>(limit: Settlements.recentLimit)
    /// Repetitions under way.
    private var repeating = 0
    /// First attempts under way.
    private var sending = 0
    /// Settlements that were confirmed.
    private(set) var settled = Counter()
    /// Settlements that were given up: their holds expire by themselves.
    private(set) var lost = Counter()
    /// Settlements that wait to be repeated.
    var backlog: Int { waiting.count }

    /// A settlement that may be booked is not repeated after this: Redis will soon have forgotten whether it is (`QuotaTimes`).
    private static let patience: Int64 = 840_000_000
    /// Settlements that are repeated when another Redis answers: of the last minute, at most so many (about 4 MiB).
    private static let recentLimit = 8_192
    private static let recentTime = Duration.seconds(60)
    /// Settlements on their way to Redis; further ones wait in the spool, so that reservations do not stand behind all that ended in a burst.
    private static let sendingLimit = 128
    /// Those of the spool that go together.
    private static let batch = 64

    init(lane: Lane, quota: QuotaStore, spool: Spool?) {
        self.lane = lane
        self.quota = quota
        self.spool = spool
    }

    /// Settles; `done` is called once, when Redis confirmed or the settlement is kept for later.
    func settle(_ call: SettleCall, done: @escaping () -> Void) {
        guard !quota.isDegraded(org: call.tenant.org) else {
            keepFresh(call, mayBeBooked: false)
            return done()
        }
        guard sending < Settlements.sendingLimit else {
            keepFresh(call, mayBeBooked: false)
            return done()
        }
        sending += 1
        quota.settle(call) { [self] result in
            sending -= 1
            switch result {
            case .success:
                confirmed(call)
                // What waited only for room goes on without a pause.
                if sending == 0, repeating == 0, !waiting.isEmpty { repeatSome() }
            case .failure(let error): keepFresh(call, mayBeBooked: !error.isCertainlyUndone)
            }
            done()
        }
    }

    private func confirmed(_ call: SettleCall) {
        settled.add()
        if recent.count == Settlements.recentLimit { _ = recent.popFirst() }
        recent.append((call, lane.now))
    }

    private func keepFresh(_ call: SettleCall, mayBeBooked: Bool) {
        let now = lane.wallClockMicroseconds
        let entry = spool?.append(.settlement(call, keptAt: now, mayBeBooked: mayBeBooked))
        keep(Kept(call: call, keptAt: now, mayBeBooked: mayBeBooked, entry: entry))
    }

    /// Another Redis answers: what was confirmed in the last minute is said again.
    func repeatRecent() {
        let now = lane.wallClockMicroseconds
        while let (call, at) = recent.popFirst() {
            guard lane.now - at < Settlements.recentTime else { continue }
            // It is still on the books, or lost with the other Redis: nobody can have booked it here meanwhile.
            keep(Kept(call: call, keptAt: now, mayBeBooked: false, entry: nil))
        }
        repeatSome()
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

    /// As fast as Redis takes them, some at a time; while it takes none, four times a second one looks.
    private func repeatSome() {
        guard repeating == 0 else { return repeatLater() }
        var batch: [Kept] = []
        for _ in 0..<min(Settlements.batch, waiting.count) {
            guard let kept = waiting.popFirst() else { break }
            if quota.isDegraded(org: kept.call.tenant.org) { keep(kept) } else { batch.append(kept) }
        }
        repeating = batch.count
        for kept in batch {
            quota.settle(kept.call) { [self] result in
                repeating -= 1
                switch result {
                case .success:
                    confirmed(kept.call)
                    drop(kept)
                    if repeating == 0, !waiting.isEmpty { repeatSome() }
                case .failure(let error): keep(again(kept, error))
                }
            }
        }
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
