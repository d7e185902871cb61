// The cluster's API keys: kept in Redis, remembered here and on disk, so that publishing does not depend on Redis.
import Core
import Net
import Policy
import Store

/// All keys. Confined to the coordinator's lane.
///
/// Revoking is for ever and therefore does not wait: it is published first, then written, and written again after Redis was away.
/// Everything else is written first.
final class KeyRing {
    private let lane: Lane
    private let directory: KeyDirectory
    private let path: String
    /// The copy on disk.
    let file: StateFile
    /// The keys by id.
    private(set) var records: [String: KeyRecord] = [:]
    /// Called after a change.
    var onChange: () -> Void = {}
    /// Called with the id of a key whose record was removed for its age.
    var onPruned: (String) -> Void = { _ in }
    /// Called with what an operator should know.
    var onProblem: (String) -> Void = { _ in }

    /// Why a change was not made.
    enum Failure: Error {
        /// There is no such key.
        case unknown
        /// It was revoked: for ever.
        case revoked
        /// Somebody else changed it at the same time.
        case conflict
        /// There are as many keys as a coordinator takes.
        case full
        case store(StoreError)
    }

    /// A key, and its text, which is shown once; nil when it has no secret.
    typealias Made = (record: KeyRecord, text: String?)

    init(lane: Lane, redis: Redis, path: String) {
        self.lane = lane
        directory = KeyDirectory(redis)
        self.path = path
        file = StateFile(lane: lane, path: path)
        directory.onVersion = { [unowned self] before, after in
            // Our own change: what was read before it and what it changed are known.
            if version == before { version = after }
        }
    }

    /// Begins with what is on disk.
    func loadSaved() {
        var found: [UInt8]?
        do throws(StateFile.Damage) {
            found = try StateFile.read(path, limit: ClusterSnapshot.sizeLimit)
        } catch {
            return onProblem("the keys at \(error); they come from Redis")
        }
        guard let bytes = found else { return }
        let (snapshot, problems) = ClusterSnapshot.read(String(decoding: bytes, as: UTF8.self), file: path)
        if let problem = problems.first { return onProblem("the keys at \(path) were not used: \(problem)") }
        records = snapshot.keys
    }

    /// Changes made here; a listing that was under way meanwhile is older than they are.
    private var changes = 0
    private var damaged: Set<String> = []
    /// Records that are being written back.
    private var restoring = 0
    /// True from the refresh that found some lost to the one that finds none: one loss is told of once, however many refreshes it takes.
    private var isTellingOfLoss = false
    /// Records that one refresh removes at most, so that Redis is busy with them for less than a millisecond.
    private static let pruneLimit = 64

    /// The version of what was read last; nil when all must be read: at first, and as long as something is to be repaired.
    private var version: String?
    private var readAt = Instant(nanoseconds: 0)
    /// Revocations that Redis may not have: nothing else would bring them there.
    private var unwritten: Set<String> = []
    /// All are read so often whatever the version says: somebody may have written past it.
    private static let longestTrust = Duration.seconds(600)

    /// Reads all keys from Redis if they changed since they were read last, or if anything about them is in doubt.
    func look() {
        guard let known = version, unwritten.isEmpty, lane.now - readAt < KeyRing.longestTrust else { return refresh() }
        directory.version { [self] result in
            if case .success(known) = result, version == known { return }
            refresh()
        }
    }

    /// Reads all keys from Redis, and then calls back, also without success.
    ///
    /// Only records of keys that ended long ago are removed, so another that is missing there was lost with Redis' memory: it stays
    /// valid and is written back.
    func refresh(then: @escaping () -> Void = {}) {
        let before = changes
        directory.version { [self] result in
            // Before the records: what changes while they are read is read again.
            guard case .success(let current) = result else { return then() }
            directory.list { [self] result in
                defer { then() }
                guard case .success(let entries) = result, changes == before else { return }
                take(entries, of: current)
            }
        }
    }

