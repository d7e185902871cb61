// Several tries of one id in the seeded stream: after a release, beside one that runs, and what comes late of an earlier one.

import Core
import Policy

@testable import Store

extension Operations {
    /// What the stream must reach.
    static var tries: [String] {
        [
            "try after a release: granted", "try beside another: repeated", "late reservation: duplicate",
            "release beside a try: settled again", "run beside a try: unknown", "extension beside a try: unknown",
            "release of an unknown: unknown",
        ]
    }

    /// Nil when there is nothing yet to try again.
    mutating func stepOfTries(on redis: BlockingRedis) throws -> Outcome? {
        let kind = chance.below(7)
        if kind < 3 {
            guard !released.isEmpty else { return nil }
            let old = released[chance.below(released.count)]
            // Often the last one, which nobody may have reserved again.
            let place = chance.below(2) == 0 ? released.last ?? old : old
            if kind < 2 { return named("try after a release", try reserve(again(place), on: redis)) }
            return named("late reservation", try reserve(again(place, claim: place.claim), on: redis))
        }
        if kind == 3 {
            let outcome = try settle(.release(of: fresh()), on: redis)
            return named("release of an unknown", outcome)
        }
        guard !open.isEmpty else { return nil }
        let call = open[chance.below(open.count)]
        let other = ReserveCall(
            id: call.id, claim: call.claim ^ 1, tenant: call.tenant, estimate: use(), holdMilliseconds: 10,
            limits: call.limits)
        switch kind {
        case 4:
            let end = settlement(of: other)
            return named(end.ending == .ran ? "run beside a try" : "release beside a try", try settle(end, on: redis))
        case 5: return named("extension beside a try", try extend(other, on: redis))
        default: return named("try beside another", try reserve(other, on: redis))
        }
    }

    private mutating func again(_ old: SettleCall, claim: UInt32? = nil) -> ReserveCall {
        ReserveCall(
            id: old.id, claim: claim ?? UInt32(1 + chance.below(1 << 30)), tenant: old.tenant, estimate: use(),
            holdMilliseconds: Int64(1 + chance.below(20)), limits: old.limits)
    }

    /// As it is counted: the extension's name says less than others of what it found.
    private func named(_ what: String, _ outcome: Outcome) -> Outcome {
        let found = outcome.name == "extension of an unknown one" ? "unknown" : outcome.name
        return Outcome(name: "\(what): \(found)", isEqual: outcome.isEqual, difference: outcome.difference)
    }
}
