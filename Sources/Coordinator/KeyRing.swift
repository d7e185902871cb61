// The cluster's API keys: kept in Redis, remembered here and on disk, so that publishing does not depend on Redis.
import Core
import Dispatch
import Net
import Policy
import Store

/// All keys. Confined to the coordinator's lane.
final class KeyRing {
    private let directory: KeyDirectory
    private let path: String
    private let disk = DispatchQueue(label: "sluice.keys")
    /// The keys by id.
    private(set) var records: [String: KeyRecord] = [:]
    /// Called after a change.
    var onChange: () -> Void = {}

    /// Why a change was not made.
    enum Failure: Error {
        case unknown
        case conflict
        case store(StoreError)
    }

    init(lane: Lane, redis: RedisConnection, path: String) {
        directory = KeyDirectory(redis)
        self.path = path
    }

    /// Begins with what is on disk.
    func loadSaved() {
        guard let bytes = try? FileAccess.read(path) else { return }
        let (snapshot, problems) = ClusterSnapshot.read(String(decoding: bytes, as: UTF8.self), file: path)
        if problems.isEmpty { records = snapshot.keys }
    }

    /// Changes made here; a listing that was under way meanwhile is older than they are.
    private var changes = 0

    /// Reads all keys from Redis. Records are never deleted there by us, so an empty listing means a Redis that lost
    /// its memory: the keys known here stay valid.
    func refresh() {
        let before = changes
        directory.list { [self] result in
            guard case .success(let entries) = result, changes == before, !entries.isEmpty else { return }
            var fresh: [String: KeyRecord] = [:]
            for entry in entries { fresh[entry.id] = KeyRecord.decode(id: entry.id, entry.record) }
            take(fresh)
        }
    }

    private func take(_ fresh: [String: KeyRecord]) {
        guard fresh != records else { return }
        records = fresh
        var snapshot = ClusterSnapshot()
        snapshot.keys = fresh
        let text = Array(snapshot.text.utf8)
        disk.async { [path] in try? FileAccess.writeAtomically(path, text) }
        onChange()
    }

    /// Makes a key with these rights; hands over the text that is shown once.
    func create(_ draft: KeyRecord, then: @escaping (Result<(record: KeyRecord, text: String), Failure>) -> Void) {
        let alphabet = Array("abcdefghijkmnpqrstuvwxyz23456789".utf8)
        func word(_ count: Int) -> String {
            // 32 letters: five bits of each random byte, evenly spread.
            String(decoding: Host.randomBytes(count).map { alphabet[Int($0 & 31)] }, as: UTF8.self)
        }
        var record = KeyRecord(id: word(12))
        let secret = word(40)
        record.hash = Hexadecimal.text(Digest.sha256(Array(secret.utf8)))
        record.org = draft.org
        record.team = draft.team
        record.label = draft.label
        record.models = draft.models
        record.expiresAtSeconds = draft.expiresAtSeconds
        directory.create(id: record.id, record: record.encoded) { [self] result in
            switch result {
            case .success(.written):
                changes += 1
                var fresh = records
                fresh[record.id] = record
                take(fresh)
                then(.success((record, APIKeyText.text(id: record.id, secret: secret))))
            case .success(.conflict): then(.failure(.conflict))
            case .failure(let error): then(.failure(.store(error)))
            }
        }
    }

    /// Takes a key's rights away, on every node at once.
    func revoke(_ id: String, then: @escaping (Result<Void, Failure>) -> Void) {
        directory.get(id: id) { [self] result in
            guard case .success(let found) = result else {
                if case .failure(let error) = result { then(.failure(.store(error))) }
                return
            }
            guard let found, var record = KeyRecord.decode(id: id, found) else { return then(.failure(.unknown)) }
            record.isRevoked = true
            directory.replace(id: id, expected: found, record: record.encoded) { [self] result in
                switch result {
                case .success(.written):
                    changes += 1
                    var fresh = records
                    fresh[id] = record
                    take(fresh)
                    then(.success(()))
                case .success(.conflict): then(.failure(.conflict))
                case .failure(let error): then(.failure(.store(error)))
                }
            }
        }
    }
}
