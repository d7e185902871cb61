// A request waits for its slot at a provider; a reader that does not use it.
import Core
import Net
import Policy
import Wire

extension Exchange {
    /// It waits, but not longer than until `deadline`.
    func enterQueue(_ ticket: FairQueue<Exchange>.Ticket, at admission: Admission, until deadline: Instant) {
        let timer = gateway.lane.schedule(at: deadline) { [unowned self] in
            gateway.metrics.refused(.tooLate)
            stop(.queueRefused(.tooLate, retryAfter: .seconds(1)))
        }
        slot.wait(at: admission, ticket, until: timer)
    }

    /// It has its slot.
    func admitted(after waited: Duration) {
        slot.admitted(after: waited)
        latch.open()
    }

    /// Its reader takes no more at present: the provider is left unread, and its slot there may be wanted by others.
    func readerIsFull() {
        pause()
        guard slot.stall == nil else { return }
        slot.stall = Stall(since: gateway.lane.now, waiting: downstream.waitingBytes)
        slot.wasStalled = true
        leading?.admission?.stalled(self)
    }

    /// True when its reader has taken next to nothing for `patience`. One that reads slowly counts anew.
    func isStalled(for patience: Duration) -> Bool {
        guard let stall = slot.stall, stopReason == nil, leading?.call != nil else { return false }
        let time = gateway.lane.now - stall.since
        guard time >= patience else { return false }
        let left = downstream.waitingBytes
        if Int64(stall.waiting - left) * 1_000 >= Stall.slowest * time.milliseconds {
            slot.stall = Stall(since: gateway.lane.now, waiting: left)
            return false
        }
        return true
    }
}
