// A node with more than its share of connections asks clients to move some of them: as many a second as the pace allows, the oldest first.
import Core
import Net
import Policy
import Telemetry

/// Asks on behalf of all lanes, one after another. Confined to the node's first lane but where it is handed from lane to lane.
final class Rebalance: @unchecked Sendable {
    private let gateways: [Gateway]
    /// The lane that is asked first, each second another one.
    private var turn = 0

    init(_ gateways: [Gateway]) { self.gateways = gateways }

    /// Once a second. `level`: the connections to come down to; nil when the coordinator wishes nothing, or this node has others to worry about.
    func beat(_ standing: RebalancePace.Standing, level: Int?) {
        guard let level else { return }
        let most = RebalancePace.count(standing, level: level)
        turn = (turn + 1) % gateways.count
        ask(most, of: standing.connections, lanesLeft: gateways.count, from: turn)
    }

    /// Each lane asks for its part, and hands on what is left to ask for. `all`: the connections of the lanes that are left.
    private func ask(_ most: Int, of all: Int, lanesLeft: Int, from place: Int) {
        guard most > 0, lanesLeft > 0 else { return }
        let gateway = gateways[place]
        gateway.lane.execute { [self] in
            let own = gateway.sessions.count
            let part = lanesLeft == 1 || own >= all ? most : (most * own + all - 1) / max(1, all)
            let asked = gateway.askToMove(min(most, part))
            ask(most - asked, of: all - own, lanesLeft: lanesLeft - 1, from: (place + 1) % gateways.count)
        }
    }
}

extension Gateway {
    /// How this lane's connections stand.
    var standing: RebalancePace.Standing {
        let now = lane.now
        var standing = RebalancePace.Standing(connections: sessions.count)
        for session in sessions.values {
            if session.isLeaving {
                standing.leaving += 1
            } else if let asked = session.askedToMoveAt, now - asked < RebalancePace.answerTime {
                standing.asked += 1
            }
        }
        return standing
    }

    /// Asks up to `most` clients, those whose connections are oldest; returns how many were asked.
    func askToMove(_ most: Int) -> Int {
        guard most > 0, !isDraining else { return 0 }
        let now = lane.now
        let numbers = sessions.values.filter { $0.mayBeAskedToMove(at: now) }.map(\.number).sorted()
        for number in numbers.prefix(most) { sessions[number]?.askToMove(at: now) }
        let count = min(most, numbers.count)
        metrics.rebalanceHints.add(UInt64(count))
        return count
    }
}
