// Answers that go on over another connection when theirs broke.
import Core
import Net
import Wire

extension LaneClient {
    /// An answer that a node keeps lost its connection: true when it waits for another one to the node that keeps it.
    func interrupt(_ request: PendingRequest, _ reason: String) -> Bool {
        guard !isClosed, let hold = request.hold, interrupted.count < options.waiting else { return false }
        request.hold?.until = lane.now + .milliseconds(Int64(hold.grant.keptMilliseconds))
        request.hold?.reason = reason
        interrupted.append(request)
        look(at: min(request.hold?.until ?? .distantFuture, request.deadline))
        // Its connection's end is not over: those who lost the same connection go on together.
        lane.schedule(after: .zero) { [self] in continueInterrupted() }
        return true
    }

    /// Goes on where a connection to the right node is; looks for the node where there is none.
    func continueInterrupted() {
        guard !interrupted.isEmpty, !isClosed else { return }
        var rest: [PendingRequest] = []
        var mustSearch = false
        for request in interrupted {
            guard let hold = request.hold else { continue }
            let links = slots.compactMap(\.link).filter { $0.node == hold.node && !$0.isClosed }
            if links.contains(where: { $0.resume(request, hold) }) { continue }
            rest.append(request)
            if links.isEmpty { mustSearch = true }
        }
        interrupted = rest
        if mustSearch, search == nil { search = StreamSearch(self, attempts: options.searches) }
        if rest.isEmpty { search = nil }
    }

    /// A search reached a node: what waits for it goes on there.
    func continueInterrupted(on link: ClientLink) -> Bool {
        let before = interrupted.count
        interrupted.removeAll { request in
            guard let hold = request.hold, hold.node == link.node else { return false }
            return link.resume(request, hold)
        }
        return interrupted.count < before
    }

    /// Ends what nobody keeps any more. Returns when to look again.
    func sweepInterrupted(at now: Instant) -> Instant {
        var rest: [PendingRequest] = []
        var late: [PendingRequest] = []
        var next = Instant.distantFuture
        for request in interrupted {
            let due = min(request.hold?.until ?? now, request.deadline)
            if due > now {
                rest.append(request)
                next = min(next, due)
            } else {
                late.append(request)
            }
        }
        interrupted = rest
        if rest.isEmpty { search = nil }
        for request in late {
            let reason = request.hold?.reason ?? lastProblem
            request.hold = nil
            if request.deadline <= now {
                finish(request, .failure(.deadline(wasSent: true)))
            } else {
                lost(request, reason, on: nil)
            }
        }
        return next
    }

    /// The client was closed.
    func closeInterrupted() {
        search?.stop()
        search = nil
        let lost = interrupted
        interrupted = []
        for request in lost { finish(request, .failure(.connectionLost(request.hold?.reason ?? lastProblem))) }
    }
}
