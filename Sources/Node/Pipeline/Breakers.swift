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
            askForProbe(target)
        }
        lookForNews()
    }

    /// An attempt ended that tells something about its target.
    func ended(_ sample: FailureWindow.Sample, _ ticket: TargetBreaker.Ticket, on target: LaneTarget) {
        let trips = target.breaker.ownTrips
        let isShared = target.breaker.ended(sample, ticket, jitter: jitter, at: lane.now)
        if isShared, case .sharedProbe(let epoch, _) = ticket {
            run(.probed(epoch: epoch, isGood: sample == .success), on: target)
        }
        guard target.breaker.ownTrips > trips else { return }
        gateway.note(.warning, "breaker_tripped", "\(target.name): this lane asks others until it has told the cluster")
        if !isAlone, let report = target.breaker.report(node: node, at: lane.now) { run(report, on: target) }
    }

    private var jitter: Int64 { Int64(gateway.chance.below(201)) }

    private func askForProbe(_ target: LaneTarget) {
        guard !target.isAskingForProbe, target.breaker.asksForProbe(at: lane.now) else { return }
        target.isAskingForProbe = true
        run(.admit, on: target)
    }

    private func run(_ call: BreakerCall, on target: LaneTarget) {
        store.run(call, on: target.provider, target.model, jitter: jitter) { [self] result in
            if call == .admit { target.isAskingForProbe = false }
            // What a lost report would have told, the next one tells again if it is still true; a lost probe ends with its lease.
            guard case .success(let reply) = result else { return }
            learn(reply.record, at: reply.atMicroseconds, target)
            switch reply.verdict {
            case .opened: target.opened += 1
            case .probe: target.breaker.grantProbe()
            case .better:
                // The next one at once: three in a row close it.
                target.breaker.want()
                askForProbe(target)
            case .read, .counted, .stale, .noProbe, .closed, .ordered: break
            }
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
