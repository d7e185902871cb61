// Which nodes are asked to let connections go, and when asking ends: reports on the left, levels on the right.
import Core
import Testing

@testable import Policy

@Suite struct ConnectionSpreadTests {
    /// A coordinator that hears all nodes once a second.
    private struct Watch {
        var spread = ConnectionSpread()
        var now = Instant(nanoseconds: 1_000_000_000)
        var changes = 0

        @discardableResult mutating func hear(_ connections: [UInt32: Int], seconds: Int = 1) -> [UInt32: Int] {
            for _ in 0..<seconds {
                now = now + .seconds(1)
                if spread.read(connections, at: now) { changes += 1 }
            }
            return spread.levels
        }
    }

    @Test func `a node that was added has the others come down to the mean, once it has served for two seconds`() {
        var watch = Watch()
        #expect(watch.hear([1: 30, 2: 30], seconds: 5) == [:])
        #expect(watch.hear([1: 30, 2: 30, 3: 0]) == [:], "the balancer does not know it yet")
        #expect(watch.hear([1: 30, 2: 30, 3: 0]) == [:])
        #expect(watch.hear([1: 30, 2: 30, 3: 0]) == [1: 20, 2: 20])
        #expect(watch.hear([1: 26, 2: 24, 3: 10]) == [1: 20, 2: 20], "who was asked goes on")
        #expect(watch.hear([1: 21, 2: 22, 3: 17]) == [2: 20])
        #expect(watch.hear([1: 20, 2: 21, 3: 19]) == [:])
        #expect(watch.hear([1: 24, 2: 17, 3: 19], seconds: 60) == [:], "a little more is no reason")
        #expect(watch.changes == 3)
    }

    @Test func `a quarter more than the mean is too much, if it is eight connections at least`() {
        let cases: [(connections: [UInt32: Int], levels: [UInt32: Int])] = [
            ([1: 12, 2: 4], [:]), ([1: 15, 2: 1], [:]), ([1: 16, 2: 0], [1: 8]), ([1: 17, 2: 1], [1: 9]),
            ([1: 125, 2: 75], [:]), ([1: 126, 2: 74], [1: 100]), ([1: 1_000], [:]), ([1: 50, 2: 50, 3: 50], [:]),
            ([:], [:]),
        ]
        for (connections, levels) in cases {
            var watch = Watch()
            #expect(watch.hear(connections, seconds: 4) == levels, "\(connections)")
        }
    }

    @Test func `a level follows the mean by steps, because each one is published`() {
        var watch = Watch()
        watch.hear([1: 400, 2: 0], seconds: 3)
        #expect(watch.spread.levels == [1: 200])
        // While connections move they are counted twice.
        #expect(watch.hear([1: 400, 2: 10]) == [1: 200])
        #expect(watch.hear([1: 400, 2: 30]) == [1: 215])
        #expect(watch.changes == 2)
    }

    @Test func `where nobody comes to a node that has few, asking rests, longer each time`() {
        var watch = Watch()
        let stuck: [UInt32: Int] = [1: 30, 2: 30, 3: 0]
        var asked: [Bool] = []
        for _ in 0..<600 { asked.append(!watch.hear(stuck).isEmpty) }
        var runs: [(isAsked: Bool, length: Int)] = []
        for value in asked {
            if runs.last?.isAsked == value { runs[runs.count - 1].length += 1 } else { runs.append((value, 1)) }
        }
        #expect(runs.map(\.isAsked).prefix(7) == [false, true, false, true, false, true, false])
        #expect(runs.map(\.length).prefix(7) == [2, 15, 60, 15, 120, 15, 240])
        // A node more or less is another matter.
        #expect(watch.hear([1: 30, 2: 30, 3: 0, 4: 0], seconds: 4) == [1: 15, 2: 15])
    }

    @Test func `asking goes on while it helps, however slowly`() {
        var watch = Watch()
        var few = 0
        watch.hear([1: 60, 2: 0], seconds: 3)
        while few < 28 {
            few += 1
            #expect(watch.hear([1: 60 - few, 2: few], seconds: 10) == [1: 30])
        }
        #expect(watch.hear([1: 31, 2: 29]) == [:])
    }

