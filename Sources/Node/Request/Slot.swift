// A request's slot at a provider: the wait for it, and whether its reader uses it.
import Core
import Net
import Policy

/// Where a request waits to be sent, or may be sent from; an attempt takes it.
struct Slot {
    private enum State {
        /// Next: waiting, had.
        case none
        /// Next: had, none.
        case waiting(Admission, FairQueue<Exchange>.Ticket, LaneTimer)
        /// Next: none.
        case had(Admission)
    }

    private var state = State.none
    /// How long it was waited for; nil when nobody had to wait.
    private(set) var waited: Duration?
    /// Since when the reader takes nothing; nil while it does.
    var stall: Stall?
    /// True once the provider's queue knows the request as stalled.
    var wasStalled = false

    var isWaiting: Bool { if case .waiting = state { true } else { false } }

    /// Whose slot it is; nil as long as there is none, and once an attempt has it.
    var admission: Admission? { if case .had(let admission) = state { admission } else { nil } }

    mutating func wait(at admission: Admission, _ ticket: FairQueue<Exchange>.Ticket, until timer: LaneTimer) {
        state = .waiting(admission, ticket, timer)
    }

    mutating func have(at admission: Admission) { state = .had(admission) }

    /// The turn came.
    mutating func admitted(after time: Duration) {
        guard case .waiting(let admission, _, let timer) = state else { return }
        timer.cancel()
        waited = time
        state = .had(admission)
    }

    /// Waits no more; a slot that is had is still to be given back.
    mutating func leave() {
        guard case .waiting(let admission, let ticket, let timer) = state else { return }
        timer.cancel()
        state = .none
        admission.leave(ticket)
    }

    /// Hands the slot to an attempt, or back.
    mutating func take() -> Admission? {
        guard case .had(let admission) = state else { return nil }
        state = .none
        return admission
    }
}
