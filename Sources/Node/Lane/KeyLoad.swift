// What one key has on one lane: its turn among others, requests that wait to begin, refusals that were not logged.
import Core
import Net

/// One key's load on one lane. Confined to the lane.
final class KeyLoad {
    /// The key's id; empty for connections whose key is not known yet.
    let key: String
    /// Its sockets, its clients' and those to providers, take turns with other keys'.
    let share: LaneShare
    /// Connections that have it.
    var sessions = 0
    /// What is refused to it.
    var refusals = RefusalLog()
    /// Requests whose reservation is not decided yet.
    var reserving = 0
    /// Bounded by the streams that its connections may have open.
    private var waiting = BoundedQueue<Exchange>(limit: .max)

    init(_ key: String, share: LaneShare) {
        self.key = key
        self.share = share
    }

    /// True when nobody would miss it.
    var isAtRest: Bool { sessions == 0 && reserving == 0 && waiting.isEmpty && refusals.isEmpty }

    /// True when none of its requests waits to begin.
    var isEmpty: Bool { waiting.isEmpty }

    func append(_ exchange: Exchange) { waiting.append(exchange) }

    func popFirst() -> Exchange? { waiting.popFirst() }
}