    /// Takes what Redis has over, and repairs what it lost.
    private func take(_ entries: [KeyDirectory.Entry], of current: String) {
        (version, readAt) = (current, lane.now)
        var fresh: [String: KeyRecord] = [:]
        var unreadable: Set<String> = []
        // What Redis still has not is written again below.
        unwritten = []
        for entry in entries {
            if let record = KeyRecord.decode(id: entry.id, entry.record) {
                fresh[entry.id] = record
            } else {
                unreadable.insert(entry.id)
            }
        }
        if unreadable != damaged, !unreadable.isEmpty {
            let names = unreadable.sorted().prefix(8).joined(separator: ", ")
            onProblem("\(unreadable.count) keys in Redis cannot be read and have no rights: \(names)")
        }
        damaged = unreadable
        // A key that was revoked here while Redis was away, or before Redis was restored from a copy, stays revoked.
        for (id, known) in records where known.isRevoked && fresh[id]?.isRevoked == false {
            fresh[id]?.isRevoked = true
            fresh[id]?.revokedAtSeconds = known.revokedAtSeconds
            write(revocationOf: id)
        }
        prune(entries, fresh)
        // What is missing of keys that ended long ago was removed; a day less, should the other coordinator's clock be ahead.
        let now = lane.wallClockMicroseconds / 1_000_000
        let lost = records.values.filter {
            fresh[$0.id] == nil && !unreadable.contains($0.id)
                && !$0.ended(secondsAgo: KeyRecord.keptSeconds - 86_400, atSeconds: now)
        }
        for record in lost { fresh[record.id] = record }
        if !lost.isEmpty { version = nil }
        restore(lost)
        take(fresh)
    }

    /// Writes lost records back, some at each refresh.
    private func restore(_ lost: [KeyRecord]) {
        guard !lost.isEmpty else {
            isTellingOfLoss = false
            return
        }
        // Those of the refresh before are still under way: they are looked at by the next one.
        guard restoring == 0 else { return }
        if !isTellingOfLoss { onProblem("\(lost.count) keys were lost in Redis; they stay valid and are written back") }
        isTellingOfLoss = true
        for record in lost.prefix(256) {
            restoring += 1
            directory.create(id: record.id, record: record.encoded) { [self] _ in restoring -= 1 }
        }
    }

    /// Removes records of keys that ended long ago, some at each refresh, when Redis' clock says so, too: with a clock that is wrong a
    /// coordinator would remove keys that still open. The next refresh finds them gone.
    private func prune(_ entries: [KeyDirectory.Entry], _ fresh: [String: KeyRecord]) {
        let now = lane.wallClockMicroseconds / 1_000_000
        // Those of an earlier version have no time yet: their 90 days begin now.
        for record in fresh.values.filter({ $0.isRevoked && $0.revokedAtSeconds == nil }).prefix(KeyRing.pruneLimit) {
            write(revocationOf: record.id)
        }
        let ended = entries.filter {
            fresh[$0.id]?.ended(secondsAgo: KeyRecord.keptSeconds, atSeconds: now) == true
        }.prefix(KeyRing.pruneLimit)
        guard !ended.isEmpty else { return }
        // There may be more of them than one refresh removes.
        version = nil
        directory.time { [self] result in
            guard case .success(let time) = result else { return }
            for entry in ended where fresh[entry.id]?.ended(secondsAgo: KeyRecord.keptSeconds, atSeconds: time) == true
            {
                directory.remove(id: entry.id, expected: entry.record) { [self] result in
                    if case .success(.written) = result { onPruned(entry.id) }
                }
            }
        }
    }

    private func take(_ fresh: [String: KeyRecord]) {
        guard fresh != records else { return }
        records = fresh
        file.write {
            var snapshot = ClusterSnapshot()
            snapshot.keys = fresh
            return Array(snapshot.text.utf8)
        }
        onChange()
    }

    private func took(_ record: KeyRecord) {
        changes += 1
        var fresh = records
        fresh[record.id] = record
        take(fresh)
    }

    // MARK: - Changes

    private static func word(_ count: Int) -> String {
        // 32 letters: five bits of each random byte, evenly spread.
        let alphabet = Array("abcdefghijkmnpqrstuvwxyz23456789".utf8)
        return String(decoding: Host.randomBytes(count).map { alphabet[Int($0 & 31)] }, as: UTF8.self)
    }

    /// A secret of 200 bits: far too many to guess, so that one fast hash is enough.
    private static func secret() -> (text: String, hash: String) {
        let text = word(40)
        return (text, Hexadecimal.text(Digest.sha256(Array(text.utf8))))
    }

