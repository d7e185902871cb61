// What one key and one org may hold of a lane: exact at the limit, and nothing is left when all is given back.
import Core
import Testing

@testable import Node
@testable import Policy

@Suite struct OccupancyTests {
    private func occupancy(_ change: (inout Occupancy.Limits) -> Void = { _ in }) -> Occupancy {
        var nodes = ClusterConfiguration.Nodes()
        nodes.maximumConnections = 8
        (nodes.keyConnectionsPercent, nodes.orgConnectionsPercent) = (25, 50)
        (nodes.keyBodyBytes, nodes.orgBodyBytes) = (1_000, 1_500)
        var limits = Occupancy.Limits(nodes)
        change(&limits)
        return Occupancy(limits)
    }

    @Test func `a key has its part of the connections, and an org its part, whatever keys it makes`() {
        var occupancy = occupancy()
        #expect(occupancy.connect(key: "a", org: "acme") == nil)
        #expect(occupancy.connect(key: "a", org: "acme") == nil)
        #expect(occupancy.connect(key: "a", org: "acme") == .key)
        #expect(occupancy.connect(key: "b", org: "acme") == nil)
        #expect(occupancy.connect(key: "b", org: "acme") == nil)
        #expect(occupancy.connect(key: "c", org: "acme") == .org)
        #expect(occupancy.connect(key: "d", org: "globex") == nil)
        occupancy.disconnect(key: "a", org: "acme")
        #expect(occupancy.connect(key: "c", org: "acme") == nil)
    }

    @Test func `body bytes count exactly, and a refusal counts nothing`() {
        var occupancy = occupancy()
        #expect(occupancy.hold(999, key: "a", org: "acme") == nil)
        #expect(occupancy.hold(2, key: "a", org: "acme") == .key)
        #expect(occupancy.hold(1, key: "a", org: "acme") == nil)
        #expect(occupancy.hold(501, key: "b", org: "acme") == .org)
        #expect(occupancy.hold(500, key: "b", org: "acme") == nil)
        occupancy.release(1_000, key: "a", org: "acme")
        occupancy.release(500, key: "b", org: "acme")
        #expect(occupancy.holders == 0)
    }

    @Test func `on a lane of few connections everybody has one`() {
        var occupancy = occupancy { limits in
            var nodes = ClusterConfiguration.Nodes()
            nodes.maximumConnections = 2
            limits = Occupancy.Limits(nodes)
        }
        #expect(occupancy.connect(key: "a", org: "acme") == nil)
        #expect(occupancy.connect(key: "a", org: "acme") == .key)
    }
}
