// How often attempts at one target failed, by class.
import Policy
import Providers

/// Counts of one target: classes are a closed set, so that they may be a label.
struct FailureCounts: Sendable {
    private var counts: [FailureClass: Int64] = [:]

    mutating func add(_ kind: FailureClass) { counts[kind, default: 0] += 1 }

    /// Those that happened, in the order of the classes.
    var all: [(kind: FailureClass, count: Int64)] {
        FailureClass.allCases.compactMap { kind in counts[kind].map { (kind, $0) } }
    }
}
