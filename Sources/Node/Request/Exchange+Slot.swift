// A request's slot at its provider: the wait for it, and a reader that does not use it.
import Core
import Net
import Policy
import Wire

extension Exchange {
    /// True while it waits for a place.
    var isQueued: Bool { ticket != nil }

    /// It waits, but not longer than until `deadline`.
    func enterQueue(_ ticket: FairQueue<Exchange>.Ticket, until deadline: Instant) {
        self.ticket = ticket
        queueTimer = gateway.lane.schedule(at: deadline) { [unowned self] in
            gateway.metrics.refused(.tooLate)
            stop(.queueRefused(.tooLate, retryAfter: .seconds(1)))
        }
    }

    /// It has its place.
    func admitted(after waited: Duration) {
        ticket = nil
        queueWait = waited
        queueTimer?.cancel()
        latch.open()
    }

    /// It waits no more and has no place.
    func leaveQueue() {
        queueTimer?.cancel()
        guard let ticket else { return }
        self.ticket = nil
        admission?.leave(ticket)
        admission = nil
    }

    /// Its reader takes no more at present: the provider is left unread, and its place there may be wanted by others.
    func readerIsFull() {
        pause()
        guard stall == nil else { return }
        stall = Stall(since: gateway.lane.now, waiting: downstream.waitingBytes)
        wasStalled = true
        leading?.admission?.stalled(self)
    }

    /// True when its reader has taken next to nothing for `patience`. One that reads slowly counts anew.
    func isStalled(for patience: Duration) -> Bool {
        guard let stall, stopReason == nil, leading?.call != nil else { return false }
        let time = gateway.lane.now - stall.since
        guard time >= patience else { return false }
        let left = downstream.waitingBytes
        if Int64(stall.waiting - left) * 1_000 >= Stall.slowest * time.milliseconds {
            self.stall = Stall(since: gateway.lane.now, waiting: left)
            return false
        }
        return true
    }
}
