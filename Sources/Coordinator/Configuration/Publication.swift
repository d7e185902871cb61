// What is published: the cluster's state, its version, and its bytes, which are made once for all nodes.
import Policy
import Wire

/// The published state. Each change is one sequence further; a term has the epoch that its lease was given with.
struct Publication {
    /// The term.
    private(set) var epoch: UInt64
    /// Position within the term; 0 before anything is published.
    private(set) var sequence: UInt64 = 0
    /// What is published.
    private(set) var cluster = ClusterSnapshot()
    /// The records of `cluster` without its keys, by kind and name.
    private var others: [String: SnapshotRecord] = [:]
    /// Bytes of its keys in a message of state. Their records are made when they change: there are many, and one changes at a time.
    private var keyBytes = 0
    /// The whole state as it travels; nil until somebody asks.
    private var whole: StateBytes?
    /// Bytes of the whole state as it travels.
    private(set) var size = 0
    /// How often the whole state was put into bytes.
    private(set) var encodings = 0

    /// The most bytes that nodes take in one message of state.
    let sizeLimit: Int

    init(epoch: UInt64 = 0, sizeLimit: Int = WireLimits.standard.stateMessageBytes) {
        self.epoch = epoch
        self.sizeLimit = sizeLimit
    }

    /// The whole state. Every node gets the same bytes.
    mutating func snapshot() -> StateBytes {
        if let whole { return whole }
        let made = StateBytes(Snapshot(epoch: epoch, sequence: sequence, records: Publication.records(cluster)))
        encodings += 1
        whole = made
        return made
    }

    /// The present version alone.
    var heartbeat: StateBytes { StateBytes(Update(epoch: epoch, sequence: sequence)) }

    /// What became of a state that was offered.
    enum Outcome {
        /// It is what is published already.
        case same
        /// It is published now; nodes that have the version before need only this.
        case changed(StateBytes, changed: Int, removed: Int)
        /// It has more bytes than nodes take; nothing was published.
        case tooLarge(Int)
    }

    /// Publishes `fresh` when it differs. What did not change is not encoded.
    mutating func offer(_ fresh: ClusterSnapshot) -> Outcome {
        guard fresh != cluster || sequence == 0 else { return .same }
        var rest = fresh
        rest.keys = [:]
        let all = Publication.records(rest)
        let named = Dictionary(uniqueKeysWithValues: all.map { (Publication.name($0), $0) })
        let keys = KeyChange(from: cluster.keys, to: fresh.keys)
        let bytes = keyBytes + keys.growth
        let size = bytes + Publication.size(all) + Publication.frameBytes
        guard size <= sizeLimit else { return .tooLarge(size) }
        var update = Update(epoch: epoch, sequence: sequence + 1)
        update.changed = all.filter { others[Publication.name($0)] != $0 } + keys.changed
        update.removed =
            others.filter { named[$0.key] == nil }.values.map { Update.Removal(kind: $0.kind, name: $0.name) }
            + keys.removed
        sequence += 1
        self.size = size
        cluster = fresh
        (others, keyBytes, whole) = (named, bytes, nil)
        return .changed(StateBytes(update), changed: update.changed.count, removed: update.removed.count)
    }

    /// The difference between two tables of keys.
    private struct KeyChange {
        var changed: [SnapshotRecord] = []
        var removed: [Update.Removal] = []
        /// Bytes that a message of the whole state has more.
        var growth = 0

        init(from old: [String: KeyRecord], to fresh: [String: KeyRecord]) {
            var (before, after) = (ClusterSnapshot(), ClusterSnapshot())
            after.keys = fresh.filter { old[$0.key] != $0.value }
            before.keys = after.keys.compactMapValues { old[$0.id] }
            if fresh.count - (after.keys.count - before.keys.count) != old.count {
                before.keys.merge(old.filter { fresh[$0.key] == nil }) { $1 }
            }
            changed = Publication.records(after)
            let gone = Publication.records(before)
            removed = gone.filter { fresh[$0.name] == nil }.map { Update.Removal(kind: $0.kind, name: $0.name) }
            growth = Publication.size(changed) - Publication.size(gone)
        }
    }

    /// Bytes of a message of state without records: it grows by each record alone.
    private static let frameBytes = StateBytes(Snapshot(epoch: 0, sequence: 0, records: [])).count

    private static func size(_ records: [SnapshotRecord]) -> Int {
        StateBytes(Snapshot(epoch: 0, sequence: 0, records: records)).count - frameBytes
    }

    /// Begins the term `fresh`, mostly a later one; an earlier one only where Redis' record of the term was wrong. False when it has begun.
    mutating func begin(term fresh: UInt64) -> Bool {
        guard fresh != epoch else { return false }
        epoch = fresh
        sequence += 1
        whole = nil
        return true
    }

    private static func name(_ record: SnapshotRecord) -> String { "\(record.kind) \(record.name)" }

    private static func records(_ cluster: ClusterSnapshot) -> [SnapshotRecord] {
        cluster.records.map { SnapshotRecord(kind: $0.kind, name: $0.name, body: $0.body) }
    }
}
