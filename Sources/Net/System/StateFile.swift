// A file of state that must be on disk: written off the lane, replaced whole, and tried again until it is there.
import Core
import Dispatch

/// One file with what must survive a restart. Confined to its lane; writing is done on a queue of its own.
///
/// Only the newest content counts. Room for the next one is kept on the disk, so that a disk which others filled does not keep back a
/// revocation. What cannot be written all the same is tried again every five seconds and with each newer content; `problem` says so as long
/// as the disk has not the newest.
public final class StateFile: @unchecked Sendable {
    /// Makes the content; called on the file's queue.
    public typealias Content = @Sendable () -> [UInt8]

    /// So long after a failure it is tried again.
    public static let pause = Duration.seconds(5)
    /// Room that is kept beside each file, beyond a copy of it.
    public static let reserve = 1 << 20

    private let lane: Lane
    private let path: String
    private let queue = DispatchQueue(label: "sluice.state")
    private var newest: Content?
    private var isWriting = false
    private var retry: LaneTimer?
    private var roomRetry: LaneTimer?
    private var waiting: [() -> Void] = []
    /// Why the newest content is not on disk; nil while it is, or is being written.
    public private(set) var problem: String?
    /// Why no room is kept for the next content; nil while it is.
    public private(set) var shortage: String?
    /// What an operator should know of this file.
    public var warning: String? { problem ?? shortage }
    /// Writes that failed since the start.
    public private(set) var failures: UInt64 = 0
    /// Called on the lane when a problem begins, with its text, and when it is over, with nil.
    public var onChange: (String?) -> Void = { _ in }

    /// The file at `path`; nothing is written before the first content, but room for it is kept.
    public init(lane: Lane, path: String) {
        self.lane = lane
        self.path = path
        keepRoom()
    }

    /// Writes this content, soon; what waits and is older is left out.
    public func write(_ content: @escaping Content) {
        newest = content
        proceed()
    }

    /// Calls back when the newest content is on disk, or could not be written.
    public func whenSettled(_ then: @escaping () -> Void) {
        if isWriting { waiting.append(then) } else { then() }
    }

    private func proceed() {
        guard !isWriting, let content = newest else { return }
        retry?.cancel()
        (retry, newest, isWriting) = (nil, nil, true)
        queue.async { [self] in
            let failure = StateFile.failure { () throws(SystemFailure) in
                try FileAccess.writeAtomically(path, StateFile.sealed(content()))
            }
            let shortage = failure == nil ? findRoom() : nil
            lane.execute { [self] in
                wrote(content, failure)
                if failure == nil { lookedForRoom(shortage) }
            }
        }
    }

    private static func failure(_ body: () throws(SystemFailure) -> Void) -> String? {
        do throws(SystemFailure) {
            try body()
            return nil
        } catch {
            return "\(error)"
        }
    }

    // MARK: - Room

    private func keepRoom() {
        queue.async { [self] in
            let shortage = findRoom()
            lane.execute { [self] in lookedForRoom(shortage) }
        }
    }

    /// Keeps room for a content that is larger than the present one; why there is none. On the file's queue.
    private func findRoom() -> String? {
        StateFile.failure { () throws(SystemFailure) in
            try FileAccess.keepRoom(path, for: FileAccess.size(of: path) + StateFile.reserve)
        }
    }

    private func lookedForRoom(_ failure: String?) {
        shortage = failure.map { "no room is kept for \(path), tried again every 5 s: \($0)" }
        roomRetry?.cancel()
        roomRetry = failure == nil ? nil : lane.schedule(after: StateFile.pause) { [self] in keepRoom() }
    }

    // MARK: - The end of a write

    private func wrote(_ content: @escaping Content, _ failure: String?) {
        isWriting = false
        let wasWell = problem == nil
        if let failure {
            failures += 1
            problem = "\(path) is not saved, tried again every 5 s: \(failure)"
            if newest == nil {
                newest = content
                retry = lane.schedule(after: StateFile.pause) { [self] in proceed() }
            } else {
                proceed()
            }
        } else {
            problem = nil
            proceed()
        }
        if wasWell != (problem == nil) { onChange(problem) }
        guard !isWriting else { return }
        let settled = waiting
        waiting = []
        for then in settled { then() }
    }

    // MARK: - The form on disk

    /// Why a file cannot be used.
    public struct Damage: Error, CustomStringConvertible {
        /// In words for the operator.
        public let description: String
    }

    /// The content behind a line with the CRC-32C of all of it.
    static func sealed(_ content: [UInt8]) -> [UInt8] {
        Array("# crc32c=\(CRC32C.checksum(content))\n".utf8) + content
    }

    /// The content of a file that `write` wrote; nil when there is none.
    ///
    /// - Throws: when it cannot be read, or is not as it was written.
    public static func read(_ path: String, limit: Int) throws(Damage) -> [UInt8]? {
        guard FileAccess.exists(path) else { return nil }
        guard let bytes = try? FileAccess.read(path, limit: limit + 64) else {
            throw Damage(description: "\(path) cannot be read and was not used")
        }
        guard let end = bytes.firstIndex(of: 10) else {
            throw Damage(description: "\(path) is damaged and was not used: it has no checksum")
        }
        let content = Array(bytes[(end + 1)...])
        guard Array(bytes[..<end]) == Array("# crc32c=\(CRC32C.checksum(content))".utf8) else {
            throw Damage(description: "\(path) is damaged and was not used: its checksum is another")
        }
        return content
    }
}
