// Follows the coordinator: takes snapshots and updates, refuses what must not be, hands the result to all lanes.
import Client
import Core
import Dispatch
import Net
import Policy
import Wire

/// Confined to the first lane. Every accepted state goes to `publish` and to disk.
///
/// A state that would take most routes away is taken without its routes: those in use stay, with a warning, until the operator confirms
/// or a later state keeps enough of them. Keys and tenants are the new ones at once, so a revocation never waits for that.
final class SnapshotKeeper: @unchecked Sendable {
    private let store: SnapshotStore
    private let publish: (ActiveSnapshot) -> Void
    private let complain: (String) -> Void
    private let disk = DispatchQueue(label: "sluice.snapshot")
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

    init(store: SnapshotStore, publish: @escaping (ActiveSnapshot) -> Void, complain: @escaping (String) -> Void) {
        self.store = store
        self.publish = publish
        self.complain = complain
    }

    /// Begins with what is on disk.
    func loadSaved() {
        do throws(SnapshotStore.Problem) {
            guard let saved = try store.load() else { return }
            current = saved
            highestEpoch = saved.epoch
            publish(saved)
        } catch {
            complain(error.text)
        }
    }

    /// A whole state from a coordinator.
    func take(_ snapshot: Snapshot) {
        guard snapshot.epoch >= highestEpoch else {
            return refuse("epoch \(snapshot.epoch) is of the past: \(highestEpoch) was seen before")
        }
        if let offered, offered.epoch == snapshot.epoch, offered.sequence >= snapshot.sequence { return }
        let (cluster, problems) = ClusterSnapshot.decode(snapshot.records.map(ClusterSnapshot.Record.init))
        if let problem = problems.first { return refuse("the published state cannot be read: \(problem)") }
        install(snapshot.epoch, snapshot.sequence, cluster)
    }

    /// A change; one that does not follow what we have waits for the next whole state.
    func take(_ update: Update) {
        // Written so that no sequence overflows, whatever a coordinator says.
        guard var (epoch, sequence, cluster) = offered, update.epoch == epoch, update.sequence > sequence,
            update.sequence - sequence == 1
        else { return }
        // Given up before it is changed, so that it is changed in place.
        offered = nil
        let removed = update.removed.map { (kind: $0.kind, name: $0.name) }
        let problems = cluster.apply(changed: update.changed.map(ClusterSnapshot.Record.init), removed: removed)
        if let problem = problems.first { return refuse("a published change cannot be read: \(problem)") }
        (epoch, sequence) = (update.epoch, update.sequence)
        install(epoch, sequence, cluster)
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
        if isChanged { disk.async { [store] in store.save(active) } }
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
