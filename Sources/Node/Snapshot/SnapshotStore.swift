// The last snapshot on disk, so that a node can start while no coordinator is there.
import Core
import Net
import Policy

/// The form of a saved snapshot: its version, then its records. `StateFile` checks that all of it is as it was written.
struct SnapshotStore: Sendable {
    let path: String

    /// What is written: `# epoch=E sequence=S`, and the snapshot's text.
    static func content(_ snapshot: ActiveSnapshot) -> [UInt8] {
        Array("# epoch=\(snapshot.epoch) sequence=\(snapshot.sequence)\n\(snapshot.cluster.text)".utf8)
    }

    /// Why the saved snapshot cannot be used.
    struct Problem: Error { let text: String }

    /// The saved snapshot; nil when there is none.
    func load() throws(Problem) -> ActiveSnapshot? {
        let content: [UInt8]
        do throws(StateFile.Damage) {
            guard let found = try StateFile.read(path, limit: ClusterSnapshot.sizeLimit + 256) else { return nil }
            content = found
        } catch {
            throw Problem(text: "the saved snapshot at \(error)")
        }
        let end = content.firstIndex(of: 10) ?? content.endIndex
        let numbers = String(decoding: content[..<end], as: UTF8.self).split(separator: " ").dropFirst()
            .compactMap { $0.split(separator: "=").last.flatMap { UInt64($0) } }
        guard numbers.count == 2 else { throw Problem(text: "the saved snapshot at \(path) has no version") }
        let text = String(decoding: content[end...], as: UTF8.self)
        let (cluster, problems) = ClusterSnapshot.read(text, file: path)
        if let problem = problems.first { throw Problem(text: "the saved snapshot was not used: \(problem)") }
        return ActiveSnapshot(cluster, epoch: numbers[0], sequence: numbers[1])
    }
}
