// The targets of a request's route, and which of them it has asked.
import Policy

/// Who may serve a request.
struct Candidates {
    /// The route's targets in its order, as the lane knows them.
    let targets: [LaneTarget]
    /// Names the beginning of the prompt, where the route prefers the target that has seen it.
    let prefix: UInt64?
    /// A bit for each that was asked, or is to be asked next.
    private var asked: UInt32 = 0

    init(_ targets: [LaneTarget], prefix: UInt64?) { (self.targets, self.prefix) = (targets, prefix) }

    /// True as long as nobody was asked.
    var isFresh: Bool { asked == 0 }

    /// True when the target was asked, or is to be asked next.
    func isAsked(_ index: Int) -> Bool { asked & 1 << UInt32(index) != 0 }

    /// The target is asked.
    mutating func ask(_ index: Int) { asked |= 1 << UInt32(index) }

    /// The target was not asked after all.
    mutating func spare(_ index: Int) { asked &= ~(1 << UInt32(index)) }
}
