// Why a provider did not answer, in one closed taxonomy with what follows from each class.
import Core
import Wire

/// Classes of failures, the same for every provider.
public enum FailureClass: String, Sendable, CaseIterable {
    case invalidRequest = "invalid_request"
    case unsupportedParameter = "unsupported_parameter"
    case contextLengthExceeded = "context_length_exceeded"
    case contentFiltered = "content_filtered"
    case authentication
    case permissionDenied = "permission_denied"
    case quotaExhausted = "quota_exhausted"
    case notFound = "not_found"
    case payloadTooLarge = "payload_too_large"
    case rateLimited = "rate_limited"
    case overloaded
    case serverError = "server_error"
    case modelOutputError = "model_output_error"
    case timeout
    case streamInterrupted = "stream_interrupted"
    case protocolError = "protocol_error"
    case connect
    case cancelled
}

/// One failure. Carries the provider's own words only in parts that cannot hold a key or a prompt.
public struct ProviderFailure: Error, Sendable, Equatable {
    /// What happened.
    public var kind: FailureClass
    /// What caused an interrupted stream; nil for the end of the body without a terminal event.
    public var cause: FailureClass?
    /// The HTTP status; 0 when there was none.
    public var status = 0
    /// The provider's error type.
    public var type: String?
    /// The provider's error code.
    public var code: String?
    /// The host that a redirect leads to, without path and query; never for clients.
    public var location: String?
    /// When to come again, if the provider said so believably.
    public var retryAfter: Duration?
    /// True when a later byte of the answer, not the first, did not come in time.
    public var isStalled = false
    /// What the provider says about asking again (`x-should-retry`); nil when it says nothing.
    public var shouldRetry: Bool?
    /// What the operator should know, such as why no connection came about; never for clients.
    public var detail: String?

    /// A failure of a class.
    public init(_ kind: FailureClass, status: Int = 0) {
        self.kind = kind
        self.status = status
    }

    /// The same target may be asked again; the provider's own word comes before what is usual for the class.
    public var isRetryable: Bool { shouldRetry ?? kind.traits.isRetryable }

    /// The wire's code for this failure.
    public var wireCode: ErrorCode {
        guard kind == .streamInterrupted else { return kind.traits.code }
        return switch cause {
        case nil, .protocolError: .upstreamTruncated
        case .timeout where isStalled: .upstreamStalled
        default: .upstreamFailed
        }
    }

    /// Without a word of an answer: true when it was us who gave up, so that the provider may have worked, and bills it.
    public var mayBeBilled: Bool { kind.traits.isGivenUp && (status == 0 || status == 200) }

    /// The retry class, where the provider's documents say more than the code does.
    public var wireRetry: RetryClass {
        if let shouldRetry { return shouldRetry ? .safeHere : .never }
        return switch kind {
        // A provider that says 429 or 503 before any answer has not processed the request.
        case .rateLimited: .safeHere
        case .quotaExhausted: .never
        case .overloaded: .safeElsewhere
        default: wireCode.retryClass
        }
    }
}

/// Receives an answer as it comes. All calls are made on the lane, before the outcome.
public protocol AnswerSink: AnyObject {
    /// A piece of text, reasoning, refusal or tool arguments. The bytes are lent for the call.
    func answerDelta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan)
    /// Something that is not text.
    func answerEvent(_ event: StreamEvent)
}
