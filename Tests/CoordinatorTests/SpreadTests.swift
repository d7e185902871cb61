// What a coordinator publishes when nodes have unequal numbers of client connections, to nodes over real TLS.
import Core
import Foundation
import Testing
import Wire

@Suite struct SpreadTests {
    private static func isLevels(_ record: String) -> Bool { record.hasSuffix(" connections/nodes") }

    @Test func `a node with too many connections is told, until it has its share; one that drains does not count`()
        throws
    {
        let coordinator = try TestCoordinator()
        let nodes = try (1...3).map { try ListeningNode(coordinator, number: UInt32($0)) }
        defer { for node in nodes { node.stop() } }
        try coordinator.wait("all have a state") { nodes.allSatisfy { !$0.news.isEmpty } }
        func report(_ connections: [UInt32], draining: Int? = nil) {
            for (place, count) in connections.enumerated() {
                nodes[place].report(
                    Report(node: UInt32(place + 1), isDraining: draining == place + 1, connections: count))
            }
        }
        report([30, 30, 0])
        try coordinator.wait("the wish", seconds: 10) {
            nodes.allSatisfy { $0.news.contains { $0.names.contains(where: Self.isLevels) } }
        }
        #expect(coordinator.log().contains("they should come down at node 1 to 20, node 2 to 20"))
        report([20, 21, 20])
        try coordinator.wait("its end", seconds: 10) {
            nodes.allSatisfy { $0.news.contains { $0.removed.contains(where: Self.isLevels) } }
        }
        // A third of the fleet that drains is no reason to move anybody.
        let (before, beats) = (nodes[0].news.count, nodes[0].heartbeats.count)
        report([20, 20, 0], draining: 3)
        try coordinator.wait("two heartbeats more", seconds: 15) { nodes[0].heartbeats.count >= beats + 2 }
        #expect(!nodes[0].news.dropFirst(before).contains { $0.names.contains(where: Self.isLevels) })
    }
}
