// Follows the coordinator: takes snapshots and updates, refuses what must not be, hands the result to all lanes.
import Client
import Core
import Net
import Policy
import Wire

/// Confined to the first lane. Every accepted state goes to `publish`, and to `save` when it differs.
///
/// A state that would take most routes away is taken without its routes: those in use stay, with a warning, until the operator confirms
/// or a later state keeps enough of them. Keys and tenants are the new ones at once, so a revocation never waits for that.
final class SnapshotKeeper: @unchecked Sendable {
    private let store: SnapshotStore
    private let publish: (ActiveSnapshot) -> Void
    private let complain: (String) -> Void
    private let save: (_ snapshot: ActiveSnapshot, _ confirmedAtSeconds: Int64) -> Void
    /// A saved snapshot that was not confirmed for longer is not obeyed.
    private let maximumAge: Duration
    /// When the snapshot on disk was confirmed, in seconds since 1970.
    private var savedAtSeconds: Int64 = 0
    private let clock: () -> Int64
    /// What requests use.
    private(set) var current: ActiveSnapshot?
    /// What the coordinator published last; changes are applied to it. Nil until it was heard.
    private var offered: (epoch: UInt64, sequence: UInt64, cluster: ClusterSnapshot)?
    /// The highest epoch ever seen; a lower one is a leader of the past.
    private(set) var highestEpoch: UInt64 = 0
    /// Why the published state is not in use, or not all of it; nil when it is.
    private(set) var refusal: String?
    /// True while routes are kept that the published state does not have.
    private(set) var holdsRoutes = false

    /// The version that was offered last and could not be read: asking for it again is of no use.
    private var refused: (epoch: UInt64, sequence: UInt64)?

    /// `clock` gives microseconds since 1970.
    init(
        store: SnapshotStore, maximumAge: Duration, clock: @escaping () -> Int64,
        save: @escaping (_ snapshot: ActiveSnapshot, _ confirmedAtSeconds: Int64) -> Void,
        publish: @escaping (ActiveSnapshot) -> Void, complain: @escaping (String) -> Void
    ) {
        self.store = store
        self.maximumAge = maximumAge
        self.clock = clock
        self.save = save
        self.publish = publish
        self.complain = complain
    }

    private var seconds: Int64 { clock() / 1_000_000 }

    /// Begins with what is on disk, unless it is too old: keys that were revoked meanwhile would open again.
    func loadSaved() {
        do throws(SnapshotStore.Problem) {
            guard let (saved, confirmedAt) = try store.load() else { return }
            highestEpoch = saved.epoch
            let age = max(0, seconds - confirmedAt)
            guard .seconds(age) <= maximumAge else {
                let old = ConfigurationValue.words(.seconds(age < 7_200 ? age : age / 3_600 * 3_600))
                let limit = ConfigurationValue.words(maximumAge)
                return refuse(
                    "the saved snapshot is not used: no coordinator confirmed it for \(old), snapshot-max-age is "
                        + "\(limit); this node serves nobody before it hears from a coordinator")
            }
            current = saved
            savedAtSeconds = confirmedAt
            publish(saved)
        } catch {
            complain(error.text)
        }
    }

    /// A coordinator says that what is in use is the newest: what is on disk is marked so, from time to time.
    private func confirm() {
        let pause = min(SnapshotKeeper.confirmationPause, maximumAge / 4)
        let age = seconds - savedAtSeconds
        // A mark of the future, from a clock that was ahead, would keep a node obeying the file for ever.
        guard let current, age < 0 || age >= pause.milliseconds / 1_000 else { return }
        save(current)
    }

    private func save(_ snapshot: ActiveSnapshot) {
        savedAtSeconds = seconds
        save(snapshot, savedAtSeconds)
    }

    /// How old the mark on disk may become while a coordinator is heard.
    private static let confirmationPause = Duration.seconds(3_600)

    /// The version that a coordinator need not send again; 0.0 while there is none.
    var offeredVersion: (epoch: UInt64, sequence: UInt64) { offered.map { ($0.epoch, $0.sequence) } ?? (0, 0) }

