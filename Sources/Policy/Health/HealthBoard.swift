// How all targets of a cluster do, as its coordinator knows them.
import Core

/// A verdict that changed.
public struct HealthFlip: Sendable, Equatable {
    /// `provider/model`.
    public let target: String
    /// What it was.
    public let from: HealthVerdict
    /// What it is.
    public let to: HealthVerdict
    /// Why it fails.
    public let why: String

    /// A change of its parts.
    public init(target: String, from: HealthVerdict, to: HealthVerdict, why: String = "") {
        (self.target, self.from, self.to, self.why) = (target, from, to, why)
    }
}

/// The judges of all targets, by `provider/model`. Bounded: only targets that routes name have one.
public struct HealthBoard: Sendable {
    /// The judges.
    public private(set) var targets: [String: TargetJudge] = [:]
    private var told: [String: HealthVerdict] = [:]

    /// Knows nobody.
    public init() {}

    /// Knows exactly these targets from now on; those that it knew before keep what is known of them.
    public mutating func follow(_ names: Set<String>, at now: Instant) {
        guard names.count != targets.count || !names.allSatisfy({ targets[$0] != nil }) else { return }
        targets = targets.filter { names.contains($0.key) }
        told = told.filter { names.contains($0.key) }
        for name in names where targets[name] == nil { targets[name] = TargetJudge(at: now) }
    }

    /// A node's news of a target; of one that no route names, nothing. True when they change the verdict.
    @discardableResult public mutating func take(_ news: TargetNews, of name: String, at now: Instant) -> Bool {
        let before = targets[name]?.verdict
        targets[name]?.take(news, at: now)
        return targets[name]?.verdict != before
    }

    /// A probe of a provider has ended: it tells of all its targets. What it tells of one model alone is told of that one.
    public mutating func take(
        _ result: ProbeResult, of provider: String, model: String? = nil, concernsModelAlone: Bool = false,
        every interval: Duration, at now: Instant
    ) {
        for name in targets.keys where name.hasPrefix(provider + "/") {
            let isOwn = model.map { name == "\(provider)/\($0)" } ?? false
            if concernsModelAlone, !isOwn { continue }
            targets[name]?.take(result, isChat: isOwn, every: interval, at: now)
        }
    }

    /// Time passes. Returns the verdicts that changed since the last call.
    public mutating func advance(to now: Instant) -> [HealthFlip] {
        var flips: [HealthFlip] = []
        for name in targets.keys.sorted() {
            targets[name]?.advance(to: now)
            guard let judge = targets[name] else { continue }
            let before = told[name] ?? .unknown
            guard judge.verdict != before else { continue }
            flips.append(HealthFlip(target: name, from: before, to: judge.verdict, why: judge.why))
            told[name] = judge.verdict
        }
        return flips
    }

    /// How all targets stand that have not simply their whole weight.
    public func standings(at now: Instant) -> [String: TargetStanding] {
        var standings: [String: TargetStanding] = [:]
        for (name, judge) in targets {
            let standing = TargetStanding(isHealthy: judge.verdict == .healthy, percent: judge.percent(at: now))
            if standing != .unknown { standings[name] = standing }
        }
        return standings
    }

    /// Whether all targets that may serve this route are known to fail.
    public func isServedByNobody(_ route: RouteRecord) -> Bool {
        let usable = route.targets.filter { $0.weight > 0 }
        return !usable.isEmpty
            && usable.allSatisfy { targets["\($0.provider)/\($0.model)"]?.verdict == .failing }
    }

    /// What a target's traffic of the last minute came to.
    public mutating func lastMinute(of name: String, at now: Instant) -> TrafficWindow.Sums {
        targets[name]?.lastMinute(at: now) ?? TrafficWindow.Sums()
    }
}
