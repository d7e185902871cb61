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
    /// Calls whose readers took nothing when they were looked at last.
    private var stalled: [ObjectIdentifier: Exchange] = [:]
    private var timer: LaneTimer?
    private var relievedAt = Instant(nanoseconds: 0)
    /// Calls that ended so that others had their places.
    private(set) var relieved = Counter()

    /// How often stalled calls are looked at while requests wait.
    private static let reliefInterval = Duration.milliseconds(10)
    /// The least time between two looks, however many requests come: one is at all calls that are stalled.
    private static let reliefPause = Duration.milliseconds(1)
    /// Calls that end at once for others, so that a turn stays short.
    private static let reliefs = 32

    /// `share`: calls at once that this lane may have, where the provider's capacity is split among nodes.
    init(_ provider: ProviderRecord, share: Int?, lane: Lane, limits: QueueLimits) {
        self.lane = lane
        limit = ConcurrencyLimit(Admission.range(provider, share))
        queue = FairQueue(capacity: limit.value, limits: limits)
    }

    /// Calls at once at present.
    var capacity: Int { queue.capacity }

    /// Requests that wait, by class.
    func waiting(_ priority: PriorityClass) -> Int { queue.waiting(priority) }

    /// Calls under way.
    var running: Int { queue.running }

    /// The provider's settings or this lane's share changed; those who wait keep their places.
    func use(_ provider: ProviderRecord, share: Int?) {
        let range = Admission.range(provider, share)
        guard range != limit.range else { return }
        limit.move(to: range)
        follow()
    }

    private static func range(_ provider: ProviderRecord, _ share: Int?) -> ClosedRange<Int> {
        guard let share else { return provider.concurrency }
        let most = min(max(1, share), provider.concurrency.upperBound)
        return min(provider.concurrency.lowerBound, most)...most
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

    // MARK: - Readers that do not read

    /// The reader of a call takes nothing at present.
    func stalled(_ exchange: Exchange) {
        stalled[ObjectIdentifier(exchange)] = exchange
        if queue.waiting > 0 { relieveLater() }
    }

    /// A call that was reported as stalled ends.
    func forget(_ exchange: Exchange) { stalled[ObjectIdentifier(exchange)] = nil }

    /// Ends stalled calls for the requests that wait: who is not read needs no place. Those of other teams go first to whoever is served least.
    func relieve() {
        defer { relieveLater() }
        var wanted = min(queue.waiting, Admission.reliefs)
        guard wanted > 0, !stalled.isEmpty, lane.now - relievedAt >= Admission.reliefPause else { return }
        relievedAt = lane.now
        for (place, exchange) in stalled {
            guard wanted > 0, queue.waiting > 0 else { break }
            guard exchange.isStalled(for: Stall.patience) else { continue }
            guard let held = exchange.held else { continue }
            let isForOthers = queue.waiting(besides: held.caller.grant.teamName) > 0
            guard isForOthers || exchange.isStalled(for: Stall.ownPatience) else { continue }
            stalled[place] = nil
            wanted -= 1
            relieved.add()
            exchange.stop(.placeNeeded)
            // Its call is closed; the place is free now and not only when the request has ended.
            Pipeline.giveBack(exchange, held, exchange.leading?.bill(held) ?? Bill())
        }
    }

    private func relieveLater() {
        guard timer == nil, queue.waiting > 0, !stalled.isEmpty else { return }
        timer = lane.schedule(after: Admission.reliefInterval) { [self] in
            timer = nil
            relieve()
        }
    }
}
