// Why a target did not answer, as the log tells it: no words of the provider but its bounded type or code.
import Core
import Providers
import Telemetry

/// One attempt that failed, also when a later one answered.
struct AttemptFailure {
    let number: Int
    /// Provider and model.
    let target: String
    let kind: FailureClass
    let status: Int
    let code: String?
    let location: String?

    /// More of a request are not told: it has at most five attempts.
    static let limit = 5

    init(_ failure: ProviderFailure, number: Int, target: String) {
        (self.number, self.target, kind, status) = (number, target, failure.kind, failure.status)
        code = failure.code ?? failure.type
        location = failure.location
    }

    /// Appends its fields. The class is the error of an attempt; of a request that is its outcome, and the class a detail.
    func write(_ record: inout LogRecord, class key: StaticString) {
        record.field(key, kind.rawValue)
        if status != 0 { record.field("upstream_status", status) }
        if let code { record.field("upstream_code", code) }
        if let location { record.field("upstream_location", location) }
    }
}

extension Exchange {
    /// Notes why an attempt failed; one that was given up is no failure.
    func note(_ attempt: Attempt) {
        guard let failure = attempt.outcome?.failure, failure.kind != .cancelled,
            tries.failed.count < AttemptFailure.limit
        else { return }
        tries.failed.append(AttemptFailure(failure, number: attempt.number, target: attempt.target.name))
    }
}
