// Follows the coordinator: takes snapshots and updates, refuses what must not be, hands the result to all lanes.
import Client
import Core
import Dispatch
import Net
import Policy
import Wire

/// Confined to the first lane. Every accepted state goes to `publish` and to disk.
final class SnapshotKeeper: @unchecked Sendable {
    private let store: SnapshotStore
    private let publish: (ActiveSnapshot) -> Void
    private let complain: (String) -> Void
    private let disk = DispatchQueue(label: "sluice.snapshot")
    private(set) var current: ActiveSnapshot?
    /// The highest epoch ever seen; a lower one is a leader of the past.
    private(set) var highestEpoch: UInt64 = 0
    private(set) var refused = 0

    init(store: SnapshotStore, publish: @escaping (ActiveSnapshot) -> Void, complain: @escaping (String) -> Void) {
        self.store = store
        self.publish = publish
        self.complain = complain
    }

    /// Begins with what is on disk.
    func loadSaved() {
        guard let saved = store.load() else { return }
        current = saved
        highestEpoch = saved.epoch
        publish(saved)
    }

    /// A whole state from a coordinator.
    func take(_ snapshot: Snapshot) {
        guard isNewer(snapshot.epoch, snapshot.sequence) else { return }
        install(snapshot.epoch, snapshot.sequence, snapshot.records)
    }

    /// A change; one that does not follow what we have waits for the next whole state.
    func take(_ update: Update) {
        guard let current, update.epoch == current.epoch, update.sequence == current.sequence + 1 else { return }
        var records = current.cluster.records.map { SnapshotRecord(kind: $0.kind, name: $0.name, body: $0.body) }
        let gone = update.removed.map { "\($0.kind) \($0.name)" } + update.changed.map { "\($0.kind) \($0.name)" }
        let names = Set(gone)
        records.removeAll { names.contains("\($0.kind) \($0.name)") }
        install(update.epoch, update.sequence, records + update.changed)
    }

    private func isNewer(_ epoch: UInt64, _ sequence: UInt64) -> Bool {
        guard epoch >= highestEpoch else {
            refused += 1
            complain("a snapshot of epoch \(epoch) was refused: \(highestEpoch) was seen before")
            return false
        }
        guard let current, current.epoch == epoch else { return true }
        return sequence > current.sequence
    }

    private func install(_ epoch: UInt64, _ sequence: UInt64, _ records: [SnapshotRecord]) {
        let (cluster, problems) = ClusterSnapshot.decode(
            records.map { ClusterSnapshot.Record(kind: $0.kind, name: $0.name, body: $0.body) })
        if let problem = problems.first {
            refused += 1
            return complain("snapshot \(epoch).\(sequence) was refused: \(problem)")
        }
        if let current, let suspicion = cluster.suspicion(replacing: current.cluster) {
            refused += 1
            return complain("snapshot \(epoch).\(sequence) was refused: \(suspicion)")
        }
        highestEpoch = max(highestEpoch, epoch)
        let active = ActiveSnapshot(cluster, epoch: epoch, sequence: sequence)
        let isChanged = current?.cluster != cluster
        current = active
        publish(active)
        if isChanged { disk.async { [store] in store.save(active) } }
    }
}
