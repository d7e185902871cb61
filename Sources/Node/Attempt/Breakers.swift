// The circuit breakers of a lane's targets and the cluster's records of them: what one says the other hears within half a second.
import Core
import Net
import Policy
import Store
import Telemetry

/// Carries reports, probes and news between a lane's targets and Redis. While all targets work that is one small command each quarter of a second.
final class Breakers {
    private let lane: Lane
    private let store: BreakerStore
    private let node: Int64
    private unowned let gateway: Gateway
    private var version: [UInt8]?
    private var isReading = false
    /// How many targets were known when the records were read.
    private var knownTargets = 0
    /// True while Redis cannot be asked: each lane finds out for itself.
    private(set) var isAlone = true

    private static let beat = Duration.milliseconds(250)

    init(_ gateway: Gateway, redis: Redis, node: Int) {
        self.gateway = gateway
        self.node = Int64(node)
        lane = gateway.lane
        store = BreakerStore(redis)
    }

    /// Begins to listen and to tell.
    func start() {
        lane.schedule(after: Breakers.beat) { [self] in
            tick()
            start()
        }
    }

    private func tick() {
        isAlone = store.isDegraded
        guard !isAlone else { return version = nil }
        for target in gateway.laneTargets.values {
            if let report = target.breaker.report(node: node, at: lane.now) { run(report, on: target) }
            if let renewal = target.breaker.renewal(at: lane.now) { run(renewal, on: target) }
        }
        lookForNews()
    }

    /// An attempt ended that tells something about its target.
    func ended(_ sample: FailureWindow.Sample, _ ticket: TargetBreaker.Ticket, on target: LaneTarget) {
        let trips = target.breaker.ownTrips
        let isShared = target.breaker.ended(sample, ticket, jitter: jitter, at: lane.now)
        if isShared, case .sharedProbe(let epoch) = ticket {
            run(.probed(epoch: epoch, isGood: sample == .success), on: target)
        }
        guard target.breaker.ownTrips > trips else { return }
        gateway.note(.warning, "breaker_tripped", "\(target.name): this lane asks others until it has told the cluster")
        if !isAlone, let report = target.breaker.report(node: node, at: lane.now) { run(report, on: target) }
    }

    private var jitter: Int64 { Int64(gateway.chance.below(201)) }

    /// Asks the cluster for its probe, for one request. `then` is called once, on the lane; without a ticket the request does not go there.
    func askForProbe(_ target: LaneTarget, then: @escaping (TargetBreaker.Ticket?) -> Void) {
        store.run(.admit, on: target.provider, target.model, jitter: jitter) { [self] result in
            guard case .success(let reply) = result else {
                // A probe that was granted unheard ends with its lease.
                target.breaker.denied()
                return then(nil)
            }
            learn(reply.record, at: reply.atMicroseconds, target)
            guard reply.verdict == .probe else {
                target.breaker.denied()
                return then(nil)
            }
            then(target.breaker.granted(at: lane.now))
        }
    }

    /// A request did not go where it was let, or its end says nothing: the cluster's probe is for another one, on any node.
    func giveBack(_ ticket: TargetBreaker.Ticket, on target: LaneTarget) {
        if let call = target.breaker.giveBack(ticket) { run(call, on: target) }
    }

    private func run(_ call: BreakerCall, on target: LaneTarget) {
        store.run(call, on: target.provider, target.model, jitter: jitter) { [self] result in
            // What a lost report would have told, the next one tells again if it is still true; a probe whose end is lost ends with its lease.
            guard case .success(let reply) = result else { return }
            learn(reply.record, at: reply.atMicroseconds, target)
            if reply.verdict == .opened { target.opened += 1 }
        }
    }

    private func learn(_ record: BreakerRecord, at shared: Int64, _ target: LaneTarget) {
        let before = target.breaker.record
        target.breaker.learn(record, shared: shared, at: lane.now)
        guard before.state != record.state || before.order(at: shared) != record.order(at: shared) else { return }
        let order = record.order(at: shared)
        let forced = order == .auto ? "" : ", forced \(order)"
        gateway.note(.warning, "breaker_changed", "\(target.name): \(record.state)\(forced), epoch \(record.epoch)")
    }

    // MARK: - News

    /// Other targets: their records are read with the next look.
    func targetsChanged() { version = nil }

    private func lookForNews() {
        guard !isReading else { return }
        isReading = true
        store.changes { [self] result in
            isReading = false
            guard case .success(let fresh) = result else { return version = nil }
            guard fresh != version || knownTargets != gateway.laneTargets.count else { return }
            read(fresh)
        }
    }

    private func read(_ fresh: [UInt8]) {
        let targets = Array(gateway.laneTargets.values)
        (version, knownTargets) = (fresh, targets.count)
        for start in stride(from: 0, to: targets.count, by: BreakerStore.readLimit) {
            let some = targets[start..<min(start + BreakerStore.readLimit, targets.count)]
            store.records(some.map { ($0.provider, $0.model) }) { [self] result in
                guard case .success((let now, let records)) = result else { return version = nil }
                for (target, record) in zip(some, records) { learn(record, at: now, target) }
            }
        }
    }
}
