// What follows from each class of failure, as the operators' guide says it.
import Testing
import Wire

@testable import Providers

@Suite struct FailureTraitsTests {
    /// Class, whether the same target and another one may be asked, what it says about the target, the code.
    static let rows: [(FailureClass, Bool, Bool, TargetSign, ErrorCode)] = [
        (.invalidRequest, false, false, .answer, .upstreamRejected),
        (.unsupportedParameter, false, true, .answer, .upstreamRejected),
        (.contextLengthExceeded, false, true, .answer, .upstreamRejected),
        (.contentFiltered, false, false, .answer, .upstreamRejected),
        (.authentication, false, true, .account, .upstreamRejected),
        (.permissionDenied, false, true, .account, .upstreamRejected),
        (.quotaExhausted, false, true, .account, .upstreamThrottled),
        (.notFound, false, true, .missing, .upstreamRejected),
        (.payloadTooLarge, false, true, .answer, .upstreamRejected),
        (.rateLimited, true, true, .busy, .upstreamThrottled), (.overloaded, true, true, .fault, .upstreamFailed),
        (.serverError, true, true, .fault, .upstreamFailed), (.modelOutputError, true, true, .answer, .upstreamFailed),
        (.timeout, true, true, .fault, .upstreamStalled),
        (.streamInterrupted, false, false, .fault, .upstreamTruncated),
        (.protocolError, false, true, .fault, .upstreamMalformed), (.connect, true, true, .fault, .upstreamConnect),
        (.cancelled, false, false, .nothing, .cancelled),
    ]

    @Test func `every class has its row`() {
        #expect(FailureTraitsTests.rows.map(\.0) == FailureClass.allCases)
        for (kind, again, elsewhere, sign, code) in FailureTraitsTests.rows {
            let traits = kind.traits
            #expect(traits.isRetryable == again && traits.allowsFallback == elsewhere, "\(kind.rawValue)")
            #expect(traits.sign == sign && traits.code == code, "\(kind.rawValue)")
            #expect(ProviderFailure(kind).wireCode == code)
        }
    }

    @Test func `a stream that broke says what broke it`() {
        var failure = ProviderFailure(.streamInterrupted, status: 200)
        for (cause, isStalled, code) in [
            (FailureClass.protocolError, false, ErrorCode.upstreamTruncated), (.timeout, true, .upstreamStalled),
            (.timeout, false, .upstreamFailed), (.overloaded, false, .upstreamFailed),
        ] {
            (failure.cause, failure.isStalled) = (cause, isStalled)
            #expect(failure.wireCode == code)
        }
    }

    @Test func `only what we gave up may be billed without a word of an answer`() {
        for kind in FailureClass.allCases {
            let isGivenUp = kind == .timeout || kind == .cancelled
            #expect(ProviderFailure(kind).mayBeBilled == isGivenUp)
            #expect(ProviderFailure(kind, status: 200).mayBeBilled == isGivenUp)
            #expect(!ProviderFailure(kind, status: 503).mayBeBilled)
        }
    }
}
