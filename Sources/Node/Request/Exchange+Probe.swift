// The moment before a request is sent: its target's circuit breaker lets it through, as a probe perhaps, or not.
import Core
import Net
import Policy

extension Exchange {
    /// It is about to be sent: what its target's circuit breaker says to that.
    func enterTarget() -> TargetBreaker.Entry {
        guard let target = chosen else { return .blocked }
        let entry = target.enter(gateway)
        switch entry {
        case .blocked: break
        case .go(let ticket): pass = ticket
        case .ask:
            isAskingForProbe = true
            gateway.breakers.askForProbe(target) { [self] ticket in
                isAskingForProbe = false
                if let ticket, stopReason == nil {
                    pass = ticket
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
        while isAskingForProbe, stopReason == nil { await latch.wait() }
        return pass != .usual
    }

    /// The request did not go where it was let: another may probe in its place.
    func returnPass() {
        guard pass != .usual, let target = chosen else { return }
        gateway.breakers.giveBack(pass, on: target)
        pass = .usual
    }
}
