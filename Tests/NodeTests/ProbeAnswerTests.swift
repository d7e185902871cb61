// What an answer says about the health of its target, and what it says to a probe.
import Policy
import Providers
import Testing

@testable import Node

@Suite struct ProbeAnswerTests {
    @Test(arguments: FailureClass.allCases)
    func `a refusal for another reason than health is a good answer to a probe, and else says nothing`(
        kind: FailureClass
    ) {
        let usual = LaneTarget.sample(ProviderFailure(kind))
        for ticket in [TargetBreaker.Ticket.ownProbe, .sharedProbe(epoch: 3)] {
            let probed = LaneTarget.sample(ProviderFailure(kind), ticket)
            switch kind {
            case .rateLimited, .quotaExhausted, .authentication, .permissionDenied:
                #expect(usual == nil && probed == .success)
            case .cancelled: #expect(usual == nil && probed == nil, "nobody knows")
            case .overloaded, .serverError, .timeout, .streamInterrupted, .protocolError, .connect:
                #expect(usual == .failure && probed == .failure)
            case .invalidRequest, .unsupportedParameter, .contextLengthExceeded, .contentFiltered, .notFound,
                .payloadTooLarge, .modelOutputError:
                #expect(usual == .success && probed == .success)
            }
        }
        #expect(LaneTarget.sample(nil) == .success)
    }
}
