// The last snapshot on disk, so that a node can start while no coordinator is there.
import Core
import Net
import Policy

/// The form of a saved snapshot: its version and when it was the newest, then its records. `StateFile` checks that all of it is as it was
/// written.
struct SnapshotStore: Sendable {
    let path: String

    /// What is written: `# epoch=E sequence=S confirmed=SECONDS`, and the snapshot's text.
    static func content(_ snapshot: ActiveSnapshot, confirmedAtSeconds seconds: Int64) -> [UInt8] {
        let head = "# epoch=\(snapshot.epoch) sequence=\(snapshot.sequence) confirmed=\(max(0, seconds))\n"
        return Array("\(head)\(snapshot.cluster.text)".utf8)
    }

    /// A saved snapshot, and when a coordinator said last that it is the newest, in seconds since 1970.
    typealias Saved = (snapshot: ActiveSnapshot, confirmedAtSeconds: Int64)

    /// Why the saved snapshot cannot be used.
    struct Problem: Error { let text: String }

    /// The saved snapshot; nil when there is none.
    func load() throws(Problem) -> Saved? {
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
        guard numbers.count == 3 else { throw Problem(text: "the saved snapshot at \(path) has no version") }
        let text = String(decoding: content[end...], as: UTF8.self)
        let (cluster, problems) = ClusterSnapshot.read(text, file: path)
        if let problem = problems.first { throw Problem(text: "the saved snapshot was not used: \(problem)") }
        return (ActiveSnapshot(cluster, epoch: numbers[0], sequence: numbers[1]), Int64(clamping: numbers[2]))
    }
}
