// When to ask the cluster for its map again: soon after a hint, often while something is wrong, seldom otherwise. Pure.

import Core

/// The times of the questions of one lane.
struct MapRefresh {
    /// The shortest time between two questions, whatever happens: a lane asks ten times a second at most.
    static let shortest = Duration.milliseconds(100)
    /// While a primary cannot be used.
    static let troubled = Duration.milliseconds(200)
    /// While all is well: new servers and moved slots are found before somebody is sent away.
    static let calm = Duration.seconds(5)

    private var last: Instant?
    private var isWanted = false

    /// Something hints at a change: a command was sent elsewhere, a connection was lost.
    mutating func want() { isWanted = true }

    /// A question was asked.
    mutating func asked(at now: Instant) {
        last = now
        isWanted = false
    }

    /// When to ask next.
    func due(at now: Instant, isTroubled: Bool) -> Instant {
        guard let last else { return now }
        return last + (isWanted ? Self.shortest : isTroubled ? Self.troubled : Self.calm)
    }
}
