// Every reason for which a request ends without a whole answer, and the one wire error that stands for it.
import Core
import Policy
import Providers
import Wire

/// Why a request was not served. Closed: each case maps to one terminal frame.
///
/// Indirect, because refusals are rare and every phase would otherwise carry room for the largest.
indirect enum Refusal: Error {
    /// A value of the request's head that cannot be served.
    case invalid(StreamError)
    case body(BodyError)
    case unknownModel(String)
    case unknownModelNumber(UInt16)
    case forbidden(KeyRefusal)
    case unsupported(Operation)
    case duplicate(QuotaRecord)
    case overLimit(QuotaDenial)
    /// The share of a limit that this lane keeps while Redis is away.
    case overShare(QuotaDenial)
    case unpriced(String)
    case noRoute(String)
    /// Every target of the route is closed off by its circuit breaker.
    case targetsOpen(String, retryAfter: Duration)
    case queueRefused(QueueRefusal, retryAfter: Duration)
    /// The lane has too much to do for a request of this class.
    case shed(LoadRung, retryAfter: Duration)
    /// The bodies of a key's or an org's requests take all the room that one may have on a lane.
    case bodyBytes(Occupancy.Holder)
    case stateUnavailable
    /// The lane waits for more replies of Redis than it may.
    case crowded
    case draining
    case deadline
    case cancelled
    case slowConsumer
    /// Its reader took nothing, and another request needed its place at the provider.
    case placeNeeded
    case slowBody
    case responseTooLong
    case connectionLost
    case upstream(ProviderFailure)

    /// A word for metrics and log lines.
    var outcome: String { streamError.code.name }

    /// The terminal frame, without what was used.
    var streamError: StreamError {
        switch self {
        case .invalid(let error): return error
        case .body(let error): return error.streamError
        case .unknownModel(let name):
            return StreamError(code: .unknownModel, text: "no route is named '\(name)'", field: "model")
        case .unknownModelNumber(let number):
            return StreamError(
                code: .unknownModel, text: "number \(number) is not in this connection's model table", field: "model")
        case .forbidden(let refusal):
            return StreamError(code: .forbidden, text: refusal.description, field: refusal.field)
        case .unsupported(let operation):
            return StreamError(code: .invalidRequest, text: "no route serves \(operation)", field: "operation")
        case .duplicate(let record):
            return StreamError(
                code: .duplicate, inputTokens: UInt32(clamping: record.use.inputTokens),
                outputTokens: UInt32(clamping: record.use.outputTokens),
                costMicroUSD: UInt64(max(0, record.use.microUSD)),
                text: "this idempotency key was used before")
        case .overLimit(let denial): return Refusal.overLimit(denial)
        case .overShare(let denial):
            var error: StreamError = Refusal.overLimit(denial)
            // Elsewhere there may be room: each node keeps a share of its own.
            error.retry = .safeElsewhere
            error.text = "shared limits cannot be reached; this node keeps its share of them"
            return error
        case .unpriced(let model):
            return StreamError(code: .forbidden, text: "'\(model)' has no price, so no budget can be kept")
        case .noRoute(let reason): return StreamError(code: .noRoute, retryAfterMilliseconds: 1_000, text: reason)
        case .targetsOpen(let route, let retryAfter):
            return StreamError(
                code: .noRoute, retryAfterMilliseconds: UInt32(clamping: max(1, retryAfter.milliseconds)),
                text: "every target of '\(route)' fails; their circuit breakers are open")
        case .queueRefused(let reason, let retryAfter):
            return StreamError(
                code: .overloaded, retryAfterMilliseconds: UInt32(clamping: max(1, retryAfter.milliseconds)),
                text: Refusal.words(reason))
        case .shed(let rung, let retryAfter):
            return StreamError(
                code: .overloaded, retryAfterMilliseconds: UInt32(clamping: max(1, retryAfter.milliseconds)),
                text: Refusal.words(rung))
        case .bodyBytes(let holder):
            return StreamError(
                code: .overloaded, retryAfterMilliseconds: 200,
                text: "the bodies of this \(holder.rawValue)'s requests take all the room that it may have on this node"
            )
        case .stateUnavailable: return StreamError(code: .stateUnavailable, text: "shared limits cannot be reached")
        case .crowded:
            return StreamError(
                code: .overloaded, retryAfterMilliseconds: 100, text: "too many requests wait for quota on this node")
        case .draining: return StreamError(code: .draining, text: "this node is going away")
        case .deadline: return StreamError(code: .deadline, text: "the request's time is over")
        case .cancelled, .connectionLost: return StreamError(code: .cancelled)
        case .slowConsumer: return StreamError(code: .slowConsumer, text: "no credit for 30 s")
        case .placeNeeded:
            return StreamError(
                code: .slowConsumer, text: "the answer was not read, and others waited for its place at the provider")
        case .slowBody: return StreamError(code: .invalidRequest, text: "the body came too slowly", field: "body")
        case .responseTooLong: return StreamError(code: .tooLarge, text: "the answer is larger than 16 MiB")
        case .upstream(let failure): return Refusal.upstream(failure)
        }
    }

    private static func words(_ reason: QueueRefusal) -> String {
        switch reason {
        case .full: "the provider is busy and the queue is full"
        case .teamFull: "the provider is busy and your team's part of the queue is full"
        case .tooLate: "the provider is busy; the turn would come too late"
        }
    }

    private static func words(_ rung: LoadRung) -> String {
        switch rung {
        case .calm, .batchShed, .queuesShort, .answersShort: "this node has too much to do for batch requests"
        case .interactiveOnly: "this node has too much to do for any but interactive requests"
        case .closed: "this node has no memory left for new requests"
        }
    }

    private static func overLimit(_ denial: QuotaDenial) -> StreamError {
        let code: ErrorCode
        switch denial.limit.unit {
        case .requests: code = .quotaRequests
        case .inputTokens, .outputTokens, .totalTokens: code = .quotaTokens
        case .concurrency: code = .quotaConcurrency
        case .microUSD: code = .budgetExhausted
        }
        let limit = StreamError.BindingLimit(
            scope: "\(denial.limit.scope)", unit: denial.limit.unitText, amount: denial.limit.amount,
            remaining: denial.remaining)
        switch denial.retry {
        case .after(let microseconds):
            // Rounded up: at the stated time the limit has room again.
            let milliseconds = UInt32(clamping: (microseconds + 999) / 1_000)
            return StreamError(code: code, retryAfterMilliseconds: milliseconds, limit: limit)
        case .whenReleased: return StreamError(code: code, retryAfterMilliseconds: 50, limit: limit)
        case .never:
            return StreamError(code: code, retry: .never, text: "the request is larger than the limit", limit: limit)
        }
    }

    private static func upstream(_ failure: ProviderFailure) -> StreamError {
        let text = [failure.kind.rawValue, failure.code].compactMap(\.self).joined(separator: ": ")
        return StreamError(
            code: failure.wireCode, retry: failure.wireRetry,
            retryAfterMilliseconds: UInt32(clamping: failure.retryAfter?.milliseconds ?? 0),
            providerStatus: UInt16(clamping: failure.status), text: text)
    }
}
