// Which part of a target's capacity each priority class can count on.
import Core

/// Guaranteed parts of the capacity, one for each priority class, in per cent.
///
/// When all classes wait, each holds its part; what a class does not use flows to whoever waits.
public struct ClassFloors: Sendable, Equatable {
    /// P0, P1, P2; each at least 1, together 100.
    public let percent: [Int]

    /// 60 % for interactive requests, 30 % for background work, 10 % for batches.
    public static let standard = ClassFloors(percent: [60, 30, 10])

    private init(percent: [Int]) { self.percent = percent }

    /// Parts in per cent; nil when they are not three numbers of at least 1 that make 100.
    public init?(_ percent: [Int]) {
        guard percent.count == PriorityClass.allCases.count, percent.allSatisfy({ $0 >= 1 }),
            percent.reduce(0, +) == 100
        else { return nil }
        self.percent = percent
    }
}
