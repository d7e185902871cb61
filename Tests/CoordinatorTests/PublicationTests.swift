// What nodes are sent: at once, whole every five seconds, in bytes that are made once; and how the table of nodes stays small.
import Core
import Foundation
import Net
import Testing

@testable import Coordinator
@testable import Policy
@testable import Wire

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

    private func key(_ id: String, label: String) -> KeyRecord {
        var key = KeyRecord(id: id)
        (key.org, key.team, key.label) = ("acme", "search", label)
        key.secrets = [KeySecret(hash: String(repeating: "0f", count: 32))]
        return key
    }

    @Test func `of 20,000 keys only the one that changed is encoded`() {
        var state = cluster(1...20)
        for number in 0..<20_000 { state.keys["k\(number)"] = key("k\(number)", label: "first") }
        var publication = Publication(epoch: 5)
        _ = publication.offer(state)
        for number in 0..<20 {
            state.keys["k\(number)"]?.isRevoked = true
            guard case .changed(let update, let changed, let removed) = publication.offer(state) else {
                return #expect(Bool(false))
            }
            #expect((changed, removed) == (1, 0))
            #expect(update.count < 512)
        }
        #expect(publication.encodings == 0, "nobody asked for the whole state")
        #expect(publication.snapshot().count > 20_000 * 64)
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func `changes one after another make what is published, and its size is exact`(seed: UInt64) throws {
        var chance = Chance(seed: seed)
        var state = ClusterSnapshot()
        var node = ClusterSnapshot()
        var publication = Publication(epoch: 5)
        for step in 0..<200 {
            let (id, org) = ("k\(chance.below(40))", "o\(chance.below(9))")
            switch chance.below(6) {
            case 0: state.keys[id] = nil
            case 1: state.orgs[org] = nil
            case 2: state.orgs[org] = TenantRecord(org: org, team: nil)
            default: state.keys[id] = key(id, label: String(repeating: "x", count: Int(chance.below(60))))
            }
            guard case .changed(let bytes, _, _) = publication.offer(state) else { continue }
            let update = try StateMessage.update(bytes.bytes.span.bytes)
            let problems = node.apply(
                changed: update.changed.map { .init(kind: $0.kind, name: $0.name, body: $0.body) },
                removed: update.removed.map { ($0.kind, $0.name) })
            #expect(problems.isEmpty, "step \(step)")
            #expect(node.records == state.records, "step \(step)")
            #expect(publication.size == publication.snapshot().count, "step \(step)")
        }
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
