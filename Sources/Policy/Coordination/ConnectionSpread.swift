// Which nodes have clearly more client connections than their share, and how many each should come down to.
import Core

/// A coordinator's decision. Pure: it is given what nodes report, once a second.
///
/// Nodes that have too many are published with the number of connections to come down to; the rest is theirs to do. Whoever takes the
/// connections is the balancer's choice: when it sends nobody to those that have few, asking is of no use, and rests.
public struct ConnectionSpread: Sendable {
    /// A node has too many from a quarter above the mean on, if that is at least `least` connections more: few connections never lie evenly.
    static let factor = 1.25
    static let least = 8
    /// So long the same nodes must serve before anybody is asked: the balancer has to notice a new one first.
    static let settling = Duration.seconds(2)
    /// Without gain for the nodes that have few, so long is asked in vain.
    static let patience = Duration.seconds(15)
    /// The rest after that; it doubles each time.
    static let shortestRest = Duration.seconds(60)
    static let longestRest = Duration.seconds(3_600)

    /// Nodes that should let connections go, and how many they should keep.
    public private(set) var levels: [UInt32: Int] = [:]
    private var nodes: Set<UInt32> = []
    private var settledAt = Instant(nanoseconds: 0)
    /// The least that the others lacked since asking began, and when it last became less.
    private var lack: (least: Int, at: Instant)?
    private var restsUntil: Instant?
    private var vainAttempts = 0

    /// Nobody is asked yet.
    public init() {}

    /// Takes the connections of all nodes that serve and do not drain.
    ///
    /// - Returns: true when `levels` changed.
    public mutating func read(_ connections: [UInt32: Int], at now: Instant) -> Bool {
        let before = levels
        if Set(connections.keys) != nodes {
            nodes = Set(connections.keys)
            settledAt = now + ConnectionSpread.settling
            (restsUntil, vainAttempts, lack) = (nil, 0, nil)
            levels = levels.filter { connections[$0.key] != nil }
        }
        if let end = restsUntil, end <= now { restsUntil = nil }
        if connections.count < 2 || restsUntil != nil {
            levels = [:]
        } else if now >= settledAt {
            levels = wanted(connections)
            watch(connections, at: now)
        }
        return levels != before
    }

    /// Who has too many now; who was asked goes on until it has its share.
    private func wanted(_ connections: [UInt32: Int]) -> [UInt32: Int] {
        let share = ConnectionSpread.share(connections)
        let near = max(1, share / 20)
        var next: [UInt32: Int] = [:]
        for (node, count) in connections {
            if let level = levels[node] {
                guard count > share + near else { continue }
                // Each change is a publication: small ones are left out.
                next[node] = abs(level - share) <= near ? level : share
            } else if Double(count) > Double(share) * ConnectionSpread.factor, count >= share + ConnectionSpread.least {
                next[node] = share
            }
        }
        return next
    }

    private static func share(_ connections: [UInt32: Int]) -> Int {
        (connections.values.reduce(0, +) + connections.count - 1) / connections.count
    }

    /// Ends what leads to nothing.
    private mutating func watch(_ connections: [UInt32: Int], at now: Instant) {
        guard !levels.isEmpty else {
            (lack, vainAttempts) = (nil, 0)
            return
        }
        let share = ConnectionSpread.share(connections)
        let lacking = connections.values.reduce(0) { $0 + max(0, share - $1) }
        guard let known = lack, lacking >= known.least else {
            lack = (lacking, now)
            return
        }
        guard now - known.at >= ConnectionSpread.patience else { return }
        let rest = ConnectionSpread.shortestRest * (1 << min(6, vainAttempts))
        restsUntil = now + min(ConnectionSpread.longestRest, rest)
        vainAttempts += 1
        (levels, lack) = ([:], nil)
    }
}
