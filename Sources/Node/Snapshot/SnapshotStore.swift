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

    /// Why the saved snapshot cannot be used.
    struct Problem: Error { let text: String }

    /// The saved snapshot; nil when there is none.
    func load() throws(Problem) -> ActiveSnapshot? {
        guard FileAccess.exists(path) else { return nil }
        guard let bytes = try? FileAccess.read(path, limit: ClusterSnapshot.sizeLimit + 256),
            let end = bytes.firstIndex(of: 10)
        else { throw Problem(text: "the saved snapshot at \(path) cannot be read") }
        let head = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ")
        let numbers = head.dropFirst().compactMap { $0.split(separator: "=").last.flatMap { UInt64($0) } }
        let body = Array(bytes[(end + 1)...])
        guard numbers.count == 3, UInt64(CRC32C.checksum(body)) == numbers[2] else {
            throw Problem(text: "the saved snapshot at \(path) is damaged and was not used")
        }
        let (cluster, problems) = ClusterSnapshot.read(String(decoding: body, as: UTF8.self), file: path)
        if let problem = problems.first { throw Problem(text: "the saved snapshot was not used: \(problem)") }
        return ActiveSnapshot(cluster, epoch: numbers[0], sequence: numbers[1])
    }
}
