// The API key records of the cluster, in one hash: written by coordinators, read whole to make snapshots.

import Core

/// Keeps key records by id. A record is the JSON that `Policy` gives and takes; its meaning does not matter here, and a secret is
/// in it only as a hash. Used on the lane of its Redis.
public final class KeyDirectory {
    /// A record with its id.
    public struct Entry: Hashable, Sendable {
        /// The id of the key: the field of the hash.
        public let id: String
        /// The record as JSON.
        public let record: [UInt8]
    }

    /// What became of a change.
    public enum Outcome: Hashable, Sendable {
        /// It is written.
        case written
        /// The id exists already (create), or the record is not the one that was read (replace); nothing was written.
        case conflict
    }

    /// Called with the version of all records before and after a change of this process, as Redis has them.
    public var onVersion: (_ before: String, _ after: String) -> Void = { _, _ in }

    /// The longest record, in bytes: names and models of one key, generously.
    public static let recordLimit = 16 << 10
    /// The most records that a listing gives: 100,000 × 300 B = 30 MB in the coordinator.
    public static let countLimit = 100_000

    private let redis: Redis
    private let timeout: Duration

    /// The directory in `redis`. Administration may take longer than a request: `timeout`, 2 s unless told.
    public init(_ redis: Redis, timeout: Duration = .seconds(2)) {
        self.redis = redis
        self.timeout = timeout
    }

    /// Writes a new record; `conflict` when the id exists.
    public func create(
        id: String, record: [UInt8], then: @escaping (Result<Outcome, StoreError>) -> Void
    ) {
        guard fits(id, record) else { return then(.failure(Self.tooLarge)) }
        change([Array(id.utf8), [], record], then)
    }

    /// Reads one record; nil when there is none.
    public func get(id: String, then: @escaping (Result<[UInt8]?, StoreError>) -> Void) {
        let command = RedisCommand(parts: [Array("HGET".utf8), KeySchema.apiKeys, Array(id.utf8)])
        redis.send(command, timeout: timeout) { result in
            then(
                result.flatMap { reply in
                    switch reply {
                    case .bytes(let record): .success(record)
                    case .null: .success(nil)
                    default: .failure(.unexpectedReply("HGET replied \(reply.shape)"))
                    }
                })
        }
    }

    /// Replaces a record that was read as `expected`, for example to revoke it; `conflict` when somebody was faster.
    public func replace(
        id: String, expected: [UInt8], record: [UInt8], then: @escaping (Result<Outcome, StoreError>) -> Void
    ) {
        guard fits(id, record) else { return then(.failure(Self.tooLarge)) }
        change([Array(id.utf8), expected, record], then)
    }

    /// Removes a record that was read as `expected`; `conflict` when somebody was faster.
    public func remove(
        id: String, expected: [UInt8], then: @escaping (Result<Outcome, StoreError>) -> Void
    ) {
        change([Array(id.utf8), expected], then)
    }

    private func change(_ arguments: [[UInt8]], _ then: @escaping (Result<Outcome, StoreError>) -> Void) {
        let call = WrittenCall(.replace, slot: RedisSlot(key: KeySchema.apiKeys)) { name, output in
            RedisWriter.begin(5 + arguments.count, in: &output)
            name.write(into: &output)
            RedisWriter.part(decimal: 2, in: &output)
            RedisWriter.part(KeySchema.apiKeys, in: &output)
            RedisWriter.part(KeySchema.apiKeysVersion, in: &output)
            for argument in arguments { RedisWriter.part(argument, in: &output) }
        } then: { [self] result in
            then(
                result.flatMap { reply in
                    guard case .array(let parts) = reply, parts.count == 3, case .integer(let done) = parts[0],
                        let before = parts[1].text, let after = parts[2].text
                    else { return .failure(.unexpectedReply("replace.lua replied \(reply.shape)")) }
                    if done == 1 { onVersion(before, after) }
                    return .success(done == 1 ? .written : .conflict)
                })
        }
        redis.send(call)
    }

    /// The version of all records: another after each change; empty when nobody ever wrote one, or Redis lost it.
    public func version(then: @escaping (Result<String, StoreError>) -> Void) {
        let command = RedisCommand(parts: [Array("GET".utf8), KeySchema.apiKeysVersion])
        redis.send(command, timeout: timeout) { result in
            then(
                result.flatMap { reply in
                    switch reply {
                    case .null: .success("")
                    case .bytes: .success(reply.text ?? "")
                    default: .failure(.unexpectedReply("GET replied \(reply.shape)"))
                    }
                })
        }
    }

    /// The clock of the server that keeps the records, in seconds since 1970.
    public func time(then: @escaping (Result<Int64, StoreError>) -> Void) {
        let slot = RedisSlot(key: KeySchema.apiKeys)
        redis.send(RedisCommand("TIME"), slot: slot, timeout: timeout) { result in
            then(
                result.flatMap { reply in
                    guard case .array(let parts) = reply, let seconds = parts.first?.text.flatMap({ Int64($0) }) else {
                        return .failure(.unexpectedReply("TIME replied \(reply.shape)"))
                    }
                    return .success(seconds)
                })
        }
    }

    /// Reads all records, in the order of their ids; pages of about 256 keep Redis free for others.
    public func list(then: @escaping (Result<[Entry], StoreError>) -> Void) {
        page(cursor: Array("0".utf8), found: [:], then)
    }

    private func page(
        cursor: [UInt8], found: [String: [UInt8]], _ then: @escaping (Result<[Entry], StoreError>) -> Void
    ) {
        let count = [Array("COUNT".utf8), Array("256".utf8)]
        let command = RedisCommand(parts: [Array("HSCAN".utf8), KeySchema.apiKeys, cursor] + count)
        redis.send(command, timeout: timeout) { [self] result in
            switch result {
            case .failure(let error): then(.failure(error))
            case .success(.array(let parts)):
                guard parts.count == 2, case .bytes(let next) = parts[0], case .array(let pairs) = parts[1] else {
                    return then(.failure(.unexpectedReply("HSCAN replied another shape")))
                }
                var found = found
                for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                    guard let id = pairs[index].text, case .bytes(let record) = pairs[index + 1] else { continue }
                    found[id] = record  // a scan may give a field twice
                }
                guard found.count <= Self.countLimit else {
                    return then(.failure(.unexpectedReply("more than \(Self.countLimit) API keys")))
                }
                if next != Array("0".utf8) { return page(cursor: next, found: found, then) }
                then(.success(found.map(Entry.init).sorted { $0.id < $1.id }))
            case .success(let reply): then(.failure(.unexpectedReply("HSCAN replied \(reply.shape)")))
            }
        }
    }

    private static let tooLarge = StoreError.tooLarge(limit: recordLimit)

    private func fits(_ id: String, _ record: [UInt8]) -> Bool {
        record.count <= Self.recordLimit && (1...128).contains(id.utf8.count)
    }
}
