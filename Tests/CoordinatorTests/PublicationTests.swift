// What nodes are sent: at once, whole every five seconds, in bytes that are made once; and how the table of nodes stays small.
import Core
import Foundation
import Net
import Policy
import Testing
import Wire

@testable import Coordinator

struct PublicationTests {
    private func cluster(_ names: ClosedRange<Int>) -> ClusterSnapshot {
        var cluster = ClusterSnapshot()
        for name in names { cluster.routes["r\(name)"] = RouteRecord(name: "r\(name)") }
        return cluster
    }

    @Test func `a state is put into bytes once, however many nodes take it`() {
        var publication = Publication(epoch: 5)
        _ = publication.offer(cluster(1...50))
        let size = publication.snapshot().count
        for _ in 0..<200 { #expect(publication.snapshot().count == size) }
        #expect(publication.encodings == 1)
        _ = publication.offer(cluster(1...51))
        for _ in 0..<200 { _ = publication.snapshot() }
        #expect(publication.encodings == 2)
        #expect((publication.epoch, publication.sequence) == (5, 2))
    }

    @Test func `a change names what changed and what is gone, and the same again is no change`() {
        var publication = Publication(epoch: 5)
        _ = publication.offer(cluster(1...4))
        guard case .same = publication.offer(cluster(1...4)) else { return #expect(Bool(false)) }
        var next = cluster(2...5)
        next.routes["r2"]?.maximumOutputTokens = 7
        guard case .changed(_, let changed, let removed) = publication.offer(next) else { return #expect(Bool(false)) }
        #expect((changed, removed) == (2, 1))
        #expect(publication.sequence == 2)
    }

    @Test func `a new term is higher than the one before, and begins once`() {
        var publication = Publication(epoch: 5)
        _ = publication.offer(cluster(1...1))
        #expect(Publication(epoch: 5).epoch == 5)
        #expect(publication.begin(term: 5) == false)
        #expect(publication.begin(term: 10) == true)
        #expect((publication.epoch, publication.sequence) == (10, 2))
        #expect(publication.begin(term: 10) == false)
    }

    @Test func `a state larger than nodes take is not published`() {
        var publication = Publication(epoch: 5, sizeLimit: 100)
        _ = publication.offer(cluster(1...1))
        guard case .tooLarge(let bytes) = publication.offer(cluster(1...9)) else { return #expect(Bool(false)) }
        #expect(bytes > 100)
        #expect(publication.sequence == 1)
        #expect(publication.cluster == cluster(1...1))
    }
}

struct MembershipTests {
    private final class Connection {}
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    private func subscribe(_ number: UInt32, incarnation: UInt64 = 1) -> Subscribe {
        Subscribe(node: number, incarnation: incarnation, name: "node-\(number)")
    }

    @Test func `a node that is gone is shown for ten minutes and then forgotten`() {
        var members = Membership()
        let (one, two) = (Connection(), Connection())
        #expect(members.join(subscribe(1), on: ObjectIdentifier(one), at: start) == .joined)
        #expect(members.join(subscribe(2), on: ObjectIdentifier(two), at: start) == .joined)
        #expect(members.leave(1, on: ObjectIdentifier(one), at: start + .seconds(60)) == true)
        #expect(members.forgetGone(at: start + .seconds(659)) == [])
        #expect(members.nodes[1]?.isConnected == false)
        #expect(members.forgetGone(at: start + .seconds(660)) == [1])
        #expect(members.forgetGone(at: start + .seconds(99_999)) == [], "a connected node is never forgotten")
        #expect(members.nodes.keys.sorted() == [2])
    }

    @Test func `the table is bounded: the one that is gone longest makes room, and connected ones never do`() {
        var members = Membership()
        let connections = (0..<Membership.limit).map { _ in Connection() }
        for (number, connection) in connections.enumerated() {
            _ = members.join(subscribe(UInt32(number)), on: ObjectIdentifier(connection), at: start)
        }
        let extra = Connection()
        #expect(members.join(subscribe(9_000), on: ObjectIdentifier(extra), at: start) == .full)
        _ = members.leave(7, on: ObjectIdentifier(connections[7]), at: start + .seconds(1))
        _ = members.leave(3, on: ObjectIdentifier(connections[3]), at: start + .seconds(2))
        #expect(members.join(subscribe(9_000), on: ObjectIdentifier(extra), at: start) == .joined)
        #expect(members.nodes.count == Membership.limit)
        #expect(members.nodes[7] == nil && members.nodes[3] != nil)
    }

    @Test func `a node that comes back before its old connection is gone stays connected`() {
        var members = Membership()
        let (old, new) = (Connection(), Connection())
        _ = members.join(subscribe(1), on: ObjectIdentifier(old), at: start)
        #expect(members.join(subscribe(1), on: ObjectIdentifier(new), at: start) == .joined)
        #expect(members.leave(1, on: ObjectIdentifier(old), at: start) == false)
        members.take(Report(node: 1, number: 3), from: 1, on: ObjectIdentifier(old), at: start)
        #expect(members.nodes[1]?.report == nil, "a report of the old connection does not count")
        members.take(Report(node: 1, number: 4), from: 1, on: ObjectIdentifier(new), at: start)
        #expect(members.nodes[1]?.report?.number == 4)
    }

    @Test func `two processes under one number are noticed`() {
        var members = Membership()
        let (one, two) = (Connection(), Connection())
        _ = members.join(subscribe(1, incarnation: 10), on: ObjectIdentifier(one), at: start)
        #expect(members.join(subscribe(1, incarnation: 11), on: ObjectIdentifier(two), at: start) == .twins)
    }
}
