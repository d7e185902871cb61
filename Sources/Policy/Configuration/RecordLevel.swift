// Which published records a node can obey: a policy is never published over the head of a node that would ignore it.

/// Levels of records. A node says its own when it subscribes; each level includes those before.
public enum RecordLevel {
    /// What this version reads. 0: kinds of records up to 10. 1: heartbeats, and the settings declared with `level: 1`.
    public static let own: UInt16 = 1

    /// The least level that obeys all of `cluster`, and the first thing that asks for it; nil when every node can.
    ///
    /// Keys are looked at one by one when they are made: a node that cannot read one takes only its own rights away.
    public static func needed(by cluster: ClusterSnapshot) -> (level: UInt16, reason: String)? {
        var without = cluster
        without.keys = [:]
        return needed(by: without.records)
    }

    static func needed(by records: [ClusterSnapshot.Record]) -> (level: UInt16, reason: String)? {
        var found: (level: UInt16, reason: String)?
        for record in records {
            guard let kind = RecordKind.numbered(record.kind) else { continue }
            // A node of a lower level does not know these lines: it would refuse the whole state, revocations too.
            for line in kind.section.levels where line.level > found?.level ?? 0 {
                let keys = record.body.split(separator: 10).map { $0.prefix { $0 != 0x20 && $0 != 0x3D } }
                guard keys.contains(where: { $0.elementsEqual(line.key.utf8) }) else { continue }
                found = (line.level, "'\(line.key)' of \(kind.name) \(record.name)")
            }
        }
        return found
    }
}
