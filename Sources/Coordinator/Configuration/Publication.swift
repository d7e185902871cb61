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
    /// The records of `cluster`, by kind and name.
    private var records: [String: SnapshotRecord] = [:]
    /// The whole state as it travels; nil until somebody asks.
    private var whole: StateBytes?
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

    /// Publishes `fresh` when it differs.
    mutating func offer(_ fresh: ClusterSnapshot) -> Outcome {
        guard fresh != cluster || sequence == 0 else { return .same }
        let whole = Publication.records(fresh)
        let named = Dictionary(uniqueKeysWithValues: whole.map { (Publication.name($0), $0) })
        let changed = whole.filter { records[Publication.name($0)] != $0 }
        let removed = records.filter { named[$0.key] == nil }.values
            .map { Update.Removal(kind: $0.kind, name: $0.name) }
        let made = StateBytes(Snapshot(epoch: epoch, sequence: sequence + 1, records: whole))
        encodings += 1
        guard made.count <= sizeLimit else { return .tooLarge(made.count) }
        sequence += 1
        cluster = fresh
        records = named
        self.whole = made
        let update = Update(epoch: epoch, sequence: sequence, changed: changed, removed: removed)
        return .changed(StateBytes(update), changed: changed.count, removed: removed.count)
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
