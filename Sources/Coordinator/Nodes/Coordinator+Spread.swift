// Client connections among nodes: who has too many, from what nodes report.
import Net
import Policy
import Telemetry
import Wire

extension Coordinator {
    /// Looks once a second; true when something is to be published.
    func spreadConnections() -> Bool {
        let before = connectionSpread.levels
        guard connectionSpread.read(members.clientConnections, at: lane.now) else { return false }
        let levels = connectionSpread.levels
        // Who is asked is news, how far each has come is not.
        if before.isEmpty != levels.isEmpty || Set(before.keys) != Set(levels.keys) {
            let words = levels.sorted { $0.key < $1.key }.map { "node \($0.key) to \($0.value)" }
            let text =
                levels.isEmpty
                ? "no node is asked to let connections go any more"
                : "connections are uneven; they should come down at " + words.joined(separator: ", ")
            note(.info, "rebalance", text)
        }
        return true
    }
}

extension Membership {
    /// Client connections of the nodes that serve and do not drain, by their numbers.
    var clientConnections: [UInt32: Int] {
        nodes.compactMapValues { member in
            guard member.isConnected, let report = member.report, !report.isDraining else { return nil }
            return Int(report.connections)
        }
    }
}
