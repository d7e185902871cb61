// When a provider is probed next: spread by chance, sooner after a failure, never more often than its budget allows.
import Core

/// The pace of one provider's probes. One is under way at a time.
public struct ProbePace: Sendable {
    private let setting: ProbeSetting
    private var nextAt: Instant
    private var isUnderWay = false
    /// When the probes of the last hour began.
    private var begun: [Instant] = []
    /// A probe failed, and not two since then went well.
    private var isDoubted = false
    private var goodInARow = 0

    private static let hour = Duration.seconds(3_600)
    /// The longest wait for the first probe, so that those of all providers are not made at once.
    private static let firstWait = Duration.seconds(2)

    /// The first probe follows within two seconds. What was spent under other settings, of `before`, stays spent.
    public init(_ setting: ProbeSetting, after before: ProbePace? = nil, at now: Instant, _ chance: inout Chance) {
        self.setting = setting
        begun = before?.begun ?? []
        nextAt = now + .nanoseconds(Int64(chance.below(UInt64(ProbePace.firstWait.nanoseconds))))
    }

    /// True when the next one is to begin.
    public mutating func isDue(at now: Instant) -> Bool {
        guard !isUnderWay, now >= nextAt else { return false }
        return spent(at: now) < setting.budget
    }

    /// Probes that began within the hour before `now`.
    public mutating func spent(at now: Instant) -> Int {
        if let first = begun.first, now - first >= ProbePace.hour {
            begun.removeAll { now - $0 >= ProbePace.hour }
        }
        return begun.count
    }

    /// A probe begins. The next one follows its interval later, up to a fifth sooner by chance.
    public mutating func begin(at now: Instant, _ chance: inout Chance) {
        isUnderWay = true
        begun.append(now)
        // Sooner only from the half of the budget that the interval does not need.
        let isQuick = isDoubted && spent(at: now) * 2 <= setting.budget
        let wait = isQuick ? max(.seconds(1), setting.interval / 4) : setting.interval
        nextAt = now + wait - .nanoseconds(Int64(chance.below(UInt64(wait.nanoseconds / 5) + 1)))
    }

    /// It cannot be asked at present, which costs nothing: it is tried again in a while.
    public mutating func skip(at now: Instant) { nextAt = now + min(setting.interval, .seconds(10)) }

    /// It has ended. After a failure already the next one is made sooner; what says nothing changes nothing.
    public mutating func ended(_ result: ProbeResult, at now: Instant) {
        isUnderWay = false
        if result == .up {
            goodInARow += 1
            if goodInARow >= TargetJudge.goodProbes { isDoubted = false }
            return
        }
        goodInARow = 0
        guard case .failing = result else { return }
        if !isDoubted, spent(at: now) * 2 <= setting.budget {
            nextAt = min(nextAt, now + max(.seconds(1), setting.interval / 4))
        }
        isDoubted = true
    }
}
