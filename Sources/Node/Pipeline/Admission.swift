// The queue before one provider on one lane, and how many calls it takes at once.
import Core
import Net
import Policy
import Telemetry

/// Where requests wait while a provider has as many calls as it serves well. Confined to its lane.
final class Admission {
    private let lane: Lane
    private var queue: FairQueue<Exchange>
    private var limit: ConcurrencyLimit

    init(_ provider: ProviderRecord, lane: Lane, limits: QueueLimits) {
        self.lane = lane
        limit = ConcurrencyLimit(provider.concurrency)
        queue = FairQueue(capacity: limit.value, limits: limits)
    }

    /// Calls at once at present.
    var capacity: Int { queue.capacity }

    /// Requests that wait, by class.
    func waiting(_ priority: PriorityClass) -> Int { queue.waiting(priority) }

    /// The provider's settings changed; those who wait keep their places.
    func use(_ provider: ProviderRecord) {
        guard provider.concurrency != limit.range else { return }
        limit = ConcurrencyLimit(provider.concurrency)
        follow()
    }

    /// A request wants to be sent.
    func arrive(
        _ request: QueueRequest, _ exchange: Exchange
    ) -> QueueArrival<FairQueue<Exchange>.Ticket> { queue.arrive(request, exchange, at: lane.now) }

    /// A waiting request goes away.
    func leave(_ ticket: FairQueue<Exchange>.Ticket) { queue.leave(ticket) }

    /// A request that was admitted has ended. `surplus`: what it cost beyond its estimate, when it had waited.
    func finished(_ priority: PriorityClass, team: String, surplus: Int64) {
        queue.finished(priority, team: team, surplus: surplus, at: lane.now)
        admitNext()
    }

    /// A stream's first token came.
    func observe(timeToFirstToken time: Duration) {
        limit.observe(timeToFirstToken: time, running: queue.running)
        follow()
    }

    /// The provider said that it has too much.
    func throttled() {
        limit.throttled(at: lane.now)
        follow()
    }

    private func follow() {
        guard limit.value != queue.capacity else { return }
        queue.capacity = limit.value
        admitNext()
    }

    private func admitNext() {
        guard queue.waiting > 0 else { return }
        while let next = queue.next(at: lane.now) { next.item.admitted(after: next.waited) }
    }
}
