// What a leader leaves to the next one: the state that it published, in Redis and on its own disk.
import Core
import Net
import Policy
import Store

/// Keeps what is published. Confined to its lane.
final class Handover {
    private let store: CoordinationStore
    private let lane: Lane
    private let path: String
    /// The copy on disk.
    let file: StateFile
    /// What Redis does not have yet; only the newest counts.
    private var waiting: (text: [UInt8], epoch: UInt64)?
    private var isWriting = false
    /// Called with what an operator should know.
    var onProblem: (String) -> Void = { _ in }

    /// The field of the published state.
    private static let field = "published"

    init(lane: Lane, redis: Redis, path: String) {
        self.lane = lane
        store = CoordinationStore(redis)
        self.path = path
        file = StateFile(lane: lane, path: path)
    }

    /// Keeps `state`, whose keys are those of the file alone: the others are in Redis anyway.
    func save(_ state: ClusterSnapshot, epoch: UInt64) {
        let text = Array(state.text.utf8)
        waiting = (text, epoch)
        file.write { text }
        write()
    }

    /// One write at a time; what comes meanwhile waits for its end, and half a second after an error.
    private func write() {
        guard !isWriting, let (text, epoch) = waiting else { return }
        isWriting = true
        store.keep([(Handover.field, text)], epoch: epoch) { [self] result in
            isWriting = false
            switch result {
            case .success:
                // Of another term: whoever leads now writes its own.
                if waiting?.text == text { waiting = nil }
                write()
            case .failure(.tooLarge(let limit)):
                waiting = nil
                onProblem("more than \(limit) bytes are published: another coordinator could not begin with them")
            case .failure: lane.schedule(after: .milliseconds(500)) { [self] in write() }
            }
        }
    }

    /// What was found of an earlier term.
    enum Found {
        /// What Redis has.
        case shared(ClusterSnapshot)
        /// What this coordinator has on its disk; Redis has nothing, or cannot say.
        case own(ClusterSnapshot)
        /// Nothing anywhere.
        case nothing
        /// Redis cannot say, and must.
        case unknown
    }

    /// What was published last. With `mustBeShared` the disk counts only when Redis says that it has nothing.
    func load(mustBeShared: Bool, _ then: @escaping (Found) -> Void) {
        store.fetch([Handover.field]) { [self] result in
            switch result {
            case .success(let values):
                if let bytes = values.first ?? nil, let saved = read(bytes) { return then(.shared(saved)) }
            case .failure where mustBeShared: return then(.unknown)
            case .failure: break
            }
            do throws(StateFile.Damage) {
                let bytes = try StateFile.read(path, limit: ClusterSnapshot.sizeLimit)
                then(bytes.flatMap(read).map { .own($0) } ?? .nothing)
            } catch {
                onProblem("\(error)")
                then(.nothing)
            }
        }
    }

    private func read(_ bytes: [UInt8]) -> ClusterSnapshot? {
        let (saved, problems) = ClusterSnapshot.read(String(decoding: bytes, as: UTF8.self), file: Handover.field)
        if problems.isEmpty { return saved }
        onProblem("what was published before cannot be read: " + problems.map(\.description).joined(separator: "; "))
        return nil
    }
}
