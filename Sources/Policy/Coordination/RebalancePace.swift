// How many connections a node with too many of them asks to move at once, and how soon one is asked again.

/// A node's decision, once a second. Pure.
public enum RebalancePace {
    /// A connection is asked once in so long.
    public static let interval = Duration.seconds(60)
    /// A client that did not move in so long stays: another one is asked instead.
    public static let answerTime = Duration.seconds(10)

    /// How a node's connections stand.
    public struct Standing: Sendable, Hashable {
        /// All of them.
        public var connections: Int
        /// Those that said goodbye and finish what they have.
        public var leaving: Int
        /// Those that were asked lately, and may yet move.
        public var asked: Int

        /// A standing of its parts.
        public init(connections: Int = 0, leaving: Int = 0, asked: Int = 0) {
            self.connections = connections
            self.leaving = leaving
            self.asked = asked
        }

        /// Adds another lane's.
        public mutating func add(_ other: Standing) {
            connections += other.connections
            leaving += other.leaving
            asked += other.asked
        }
    }

    /// How many are asked in this second: two in a hundred, or one, and never more than are too many.
    public static func count(_ standing: Standing, level: Int) -> Int {
        let surplus = standing.connections - standing.leaving - standing.asked - level
        return max(0, min(surplus, max(1, standing.connections / 50)))
    }
}
