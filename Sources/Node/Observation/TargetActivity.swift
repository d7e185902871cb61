// What all lanes saw of their targets since the coordinator was told: each end of an attempt is told once.
import Core
import Net
import Policy
import Providers
import Wire

/// Gathers the lanes' tallies. Confined to the first lane.
final class TargetActivity: @unchecked Sendable {
    /// A target on one lane, at the moment of its last reading.
    struct Reading: Sendable {
        var tally: TargetTally
        var inFlight: Int
        var breaker: BreakerRecord.State
    }

    /// What was not told yet.
    private var untold: [String: TargetTally] = [:]
    /// The last reading of each lane.
    private var lanes: [Int: [String: Reading]] = [:]
    /// Readings since a report went out.
    private var silence = 0

    /// What is older than this many seconds says nothing about health, and is not told any more.
    private static let longestSilence = 60

    /// Asks each lane what it counted; the answers come with the next turns.
    func collect(from gateways: [Gateway], on first: Lane) {
        silence += 1
        if silence > TargetActivity.longestSilence { untold = [:] }
        for gateway in gateways {
            gateway.lane.execute { [self] in
                let now = gateway.lane.now
                let isAlone = gateway.breakers.isAlone
                let readings = gateway.laneTargets.mapValues { target in
                    Reading(
                        tally: target.takeTally(), inFlight: target.health.inFlight,
                        breaker: isAlone ? .closed : target.breaker.standing(at: now))
                }
                let lane = gateway.lane.index
                first.execute { [self] in add(readings, of: lane) }
            }
        }
    }

    func add(_ readings: [String: Reading], of lane: Int) {
        lanes[lane] = readings
        for (name, reading) in readings where reading.tally.total > 0 || reading.tally.medianMicroseconds > 0 {
            untold[name, default: TargetTally()].merge(reading.tally)
        }
    }

    /// Targets in use or kept off, at most so many: those with the most to tell first, so that each has its turn.
    func news(room: Int) -> [Report.Target] {
        var found: [String: Report.Target] = [:]
        for readings in lanes.values {
            for (name, reading) in readings {
                var target = found[name] ?? Report.Target(name: name)
                target.inFlight += UInt32(clamping: reading.inFlight)
                switch reading.breaker {
                case .closed: break
                case .open: target.vote = .open
                case .halfOpen: if target.vote == .closed { target.vote = .halfOpen }
                }
                found[name] = target
            }
        }
        for (name, tally) in untold {
            var target = found[name] ?? Report.Target(name: name)
            (target.successes, target.failures) = (tally.successes, tally.failures)
            target.throttled = tally.throttled
            target.firstTokenMedianMicroseconds = tally.medianMicroseconds
            found[name] = target
        }
        func weight(_ target: Report.Target) -> UInt64 {
            UInt64(target.successes) + UInt64(target.failures) + UInt64(target.throttled)
        }
        let used = found.values.filter { weight($0) > 0 || $0.inFlight > 0 || $0.vote != .closed }
        let sorted = used.sorted { (weight($1), $0.name) < (weight($0), $1.name) }
        return Array(sorted.prefix(max(0, room)))
    }

    /// The report with these targets is on its way.
    func wereTold(_ targets: [Report.Target]) {
        silence = 0
        for target in targets { untold[target.name] = nil }
    }
}

extension TargetTally {
    /// What the end of a call says about its target; nil for nothing: the client went away, or asked for what cannot be.
    static func end(of failure: ProviderFailure?) -> End? {
        switch failure?.kind.traits.sign {
        case nil, .answer: .success
        case .nothing: nil
        case .busy: .throttled
        case .account, .missing, .fault: .failure
        }
    }
}
