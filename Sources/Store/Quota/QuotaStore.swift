// Reserve, settle and peek against Redis: the only callers of the quota scripts.

import Core
import Policy

/// The quota of all tenants, as seen from one lane. Two commands a request.
public final class QuotaStore {
    private let redis: Redis
    private var codec: QuotaCodec

    /// Quota kept in `redis`. All nodes of a cluster must use the same times and retention.
    public init(
        _ redis: Redis, times: QuotaTimes = .standard, retention: LedgerRetention = .standard
    ) {
        self.redis = redis
        codec = QuotaCodec(times: times, retention: retention)
    }

    /// True when Redis is not worth asking about this org.
    public func isDegraded(org: String) -> Bool { redis.isDegraded(org: org) }

    /// True when Redis is not worth asking about some orgs.
    public var isImpaired: Bool { redis.isImpaired }

    /// May this request run? `then` hears the answer once, on the lane.
    ///
    /// After a `timeout` or a loss of the connection the reservation may exist: settle it with `SettleCall.release`, or
    /// reserve again under the same id, which then replies `repeated`.
    public func reserve(_ call: ReserveCall, then: @escaping (Result<ReserveReply, StoreError>) -> Void) {
        redis.send(Reservation(call, self, then))
    }

    /// May this request use more? Safe to repeat: it names the whole estimate, not what is added.
    public func extend(_ call: ExtendCall, then: @escaping (Result<ExtendReply, StoreError>) -> Void) {
        redis.send(
            WrittenCall(.reserve, slot: KeySchema.slot(ofOrg: call.tenant.org)) { [self] name, output in
                codec.write(call, script: name, into: &output)
            } then: { result in
                then(
                    result.flatMap { reply in
                        Result { () throws(StoreError) in try QuotaReplyReader.extend(reply, of: call) }
                    })
            })
    }

    /// Ends a reservation with its real use. Safe to repeat after any failure: it counts once.
    public func settle(_ call: SettleCall, then: @escaping (Result<SettleReply, StoreError>) -> Void) {
        redis.send(Settlement(call, self, then))
    }

    /// Ends a part of a block. Safe to repeat after any failure: its number counts once.
    public func settle(_ call: PartCall, then: @escaping (Result<SettleReply, StoreError>) -> Void) {
        redis.send(
            WrittenCall(.settle, slot: KeySchema.slot(ofOrg: call.tenant.org)) { [self] name, output in
                codec.write(call, script: name, into: &output)
            } then: { result in
                then(
                    result.flatMap { reply in Result { () throws(StoreError) in try QuotaReplyReader.settle(reply) } })
            })
    }

    /// Remembers the id of a request that runs on a block granted at `grantedAt` (Redis' clock, µs). `then` hears whether it is new;
    /// when it is not, nothing was written, and `reserve` tells what became of it.
    public func remember(
        _ call: ReserveCall, grantedAt: Int64, then: @escaping (Result<Bool, StoreError>) -> Void
    ) {
        redis.send(
            codec.remembering(call, grantedAt: grantedAt), slot: KeySchema.slot(ofOrg: call.tenant.org)
        ) { result in
            then(
                result.flatMap { reply in
                    switch reply {
                    case .status: .success(true)
                    case .null: .success(false)
                    default: .failure(.unexpectedReply("SET replied \(reply.shape)"))
                    }
                })
        }
    }

    /// A request that was remembered as new never went out, or is to be reserved by itself: its id is free again.
    public func forget(_ id: Identifier128, of tenant: Tenant) {
        let command = RedisCommand(parts: [Array("UNLINK".utf8), QuotaCodec.recordKey(of: id, tenant)])
        // Should it be lost, the id stays taken until its record ends, as after a reservation that was given back.
        redis.send(command, slot: KeySchema.slot(ofOrg: tenant.org)) { _ in }
    }

    /// How do the limits of this request stand? Nothing is written; the call's id and hold have no meaning.
    public func peek(_ call: ReserveCall, then: @escaping (Result<QuotaPeek, StoreError>) -> Void) {
        let asked = WrittenCall(.peek, slot: KeySchema.slot(ofOrg: call.tenant.org)) { [self] name, output in
            codec.write(call, script: name, into: &output)
        } then: { result in
            then(
                result.flatMap { reply in
                    Result { () throws(StoreError) in try QuotaReplyReader.peek(reply, of: call) }
                })
        }
        redis.send(asked)
    }

    private final class Reservation: ScriptCall {
        let call: ReserveCall
        let store: QuotaStore
        let then: (Result<ReserveReply, StoreError>) -> Void
        var script: RedisScript { .reserve }
        var slot: RedisSlot { KeySchema.slot(ofOrg: call.tenant.org) }

        init(_ call: ReserveCall, _ store: QuotaStore, _ then: @escaping (Result<ReserveReply, StoreError>) -> Void) {
            self.call = call
            self.store = store
            self.then = then
        }

        func write(_ name: ScriptName, into output: inout ByteBuffer) {
            store.codec.write(call, script: name, into: &output)
        }

        func finish(_ result: Result<RedisReply, StoreError>) {
            then(
                result.flatMap { reply in
                    Result { () throws(StoreError) in try QuotaReplyReader.reserve(reply, of: call) }
                })
        }
    }

    private final class Settlement: ScriptCall {
        let call: SettleCall
        let store: QuotaStore
        let then: (Result<SettleReply, StoreError>) -> Void
        var script: RedisScript { .settle }
        var slot: RedisSlot { KeySchema.slot(ofOrg: call.tenant.org) }

        init(_ call: SettleCall, _ store: QuotaStore, _ then: @escaping (Result<SettleReply, StoreError>) -> Void) {
            self.call = call
            self.store = store
            self.then = then
        }

        func write(_ name: ScriptName, into output: inout ByteBuffer) {
            store.codec.write(call, script: name, into: &output)
        }

        func finish(_ result: Result<RedisReply, StoreError>) {
            then(result.flatMap { reply in Result { () throws(StoreError) in try QuotaReplyReader.settle(reply) } })
        }
    }
}