    /// True when no clock allows the highest epoch: neither this node's, nor the one by which `epoch` was made.
    private func isImpossible(beside epoch: UInt64) -> Bool {
        highestEpoch > LeaseCall.latest(atMilliseconds: max(UInt64(max(0, clock())) / 1_000, epoch))
    }

    /// A whole state from a coordinator.
    func take(_ snapshot: Snapshot) {
        if snapshot.epoch < highestEpoch, isImpossible(beside: snapshot.epoch) {
            complain(
                "epoch \(highestEpoch) was seen, which is later than any clock: it is forgotten for \(snapshot.epoch)")
            (highestEpoch, offered) = (0, nil)
        }
        guard snapshot.epoch >= highestEpoch else {
            return refuse("epoch \(snapshot.epoch) is of the past: \(highestEpoch) was seen before")
        }
        if let offered, offered.epoch == snapshot.epoch, offered.sequence >= snapshot.sequence { return }
        let (cluster, problems) = ClusterSnapshot.decode(snapshot.records.map(ClusterSnapshot.Record.init))
        refused = problems.isEmpty ? nil : (snapshot.epoch, snapshot.sequence)
        if let problem = problems.first { return refuse("the published state cannot be read: \(problem)") }
        install(snapshot.epoch, snapshot.sequence, cluster)
    }

    /// A change, or a heartbeat, which changes nothing and says which version there is.
    ///
    /// - Returns: false when it does not follow what we have: then the whole state must be asked for.
    func take(_ update: Update) -> Bool {
        // A leader of the past has nothing to say, unless it is our memory that is wrong.
        if update.epoch < highestEpoch { return !isImpossible(beside: update.epoch) }
        if let refused, refused == (update.epoch, update.sequence) { return true }
        if let offered, update.epoch == offered.epoch, update.sequence <= offered.sequence {
            if update.sequence == offered.sequence { confirm() }
            return true
        }
        guard !update.changed.isEmpty || !update.removed.isEmpty else { return false }
        return apply(update)
    }

    private func apply(_ update: Update) -> Bool {
        // Written so that no sequence overflows, whatever a coordinator says.
        guard var (epoch, sequence, cluster) = offered, update.epoch == epoch, update.sequence > sequence,
            update.sequence - sequence == 1
        else { return false }
        // Given up before it is changed, so that it is changed in place.
        offered = nil
        let removed = update.removed.map { (kind: $0.kind, name: $0.name) }
        let problems = cluster.apply(changed: update.changed.map(ClusterSnapshot.Record.init), removed: removed)
        if let problem = problems.first {
            refused = (update.epoch, update.sequence)
            refuse("a published change cannot be read: \(problem)")
            return true
        }
        (epoch, sequence) = (update.epoch, update.sequence)
        install(epoch, sequence, cluster)
        return true
    }

    private func install(_ epoch: UInt64, _ sequence: UInt64, _ cluster: ClusterSnapshot) {
        offered = (epoch, sequence, cluster)
        highestEpoch = max(highestEpoch, epoch)
        var used = cluster
        if let current, let suspicion = cluster.suspicion(replacing: current.cluster) {
            used = cluster.keepingRoutes(of: current.cluster)
            holdsRoutes = true
            let count = cluster.routes.count
            refuse("the routes in use are kept: \(suspicion); if that is meant: sluice apply --confirm-routes \(count)")
        } else {
            holdsRoutes = false
            refusal = nil
        }
        if cluster.unreadableKeys != current?.cluster.unreadableKeys ?? [:] {
            for (id, reason) in cluster.unreadableKeys.sorted(by: { $0.key < $1.key }).prefix(8) {
                complain("the key '\(id)' cannot be read and has no rights: \(reason)")
            }
        }
        // A term is remembered as well: after a restart, too, an earlier one is refused.
        let isChanged = current?.cluster != used || current?.epoch != epoch
        let active = ActiveSnapshot(used, epoch: epoch, sequence: sequence, previous: current)
        current = active
        publish(active)
        if isChanged { save(active) }
    }

    /// The same reason is told once.
    private func refuse(_ reason: String) {
        if refusal != reason { complain(reason) }
        refusal = reason
    }
}

extension ClusterSnapshot.Record {
    fileprivate init(_ record: SnapshotRecord) { self.init(kind: record.kind, name: record.name, body: record.body) }
}