    /// Makes a key with these rights.
    func create(
        _ draft: KeyRecord, withSecret: Bool, then: @escaping (Result<Made, Failure>) -> Void
    ) {
        guard records.count < KeyDirectory.countLimit else { return then(.failure(.full)) }
        var record = draft
        record.id = KeyRing.word(12)
        var text: String?
        if withSecret {
            let secret = KeyRing.secret()
            record.secrets = [KeySecret(hash: secret.hash)]
            text = APIKeyText.text(id: record.id, secret: secret.text)
        }
        let made = record
        directory.create(id: made.id, record: made.encoded) { [self] result in
            switch result {
            case .success(.written):
                took(made)
                then(.success((made, text)))
            case .success(.conflict): then(.failure(.conflict))
            case .failure(let error): then(.failure(.store(error)))
            }
        }
    }

    /// Gives a key a new secret; the others stay valid for `overlap` seconds, or for the less that they had left.
    func rotate(_ id: String, overlap: Int64, then: @escaping (Result<Made, Failure>) -> Void) {
        let secret = KeyRing.secret()
        let now = lane.wallClockMicroseconds / 1_000_000
        change(id) { record in
            // The oldest go first when there are too many at once.
            let kept = record.secrets.filter { overlap > 0 && $0.isValid(atSeconds: now) }
                .prefix(KeyRecord.secretLimit - 1)
            record.secrets = [KeySecret(hash: secret.hash)]
            for old in kept {
                let until = min(old.validUntilSeconds ?? .max, now + overlap)
                record.secrets.append(KeySecret(hash: old.hash, validUntilSeconds: until))
            }
        } then: { result in
            then(result.map { ($0, APIKeyText.text(id: id, secret: secret.text)) })
        }
    }

    /// Gives a key other rights. `edit` says what is different.
    func change(
        _ id: String, _ edit: @escaping (inout KeyRecord) -> Void,
        then: @escaping (Result<KeyRecord, Failure>) -> Void
    ) {
        directory.get(id: id) { [self] result in
            switch result {
            case .failure(let error): then(.failure(.store(error)))
            case .success(let found):
                guard let found, var record = KeyRecord.decode(id: id, found) else { return then(.failure(.unknown)) }
                guard !record.isRevoked, records[id]?.isRevoked != true else { return then(.failure(.revoked)) }
                edit(&record)
                let changed = record
                directory.replace(id: id, expected: found, record: changed.encoded) { [self] result in
                    switch result {
                    case .success(.written):
                        took(changed)
                        then(.success(changed))
                    case .success(.conflict): then(.failure(.conflict))
                    case .failure(let error): then(.failure(.store(error)))
                    }
                }
            }
        }
    }

    /// Takes a key's rights away on every node, at once. The answer says whether Redis has it, too: if not it is written later.
    func revoke(_ id: String, then: @escaping (Result<Bool, Failure>) -> Void) {
        guard var record = records[id] else { return then(.failure(.unknown)) }
        record.isRevoked = true
        record.revokedAtSeconds = record.revokedAtSeconds ?? lane.wallClockMicroseconds / 1_000_000
        took(record)
        write(revocationOf: id) { then(.success($0)) }
    }

    private func write(revocationOf id: String, then: @escaping (Bool) -> Void = { _ in }) {
        unwritten.insert(id)
        directory.get(id: id) { [self] result in
            guard case .success(let found) = result else { return then(false) }
            guard let found, var record = KeyRecord.decode(id: id, found) else {
                // Not there, or damaged: nothing to revoke; what was lost is written back as it is known here.
                unwritten.remove(id)
                return then(false)
            }
            if record.isRevoked, record.revokedAtSeconds != nil {
                unwritten.remove(id)
                return then(true)
            }
            record.isRevoked = true
            record.revokedAtSeconds = records[id]?.revokedAtSeconds ?? lane.wallClockMicroseconds / 1_000_000
            directory.replace(id: id, expected: found, record: record.encoded) { [self] result in
                guard case .success(.written) = result else { return then(false) }
                unwritten.remove(id)
                then(true)
            }
        }
    }
}