    @Test func `a node that drains or is gone is asked for nothing, and its going is waited for`() {
        var watch = Watch()
        watch.hear([1: 60, 2: 0, 3: 0], seconds: 4)
        #expect(watch.spread.levels == [1: 20])
        #expect(watch.hear([2: 0, 3: 0]) == [:])
        watch.hear([1: 60, 2: 0, 3: 0])
        #expect(watch.spread.levels == [:])
        #expect(watch.hear([1: 60, 2: 0, 3: 0], seconds: 2) == [1: 20])
        #expect(watch.hear([1: 60]) == [:], "one node has its share")
    }

    @Test func `a node asks two in a hundred a second, or one, and never more than are too many`() {
        func count(_ connections: Int, leaving: Int = 0, asked: Int = 0, to level: Int) -> Int {
            RebalancePace.count(.init(connections: connections, leaving: leaving, asked: asked), level: level)
        }
        #expect(count(24, to: 8) == 1)
        #expect(count(1_000, to: 500) == 20)
        #expect(count(1_000, to: 995) == 5)
        #expect(count(1_000, leaving: 300, asked: 195, to: 500) == 5)
        #expect(count(1_000, leaving: 300, asked: 200, to: 500) == 0)
        #expect(count(8, to: 8) == 0 && count(3, to: 8) == 0 && count(0, to: 0) == 0)
        var both = RebalancePace.Standing(connections: 5, leaving: 1, asked: 2)
        both.add(.init(connections: 7, leaving: 2, asked: 1))
        #expect(both == .init(connections: 12, leaving: 3, asked: 3))
    }

    @Test func `a fleet in which every wish is followed is even within a minute, and nobody falls below the mean`() {
        for (nodes, fresh, connections) in [(2, 1, 60), (2, 4, 24), (5, 5, 2_000), (1, 7, 10_000)] {
            var watch = Watch()
            var fleet: [UInt32: Int] = [:]
            for node in 1...nodes { fleet[UInt32(node)] = connections }
            watch.hear(fleet, seconds: 3)
            for node in nodes + 1...nodes + fresh { fleet[UInt32(node)] = 0 }
            let mean = nodes * connections / (nodes + fresh)
            var seconds = 0
            while !fleet.values.allSatisfy({ abs($0 - mean) * 5 <= mean }), seconds < 300 {
                seconds += 1
                for (node, level) in watch.hear(fleet) {
                    let moving = RebalancePace.count(.init(connections: fleet[node] ?? 0), level: level)
                    fleet[node]? -= moving
                    // The balancer sends each to the node that has the fewest.
                    for _ in 0..<moving {
                        if let least = fleet.min(by: { $0.value < $1.value })?.key { fleet[least]? += 1 }
                    }
                    #expect((fleet[node] ?? 0) >= mean)
                }
            }
            #expect(seconds <= 110, "\(nodes) + \(fresh) nodes: \(seconds) s")
        }
    }

    @Test func `levels travel beside what nodes of the version before read`() {
        var cluster = ClusterSnapshot()
        #expect(cluster.records.isEmpty)
        cluster.connectionLevels = [3: 120, 1: 80]
        let record = cluster.records[0]
        #expect(
            RecordKind.numbered(record.kind)?.name == "spread"
                && String(decoding: record.body, as: UTF8.self) == "node = 1 80\nnode = 3 120")
        // They take a kind that they do not know for a share of a provider, whose name this cannot be.
        #expect(record.name == "connections/nodes")
        #expect(throws: (any Error).self) { try PlainText.name(record.name) }
        let (read, problems) = ClusterSnapshot.decode(cluster.records)
        #expect(read == cluster && problems.isEmpty)
        #expect(ClusterSnapshot.read(cluster.text, file: "disk").0 == cluster)
        var other = ClusterSnapshot()
        other.shares = ["sim": [1: 5]]
        #expect(other.apply(changed: cluster.records, removed: []).isEmpty)
        #expect(other.connectionLevels == [3: 120, 1: 80] && other.shares == ["sim": [1: 5]])
        #expect(other.apply(changed: [], removed: [(kind: record.kind, name: record.name)]).isEmpty)
        #expect(other.connectionLevels == [:] && other.shares == ["sim": [1: 5]])
        // A kind of a version to come is left alone.
        #expect(other.apply(changed: [.init(kind: 200, name: "sim", body: [])], removed: []).isEmpty)
        #expect(other.shares == ["sim": [1: 5]])
    }
}
