// What a request has tried, and what it tries at present.
import Net
import Policy

/// The attempts of one request.
struct Tries {
    /// By their numbers: who leads, what follows.
    var race = Race()
    /// The attempt whose answer is taken, as long as another does not come before it; stays when it has ended.
    var leading: Attempt?
    /// The attempt beside it, where the route hedges.
    var beside: Attempt?
    /// Why attempts failed, for the log.
    var failed: [AttemptFailure] = []
    /// Attempts that are over and that a provider may bill, for the ledger.
    var earlier: [LedgerEntry] = []
    /// How the next one is let through.
    var entrance = Entrance.usual
    /// True while the next one is waited with.
    var isPausing = false
    var hedgeTimer: LaneTimer?
}
