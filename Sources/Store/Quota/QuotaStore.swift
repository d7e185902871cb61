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

    /// True when Redis is not worth asking.
    public var isDegraded: Bool { redis.isDegraded }

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
