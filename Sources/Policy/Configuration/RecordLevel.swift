// Which published records a node can obey: a policy is never published over the head of a node that would ignore it.

/// Levels of records. A node says its own when it subscribes; each level includes those before.
public enum RecordLevel {
    /// What this version reads. 0: kinds of records up to 10. 1: heartbeats, and a provider's `passthrough`, `stream-options`, `user-field` and
    /// `developer-role`.
    public static let own: UInt16 = 1

    /// Lines that a node of a lower level does not know: it would refuse the whole state, revocations too.
    private static let lines: [(level: UInt16, kind: UInt8, key: String)] = [
        (1, 0, "passthrough"), (1, 0, "stream-options"), (1, 0, "user-field"), (1, 0, "developer-role"),
    ]

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
            for line in lines where line.kind == record.kind && line.level > found?.level ?? 0 {
                let keys = record.body.split(separator: 10).map { $0.prefix { $0 != 0x20 && $0 != 0x3D } }
                guard keys.contains(where: { $0.elementsEqual(line.key.utf8) }) else { continue }
                let kind = ClusterSnapshot.kinds[Int(record.kind)]
                found = (line.level, "'\(line.key)' of \(kind) \(record.name)")
            }
        }
        return found
    }
}
