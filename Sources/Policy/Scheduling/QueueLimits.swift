// How much may wait before a target, and what an arriving request is told.
import Core

/// Bounds of a queue.
public struct QueueLimits: Sendable, Equatable {
    /// Guaranteed parts of the capacity.
    public var floors = ClassFloors.standard
    /// Waiting requests of all teams.
    public var total = 1_024
    /// Waiting requests of one team and class.
    public var team = 256
    /// Bytes of the bodies that wait.
    public var bytes = 64 << 20
    /// What a team may save up while it does not wait, in weighted tokens: about two usual requests.
    public var burst: Int64 = 4_096
    /// A class from which nobody went for so long, although somebody waits as long, goes first.
    public var aging = Duration.seconds(10)

    /// The defaults.
    public init() {}
}

/// What the queue must know of a request.
public struct QueueRequest: Sendable {
    /// Its class.
    public let priority: PriorityClass
    /// Who asks: `org/team`.
    public let team: String
    /// The team's weight; at least 1.
    public let weight: Int
    /// What it will probably cost: input + 2 × output tokens.
    public let cost: Int64
    /// Bytes that it keeps in memory while it waits.
    public let bytes: Int
    /// The longest that it may wait.
    public let waitLimit: Duration

    /// A request of `team`.
    public init(
        priority: PriorityClass, team: String, weight: Int = 1, cost: Int64, bytes: Int = 0, waitLimit: Duration
    ) {
        self.priority = priority
        self.team = team
        self.weight = max(1, weight)
        self.cost = max(1, cost)
        self.bytes = bytes
        self.waitLimit = waitLimit
    }

    /// The cost of so many tokens: an output token takes a provider about as long as two input tokens.
    public static func cost(inputTokens: Int64, outputTokens: Int64) -> Int64 { inputTokens + 2 * outputTokens }
}

/// What an arriving request is told.
public enum QueueArrival<Ticket: Sendable>: Sendable {
    /// It may run at once.
    case runs
    /// It waits at this position among its team's requests, probably for so long.
    case waits(Ticket, position: Int, predicted: Duration?)
    /// It cannot wait.
    case refused(QueueRefusal, retryAfter: Duration)
}

/// Why a request cannot wait.
public enum QueueRefusal: String, Sendable, CaseIterable {
    /// The queue is full.
    case full = "queue_full"
    /// The team's part of the queue is full.
    case teamFull = "team_queue_full"
    /// Its turn would come after its time.
    case tooLate = "would_wait_too_long"
}
