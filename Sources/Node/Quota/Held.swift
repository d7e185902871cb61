// A request for which quota is held: whose it is, what it holds, who may serve it.
import Core
import Policy

/// A caller's request with its hold. `Pipeline.reserve` makes it when it asks, and hands it on when the answer is yes. Confined to its lane.
final class Held {
    let caller: Caller
    /// Output tokens that each of its answers may have.
    let mostOutput: Int64
    var candidates: Candidates
    /// The index of the target that is asked next, or was asked last.
    private(set) var index: Int
    /// What it holds of quota.
    var hold: Hold
    /// Whether that covers what is sent next.
    var cover = Cover.held
    /// What its answers will probably use: as many as are reserved for.
    private(set) var estimate: QuotaUse
    private(set) var choices: Int64
    /// When quota answered.
    var decidedAt: Instant?
    /// Compares a stream with what is reserved for it; nil for answers that come whole.
    var watch: OutputWatch?

    init(
        _ caller: Caller, asking call: ReserveCall, choices: Int64, mostOutput: Int64, _ candidates: Candidates,
        at index: Int
    ) {
        (self.caller, self.mostOutput, self.candidates, self.index) = (caller, mostOutput, candidates, index)
        (hold, estimate, self.choices) = (.asked(call), call.estimate, choices)
        self.candidates.ask(index)
    }

    // Not inlined: what they look at must not live in the frame that waits for it.

    /// True until quota has answered.
    @inline(never)
    var isAsking: Bool { hold.isAsked }

    /// Throws when it may not run.
    @inline(never)
    func checkGranted() throws(Refusal) { if let refusal = hold.refusal { throw refusal } }

    /// True while it is asked for what is sent next.
    @inline(never)
    var isCovering: Bool { if case .asked = cover { true } else { false } }

    /// True when what is sent next is held.
    @inline(never)
    var isCovered: Bool { if case .held = cover { true } else { false } }

    /// The target that is asked next, or was asked last.
    var target: LaneTarget { candidates.targets[index] }

    /// Another target is asked next.
    func choose(_ index: Int) {
        self.index = index
        candidates.ask(index)
    }

    /// Another target is asked next, instead of the one that was chosen and not asked.
    func choose(insteadOfChosen index: Int) {
        candidates.spare(self.index)
        choose(index)
    }

    /// It is reserved for so many answers.
    func covers(_ choices: Int64, _ use: QuotaUse) { (self.choices, estimate) = (choices, use) }
}
