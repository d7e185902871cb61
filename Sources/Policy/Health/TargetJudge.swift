// Whether one target works, judged from traffic where there is some and from probes where there is none.
import Core

/// What is known of a target.
public enum HealthVerdict: String, Sendable {
    /// Nobody used it lately, and no probe told anything.
    case unknown
    /// It works.
    case healthy
    /// It does not.
    case failing
}

/// What a node reported of a target since its last report.
public struct TargetNews: Sendable {
    /// Attempts that were answered.
    public var successes = 0
    /// Attempts that failed by the target's fault.
    public var failures = 0
    /// Attempts that it turned away for a while.
    public var throttled = 0
    /// Half of the first tokens came sooner, in microseconds; 0 without any.
    public var firstTokenMicroseconds = 0
    /// Its circuit breaker keeps requests from it.
    public var isShut = false

    /// News of nothing.
    public init() {}
}

/// The judge of one target. A verdict of failing needs little, so that it comes soon; the way back is slower, so that it does not flap.
public struct TargetJudge: Sendable {
    /// What is known.
    public private(set) var verdict = HealthVerdict.unknown
    /// Why it fails; empty otherwise.
    public private(set) var why = ""
    /// Since when the verdict stands.
    public private(set) var since: Instant
    /// The last probe.
    public private(set) var lastProbe: (result: ProbeResult, at: Instant)?
    /// Typical time to the first token in microseconds, a quarter of each new median; 0 before the first.
    public private(set) var firstTokenMicroseconds = 0
    private var traffic = TrafficWindow()
    /// True when traffic, not a probe, told that it fails: then a list of models does not tell that it works again.
    private var isByTraffic = false
    private var goodProbesInARow = 0
    /// Until when the verdict is worth something.
    private var knownUntil: Instant
    private var shutAt: Instant?
    /// When it began to recover; nil when it has.
    private var recoveringSince: Instant?

    /// So many probes in a row make a failing target healthy.
    public static let goodProbes = 2
    /// A target that fails by its traffic stays so for as long at least.
    static let leastFailing = Duration.seconds(10)
    /// Good news of traffic is worth so long; the interval of a probe may make it longer.
    static let goodNewsTime = Duration.seconds(60)
    /// Bad news is worth so long, when nobody tries again.
    static let badNewsTime = Duration.seconds(300)
    /// How long each step of the recovery lasts: 10, 25, 50, then 100 % of its weight.
    static let step = Duration.seconds(5)

    /// Nothing is known.
    public init(at now: Instant) { (since, knownUntil) = (now, now) }

    /// The last minute.
    public mutating func lastMinute(at now: Instant) -> TrafficWindow.Sums { traffic.sums(at: now) }

    // MARK: - Traffic

    /// A node reported.
    public mutating func take(_ news: TargetNews, at now: Instant) {
        traffic.note(successes: news.successes, failures: news.failures, throttled: news.throttled, at: now)
        if news.firstTokenMicroseconds > 0 {
            firstTokenMicroseconds +=
                firstTokenMicroseconds == 0
                ? news.firstTokenMicroseconds : (news.firstTokenMicroseconds - firstTokenMicroseconds) / 4
        }
        if news.isShut { shutAt = now }
        judge(at: now)
    }

    private mutating func judge(at now: Instant) {
        let recent = traffic.sums(slots: 3, at: now)
        let minute = traffic.sums(at: now)
        if isShut(at: now) {
            return fail("its circuit breaker is open", isByTraffic: true, at: now)
        }
        if recent.telling >= 10, recent.failures * 2 >= recent.telling {
            return fail("\(recent.failures) of \(recent.telling) requests failed", isByTraffic: true, at: now)
        }
        if minute.telling >= 5, minute.successes == 0 {
            return fail("all of \(minute.telling) requests failed", isByTraffic: true, at: now)
        }
        let isGood: Bool
        switch verdict {
        case .failing:
            isGood =
                recent.telling >= 3 && recent.failures * 5 < recent.telling
                && now - since >= TargetJudge.leastFailing
        case .unknown: isGood = minute.successes > 0 && minute.failures * 5 < minute.telling
        // Neither good nor bad enough to change anything: what is known stays known.
        case .healthy: isGood = minute.successes > 0
        }
        if isGood { work(for: TargetJudge.goodNewsTime, at: now) }
    }

    /// Nodes repeat each second that they send it nothing.
    private func isShut(at now: Instant) -> Bool { shutAt.map { now - $0 < .seconds(3) } ?? false }

    // MARK: - Probes

    /// A probe has ended. `isChat`: it asked for what clients ask for, with this target's own model.
    public mutating func take(_ result: ProbeResult, isChat: Bool, every interval: Duration, at now: Instant) {
        lastProbe = (result, at: now)
        let recent = traffic.sums(slots: 3, at: now)
        let hasTraffic = recent.telling >= 5
        switch result {
        case .unknown: goodProbesInARow = 0
        case .failing(let why):
            goodProbesInARow = 0
            // What clients get says more than a probe, which may ask for something that the API key may not see.
            if !hasTraffic { fail("probe: \(why)", isByTraffic: isByTraffic && verdict == .failing, at: now) }
        case .up:
            goodProbesInARow += 1
            guard !hasTraffic, mayRecover(isChat: isChat, at: now) else { return }
            work(for: max(TargetJudge.goodNewsTime, interval * 3), at: now)
        }
    }

    private mutating func mayRecover(isChat: Bool, at now: Instant) -> Bool {
        guard verdict == .failing else { return true }
        guard goodProbesInARow >= TargetJudge.goodProbes else { return false }
        guard isByTraffic else { return true }
        if isChat { return now - since >= TargetJudge.leastFailing }
        return !isShut(at: now) && traffic.sums(at: now).telling == 0
    }

    // MARK: - The verdict

    private mutating func fail(_ reason: String, isByTraffic: Bool, at now: Instant) {
        knownUntil = now + TargetJudge.badNewsTime
        self.isByTraffic = isByTraffic
        // The reason that it began with stays, so that its text does not change each second.
        guard verdict != .failing else { return }
        (verdict, why, since, recoveringSince) = (.failing, reason, now, nil)
        goodProbesInARow = 0
    }

    private mutating func work(for time: Duration, at now: Instant) {
        knownUntil = max(now + time, verdict == .healthy ? knownUntil : now)
        guard verdict != .healthy else { return }
        leave(for: .healthy, at: now)
    }

    private mutating func leave(for next: HealthVerdict, at now: Instant) {
        if verdict == .failing { recoveringSince = now }
        (verdict, why, since) = (next, "", now)
    }

    /// Time passes: what is known grows old.
    public mutating func advance(to now: Instant) {
        if verdict != .unknown, now >= knownUntil { leave(for: .unknown, at: now) }
        if let began = recoveringSince, now - began >= TargetJudge.step * 3 { recoveringSince = nil }
    }

    /// The part of its weight that it has, in per cent.
    public func percent(at now: Instant) -> Int {
        if verdict == .failing { return 1 }
        guard let recoveringSince else { return 100 }
        let steps = [10, 25, 50]
        let place = Int((now - recoveringSince).nanoseconds / TargetJudge.step.nanoseconds)
        return place < steps.count ? steps[max(0, place)] : 100
    }
}
