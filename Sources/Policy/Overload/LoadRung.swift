// What a lane that has too much to do gives up, in order.

/// A rung of the degradation ladder; each includes those before it.
public enum LoadRung: UInt8, CaseIterable, Sendable, Comparable, CustomStringConvertible {
    /// Nothing is given up.
    case calm = 0
    /// Batch requests are refused.
    case batchShed = 1
    /// Requests wait a quarter of their time in queues.
    case queuesShort = 2
    /// Answers are shorter.
    case answersShort = 3
    /// Only interactive requests are served.
    case interactiveOnly = 4
    /// Nothing new is served, and no connection accepted.
    case closed = 5

    /// The pressure from which on a lane stands here; 1 is the operator's limit. 70, 85 and 92 % are the protocol's.
    public var threshold: Double {
        switch self {
        case .calm: 0
        case .batchShed: 0.70
        case .queuesShort: 0.75
        case .answersShort: 0.80
        case .interactiveOnly: 0.85
        case .closed: 0.92
        }
    }

    /// The word in logs and metrics.
    public var description: String {
        switch self {
        case .calm: "calm"
        case .batchShed: "batch_shed"
        case .queuesShort: "queues_short"
        case .answersShort: "answers_short"
        case .interactiveOnly: "interactive_only"
        case .closed: "closed"
        }
    }

    /// The lowest rung on which new requests of the class are refused.
    public static func refusing(_ priority: PriorityClass) -> LoadRung {
        switch priority {
        case .interactive: .closed
        case .background: .interactiveOnly
        case .batch: .batchShed
        }
    }

    /// The highest rung that `pressure` reaches.
    public static func reached(by pressure: Double) -> LoadRung {
        allCases.last { pressure >= $0.threshold } ?? .calm
    }

    /// The milder one comes first.
    public static func < (left: LoadRung, right: LoadRung) -> Bool { left.rawValue < right.rawValue }
}
