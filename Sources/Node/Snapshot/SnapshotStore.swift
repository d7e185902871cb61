// The last snapshot on disk, so that a node can start while no coordinator is there.
import Core
import Net
import Policy

/// One file in the state folder, replaced in one step.
struct SnapshotStore: Sendable {
    let path: String

    /// The file's first line: `# epoch SEQUENCE crc32c`.
    func save(_ snapshot: ActiveSnapshot) {
        let text = snapshot.cluster.text
        let checksum = CRC32C.checksum(Array(text.utf8))
        let head = "# epoch=\(snapshot.epoch) sequence=\(snapshot.sequence) crc32c=\(checksum)\n"
        try? FileAccess.writeAtomically(path, Array((head + text).utf8))
    }

    /// The saved snapshot; nil when there is none or it is damaged.
    func load() -> ActiveSnapshot? {
        guard let bytes = try? FileAccess.read(path), let end = bytes.firstIndex(of: 10) else { return nil }
        let head = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ")
        let numbers = head.dropFirst().compactMap { $0.split(separator: "=").last.flatMap { UInt64($0) } }
        let body = Array(bytes[(end + 1)...])
        guard numbers.count == 3, UInt64(CRC32C.checksum(body)) == numbers[2] else { return nil }
        let (cluster, problems) = ClusterSnapshot.read(String(decoding: body, as: UTF8.self), file: path)
        guard problems.isEmpty else { return nil }
        return ActiveSnapshot(cluster, epoch: numbers[0], sequence: numbers[1])
    }
}
