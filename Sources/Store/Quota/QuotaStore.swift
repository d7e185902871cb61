// Reserve and settle against Redis: the only callers of the quota scripts.

import Core
import Policy

/// The quota of all tenants, as seen from one lane. Two commands a request.
public final class QuotaStore {
    private let connection: RedisConnection
    private var codec: QuotaCodec

    /// Quota kept behind `connection`. All nodes of a cluster must use the same times.
    public init(_ connection: RedisConnection, times: QuotaTimes = .standard) {
        self.connection = connection
        codec = QuotaCodec(times: times)
    }

    /// May this request run? `then` hears the answer once, on the lane.
    ///
    /// After a `timeout` or a loss of the connection the reservation may exist: settle it with `SettleCall.release`, or
    /// reserve again under the same id, which then replies `repeated`.
    public func reserve(_ call: ReserveCall, then: @escaping (Result<ReserveReply, StoreError>) -> Void) {
        connection.call(.reserve) { [self] name, output in
            codec.write(call, script: name, into: &output)
        } then: { result in
            then(
                result.flatMap { reply in
                    Result { () throws(StoreError) in try QuotaReplyReader.reserve(reply, of: call) }
                })
        }
    }

    /// Ends a reservation with its real use. Safe to repeat after any failure: it counts once.
    public func settle(_ call: SettleCall, then: @escaping (Result<SettleReply, StoreError>) -> Void) {
        connection.call(.settle) { [self] name, output in
            codec.write(call, script: name, into: &output)
        } then: { result in
            then(result.flatMap { reply in Result { () throws(StoreError) in try QuotaReplyReader.settle(reply) } })
        }
    }
}
