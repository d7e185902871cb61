// What follows from each class of failure: one table for retries, breakers, health, the wire and the bill.
import Wire

/// What a failure says about its target.
public enum TargetSign: Sendable {
    /// It is at fault: for its circuit breaker and for its health.
    case fault
    /// It answered, and was right to refuse: that speaks for it.
    case answer
    /// It works and knows us, and has too much to do: it rests, for the time that it names.
    case busy
    /// It refuses our account: not for the breaker, which would keep away requests that another key may serve; but nobody is served as it is.
    /// It rests for as long as a rest can be, because waiting does not help soon.
    case account
    /// It works, and does not have what is asked for: nobody is served here as it is.
    case missing
    /// Nothing: the client went away.
    case nothing
}

/// What follows from a class of failure.
public struct FailureTraits: Sendable {
    /// The same target may be asked again.
    public let isRetryable: Bool
    /// Another target may be asked.
    public let allowsFallback: Bool
    /// What it says about the target.
    public let sign: TargetSign
    /// The wire's code for it; of a stream that broke its cause says more.
    public let code: ErrorCode
    /// It was us who gave up.
    public let isGivenUp: Bool

    fileprivate init(again: Bool, elsewhere: Bool, _ sign: TargetSign, _ code: ErrorCode, isGivenUp: Bool = false) {
        (isRetryable, allowsFallback, self.sign, self.code, self.isGivenUp) = (again, elsewhere, sign, code, isGivenUp)
    }
}

extension FailureClass {
    /// The table: a row a class.
    public var traits: FailureTraits {
        switch self {
        case .invalidRequest: FailureTraits(again: false, elsewhere: false, .answer, .upstreamRejected)
        case .unsupportedParameter: FailureTraits(again: false, elsewhere: true, .answer, .upstreamRejected)
        case .contextLengthExceeded: FailureTraits(again: false, elsewhere: true, .answer, .upstreamRejected)
        case .contentFiltered: FailureTraits(again: false, elsewhere: false, .answer, .upstreamRejected)
        case .authentication: FailureTraits(again: false, elsewhere: true, .account, .upstreamRejected)
        case .permissionDenied: FailureTraits(again: false, elsewhere: true, .account, .upstreamRejected)
        case .quotaExhausted: FailureTraits(again: false, elsewhere: true, .account, .upstreamThrottled)
        case .notFound: FailureTraits(again: false, elsewhere: true, .missing, .upstreamRejected)
        // Too large is mostly what a proxy in front of the model thinks: another target may have none.
        case .payloadTooLarge: FailureTraits(again: false, elsewhere: true, .answer, .upstreamRejected)
        case .rateLimited: FailureTraits(again: true, elsewhere: true, .busy, .upstreamThrottled)
        case .overloaded: FailureTraits(again: true, elsewhere: true, .fault, .upstreamFailed)
        case .serverError: FailureTraits(again: true, elsewhere: true, .fault, .upstreamFailed)
        case .modelOutputError: FailureTraits(again: true, elsewhere: true, .answer, .upstreamFailed)
        case .timeout: FailureTraits(again: true, elsewhere: true, .fault, .upstreamStalled, isGivenUp: true)
        case .streamInterrupted: FailureTraits(again: false, elsewhere: false, .fault, .upstreamTruncated)
        case .protocolError: FailureTraits(again: false, elsewhere: true, .fault, .upstreamMalformed)
        case .connect: FailureTraits(again: true, elsewhere: true, .fault, .upstreamConnect)
        case .cancelled: FailureTraits(again: false, elsewhere: false, .nothing, .cancelled, isGivenUp: true)
        }
    }
}
