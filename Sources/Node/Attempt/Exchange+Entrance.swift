// The moment before a request is sent: its target's circuit breaker lets it through, as a probe perhaps, or not.
import Core
import Net
import Policy

/// How a target's circuit breaker lets a request through that is about to be sent.
enum Entrance {
    /// As any other.
    case usual
    /// The cluster is asked whether it may probe.
    case asking
    /// It probes this target.
    case probing(LaneTarget, TargetBreaker.Ticket)

    /// What its attempt shows.
    var ticket: TargetBreaker.Ticket { if case .probing(_, let ticket) = self { ticket } else { .usual } }
}

extension Exchange {
    /// It is about to be sent: what its target's circuit breaker says to that.
    func enter(_ target: LaneTarget) -> TargetBreaker.Entry {
        let entry = target.enter(gateway)
        switch entry {
        case .blocked, .go(.usual): break
        case .go(let ticket): tries.entrance = .probing(target, ticket)
        case .ask:
            tries.entrance = .asking
            gateway.breakers.askForProbe(target) { [self] ticket in
                tries.entrance = .usual
                if let ticket, stopReason == nil {
                    tries.entrance = .probing(target, ticket)
                } else if let ticket {
                    gateway.breakers.giveBack(ticket, on: target)
                }
                latch.open()
            }
        }
        return entry
    }

    /// Waits for the cluster's word; true when it may probe.
    func mayProbe() async -> Bool {
        while isAskingForProbe, goesOn { await latch.wait() }
        return probes
    }

    // Not inlined: what they look at must not live in the frame that waits.
    @inline(never)
    private var isAskingForProbe: Bool { if case .asking = tries.entrance { true } else { false } }
    @inline(never)
    private var probes: Bool { tries.entrance.ticket != .usual }

    /// The request did not go where it was let: another may probe in its place.
    func leaveEntrance() {
        guard case .probing(let target, let ticket) = tries.entrance else { return }
        gateway.breakers.giveBack(ticket, on: target)
        tries.entrance = .usual
    }
}
