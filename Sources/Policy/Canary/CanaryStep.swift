// One step of a canary with its evidence: what is printed, and kept after its end.
import Core

/// One side's figures.
public struct CanaryFigures: Sendable, Equatable {
    /// First attempts, and those that failed.
    public var (attempts, failures): (Int64, Int64)
    /// 95 of 100 first tokens came within so many microseconds; 0: none came.
    public var firstTokenP95: Int64
    /// Answers, and what they cost together, in micro-USD.
    public var (answers, cost): (Int64, Int64)

    init(_ counts: CanaryCounts) {
        (attempts, failures) = (counts.attempts, counts.failures)
        firstTokenP95 = Int64(counts.firstTokenP95 ?? 0)
        (answers, cost) = (counts.answers, counts.cost)
    }

    /// As JSON.
    public var json: JSONValue {
        .object([
            .init("attempts", .integer(attempts)), .init("failures", .integer(failures)),
            .init("first_token_p95_us", .integer(firstTokenP95)), .init("answers", .integer(answers)),
            .init("cost_micro_usd", .integer(cost)),
        ])
    }

    /// What `json` gave.
    public init?(_ value: JSONValue?) {
        guard let attempts = value?["attempts"]?.integer, let failures = value?["failures"]?.integer,
            let p95 = value?["first_token_p95_us"]?.integer, let answers = value?["answers"]?.integer,
            let cost = value?["cost_micro_usd"]?.integer
        else { return nil }
        (self.attempts, self.failures, firstTokenP95) = (attempts, failures, p95)
        (self.answers, self.cost) = (answers, cost)
    }
}

/// A step that is over, or the present one.
public struct CanaryStep: Sendable, Equatable {
    /// Its share, in hundredths of a per cent.
    public let share: Int
    /// How long it has lasted, in milliseconds, while a coordinator led.
    public var heldMilliseconds: Int64 = 0
    /// The others.
    public var baseline: CanaryFigures
    /// The target on trial.
    public var canary: CanaryFigures
    /// By measure: how near the evidence came to a breach; at 100 it is one.
    public var evidence: [Int] = [0, 0, 0]
    /// How it ended; empty while it lasts.
    public var outcome = ""

    /// Two million years in milliseconds: what is kept in Redis may be damaged, and times are added to it.
    private static let longest: Int64 = 1 << 56

    init(share: Int) {
        self.share = share
        (baseline, canary) = (CanaryFigures(CanaryCounts()), CanaryFigures(CanaryCounts()))
    }

    /// As JSON.
    public var json: JSONValue {
        .object([
            .init("share_bp", .integer(share)), .init("held_ms", .integer(heldMilliseconds)),
            .init("baseline", baseline.json), .init("canary", canary.json),
            .init("evidence_percent", .array(evidence.map { .integer($0) })), .init("outcome", .string(outcome)),
        ])
    }

    /// What `json` gave.
    public init?(_ value: JSONValue) {
        guard let share = value["share_bp"]?.integer, let held = value["held_ms"]?.integer,
            let baseline = CanaryFigures(value["baseline"]), let canary = CanaryFigures(value["canary"]),
            let evidence = value["evidence_percent"]?.elements?.compactMap(\.integer), evidence.count == 3,
            let outcome = value["outcome"]?.text, (0...CanaryStep.longest).contains(held)
        else { return nil }
        self.share = Int(clamping: share)
        heldMilliseconds = held
        (self.baseline, self.canary) = (baseline, canary)
        self.evidence = evidence.map { Int(clamping: $0) }
        self.outcome = outcome
    }
}
