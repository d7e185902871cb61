// What coordinators share in Redis: the lease of the one that leads, and what it keeps for the one that follows it.

import Core
import Policy

/// The lease, and a hash that only the holder of the last term writes. Used on the lane of its Redis; the only caller of lead.lua and keep.lua.
public final class CoordinationStore {
    /// The most bytes that are kept in one call.
    public static let sizeLimit = 2 << 20

    private let redis: Redis

    /// What is shared in `redis`.
    public init(_ redis: Redis) { self.redis = redis }

    /// Asks for the lease, or gives it back. After an error it is not known whether it was granted: it must not be relied upon.
    public func lead(_ call: LeaseCall, then: @escaping (Result<LeaseReply, StoreError>) -> Void) {
        redis.send(
            WrittenCall(.lead, slot: RedisSlot(key: KeySchema.lease)) { name, output in
                CoordinationStore.write(call, name, into: &output)
            } then: { result in
                then(result.flatMap { reply in Result { () throws(StoreError) in try CoordinationStore.read(reply) } })
            })
    }

    /// Writes fields, and removes others, in one step; false when another term than `epoch` has begun.
    public func keep(
        _ fields: [(name: String, value: [UInt8])], removing removed: [String] = [], epoch: UInt64,
        then: @escaping (Result<Bool, StoreError>) -> Void
    ) {
        guard fields.reduce(0, { $0 + $1.value.count }) <= CoordinationStore.sizeLimit else {
            return then(.failure(.tooLarge(limit: CoordinationStore.sizeLimit)))
        }
        let call = WrittenCall(.keep, slot: RedisSlot(key: KeySchema.lease)) { name, output in
            RedisWriter.begin(7 + 2 * fields.count + removed.count, in: &output)
            name.write(into: &output)
            RedisWriter.part(decimal: 2, in: &output)
            RedisWriter.part(KeySchema.lease, in: &output)
            RedisWriter.part(KeySchema.kept, in: &output)
            RedisWriter.part(Array("\(epoch)".utf8), in: &output)
            RedisWriter.part(decimal: fields.count, in: &output)
            for field in fields {
                RedisWriter.part(Array(field.name.utf8), in: &output)
                RedisWriter.part(field.value, in: &output)
            }
            for name in removed { RedisWriter.part(Array(name.utf8), in: &output) }
        } then: { result in
            then(
                result.flatMap { reply in
                    switch reply {
                    case .integer(1): .success(true)
                    case .integer(0): .success(false)
                    default: .failure(.unexpectedReply("keep.lua replied \(reply.shape)"))
                    }
                })
        }
        redis.send(call)
    }

    /// Reads fields, nil for one that is not there; `timeout` is generous: some are large.
    public func fetch(
        _ fields: [String], timeout: Duration = .seconds(2), then: @escaping (Result<[[UInt8]?], StoreError>) -> Void
    ) {
        let names = fields.map { Array($0.utf8) }
        let command = RedisCommand(parts: [Array("HMGET".utf8), KeySchema.kept] + names)
        redis.send(command, slot: RedisSlot(key: KeySchema.kept), timeout: timeout) { result in
            then(
                result.flatMap { reply in
                    guard case .array(let values) = reply, values.count == fields.count else {
                        return .failure(.unexpectedReply("HMGET replied \(reply.shape)"))
                    }
                    return .success(values.map { if case .bytes(let bytes) = $0 { bytes } else { nil } })
                })
        }
    }

    static func write(_ call: LeaseCall, _ name: ScriptName, into output: inout ByteBuffer) {
        RedisWriter.begin(11, in: &output)
        name.write(into: &output)
        RedisWriter.part(decimal: 1, in: &output)
        RedisWriter.part(KeySchema.lease, in: &output)
        RedisWriter.part(decimal: call.wish.rawValue, in: &output)
        RedisWriter.part(Array(call.name.utf8), in: &output)
        RedisWriter.part(Array("\(call.incarnation)".utf8), in: &output)
        RedisWriter.part(Array(call.place.utf8), in: &output)
        RedisWriter.part(decimal: Int(call.length), in: &output)
        RedisWriter.part(Array("\(call.seen)".utf8), in: &output)
        RedisWriter.part(Array("\(call.latest)".utf8), in: &output)
    }

    static func read(_ reply: RedisReply) throws(StoreError) -> LeaseReply {
        guard case .array(let parts) = reply, parts.count == 6, case .integer(let mine) = parts[0],
            let epoch = parts[1].text.flatMap({ UInt64($0) }), let left = parts[2].text.flatMap({ Int64($0) }),
            let now = parts[3].text.flatMap({ Int64($0) }), let name = parts[4].text, let place = parts[5].text
        else { throw .unexpectedReply("lead.lua replied \(reply.shape)") }
        return LeaseReply(isMine: mine == 1, epoch: epoch, left: left, at: now, name: name, place: place)
    }
}
