// What a node takes from its coordinator, what it refuses, and what it never waits with.
import Core
import Foundation
import Net
import TestSupport
import Testing
import Wire

@testable import Node
@testable import Policy

/// The node's state file, on a lane of its own, as a node has it.
private final class SavedSnapshots: @unchecked Sendable {
    private let lane: Lane?
    private let file: StateFile?

    init(_ path: String) {
        lane = try? Lane.start(count: 1, name: "saved")[0]
        file = lane.map { StateFile(lane: $0, path: path) }
    }

    func write(_ snapshot: ActiveSnapshot, _ seconds: Int64) {
        lane?.execute { [self] in file?.write { SnapshotStore.content(snapshot, confirmedAtSeconds: seconds) } }
    }

    deinit { lane?.execute { [lane] in lane?.stop() } }
}

final class SnapshotKeeperTests {
    private let folder: URL
    private var published: [ActiveSnapshot] = []
    private var complaints: [String] = []
    /// Microseconds since 1970; the terms of most tests are of its first second.
    private var now: Int64 = 10_000
    private lazy var disk = SavedSnapshots(path)
    private lazy var keeper = makeKeeper()

    init() throws {
        folder = URL(fileURLWithPath: NSTemporaryDirectory()).appending(path: "sluice-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private var path: String { folder.appending(path: "node.snapshot").path }

    private func makeKeeper(_ file: String? = nil) -> SnapshotKeeper {
        SnapshotKeeper(
            store: SnapshotStore(path: file ?? path), maximumAge: .seconds(86_400), clock: { [unowned self] in now },
            save: { [unowned self] in disk.write($0, $1) }, publish: { [unowned self] in published.append($0) },
            complain: { [unowned self] in complaints.append($0) })
    }

    private func cluster(routes: Int, revoked: Bool = false, confirmed: Int? = nil) -> ClusterSnapshot {
        var cluster = ClusterSnapshot()
        cluster.providers["sim"] = ProviderRecord(name: "sim")
        cluster.providers["sim"]?.baseURL = "https://sim.example/v1"
        for number in 0..<routes {
            var route = RouteRecord(name: "r\(number)")
            route.targets = [RouteTarget(provider: "sim", model: "m\(number)", weight: 100)]
            cluster.routes[route.name] = route
        }
        cluster.orgs["acme"] = TenantRecord(org: "acme", team: nil)
        cluster.teams["acme/search"] = TenantRecord(org: "acme", team: "search")
        var key = KeyRecord(id: "k1")
        (key.org, key.team) = ("acme", "search")
        key.secrets = [KeySecret(hash: String(repeating: "0f", count: 32))]
        key.isRevoked = revoked
        cluster.keys["k1"] = key
        cluster.confirmedRouteCount = confirmed
        return cluster
    }

    private func records(_ cluster: ClusterSnapshot) -> [SnapshotRecord] {
        cluster.records.map { SnapshotRecord(kind: $0.kind, name: $0.name, body: $0.body) }
    }

    private func take(_ epoch: UInt64, _ sequence: UInt64, _ cluster: ClusterSnapshot) {
        keeper.take(Snapshot(epoch: epoch, sequence: sequence, records: records(cluster)))
    }

    @Test func `most routes are kept, a revocation in the same state is not held back`() {
        take(5, 1, cluster(routes: 4))
        take(5, 2, cluster(routes: 1, revoked: true))
        #expect(keeper.current?.cluster.routes.count == 4)
        #expect(keeper.current?.cluster.keys["k1"]?.isRevoked == true)
        #expect(keeper.holdsRoutes)
        #expect(keeper.refusal?.contains("keeps only 1 of 4 routes") == true)
        #expect(keeper.refusal?.contains("sluice apply --confirm-routes 1") == true)
        #expect(complaints.count == 1)
        take(5, 3, cluster(routes: 1, revoked: true))
        #expect(complaints.count == 1, "the same reason is told once")
    }

    @Test func `a later state that is fine is taken, and so is a confirmed one`() {
        take(5, 1, cluster(routes: 4))
        take(5, 2, cluster(routes: 1))
        take(5, 3, cluster(routes: 3))
        #expect(keeper.current?.cluster.routes.count == 3)
        #expect(!keeper.holdsRoutes && keeper.refusal == nil)
        take(5, 4, cluster(routes: 1))
        #expect(keeper.holdsRoutes)
        take(5, 5, cluster(routes: 1, confirmed: 1))
        #expect(keeper.current?.cluster.routes.count == 1)
        #expect(!keeper.holdsRoutes && keeper.refusal == nil)
    }

    @Test func `changes are applied to what was published, also while routes are held`() throws {
        take(5, 1, cluster(routes: 4))
        let removed = (1...3).map { Update.Removal(kind: 1, name: "r\($0)") }
        _ = keeper.take(Update(epoch: 5, sequence: 2, removed: removed))
        #expect(keeper.holdsRoutes && keeper.current?.cluster.routes.count == 4)
        let key = try #require(records(cluster(routes: 1, revoked: true)).first { $0.kind == 5 })
        _ = keeper.take(Update(epoch: 5, sequence: 3, changed: [key]))
        #expect(keeper.current?.cluster.keys["k1"]?.isRevoked == true)
        #expect(keeper.current?.sequence == 3)
        let back = records(cluster(routes: 3)).filter { $0.kind == 1 && $0.name != "r0" }
        _ = keeper.take(Update(epoch: 5, sequence: 4, changed: back))
        #expect(!keeper.holdsRoutes)
        #expect(keeper.current?.cluster == cluster(routes: 3, revoked: true))
    }

    @Test func `a change that does not follow waits for the whole state`() {
        take(5, 1, cluster(routes: 4))
        _ = keeper.take(Update(epoch: 5, sequence: 3, removed: [.init(kind: 1, name: "r0")]))
        _ = keeper.take(Update(epoch: 6, sequence: 2, removed: [.init(kind: 1, name: "r0")]))
        #expect(keeper.current?.cluster.routes.count == 4)
        take(5, 3, cluster(routes: 3))
        #expect(keeper.current?.cluster.routes.count == 3)
        take(5, 2, cluster(routes: 4))
        #expect(keeper.current?.cluster.routes.count == 3, "an older state of the term changes nothing")
    }

    @Test func `a term of the past is refused, and told once`() {
        take(5, 1, cluster(routes: 4))
        take(4, 9, cluster(routes: 2))
        take(4, 10, cluster(routes: 2))
        #expect(keeper.current?.epoch == 5 && complaints.count == 1)
        take(6, 1, cluster(routes: 2))
        #expect(keeper.current?.epoch == 6 && keeper.refusal == nil)
    }

    @Test func `a term is remembered over a restart, also when nothing else changed with it`() throws {
        take(5, 1, cluster(routes: 4))
        take(9, 1, cluster(routes: 4))
        func isSaved() -> Bool { (try? SnapshotStore(path: path).load())??.snapshot.epoch == 9 }
        try waitOnThread("it is saved", isSaved)
        keeper = makeKeeper()
        keeper.loadSaved()
        #expect(keeper.highestEpoch == 9)
        take(8, 7, cluster(routes: 3))
        #expect(keeper.current?.cluster.routes.count == 4 && keeper.current?.epoch == 9)
        #expect(keeper.refusal?.contains("epoch 8 is of the past") == true)
    }

    @Test func `a state that cannot be read is refused whole, the next good one is taken`() {
        take(5, 1, cluster(routes: 4))
        var broken = records(cluster(routes: 4))
        broken[1].body += Array("\ncolour = red".utf8)
        keeper.take(Snapshot(epoch: 5, sequence: 2, records: broken))
        #expect(keeper.current?.sequence == 1 && keeper.refusal?.contains("colour") == true)
        _ = keeper.take(Update(epoch: 5, sequence: 2, changed: [broken[1]]))
        #expect(keeper.current?.sequence == 1)
        take(5, 3, cluster(routes: 4))
        #expect(keeper.current?.sequence == 3 && keeper.refusal == nil)
    }

    @Test func `a key that this version cannot read has no rights, and holds nothing else back`() throws {
        var records = records(cluster(routes: 4))
        records.append(
            SnapshotRecord(kind: 5, name: "k2", body: try #require(records.last { $0.kind == 5 }).body))
        records[records.count - 1].body += Array("\ncolour = red".utf8)
        keeper.take(Snapshot(epoch: 5, sequence: 1, records: records))
        #expect(keeper.current?.grants.keys.sorted() == ["k1"])
        #expect(keeper.current?.cluster.routes.count == 4 && keeper.refusal == nil)
        #expect(complaints.count == 1 && complaints[0].contains("'k2'") && complaints[0].contains("colour"))
        _ = keeper.take(Update(epoch: 5, sequence: 2, removed: [.init(kind: 5, name: "k2")]))
        #expect(complaints.count == 1)
    }

    @Test func `a change of one key leaves the grants of the others as they are`() throws {
        var many = cluster(routes: 2)
        for number in 0..<100 {
            var key = KeyRecord(id: "n\(number)")
            (key.org, key.team) = ("acme", number < 50 ? "search" : "ads")
            key.secrets = [KeySecret(hash: String(repeating: "1f", count: 32))]
            many.keys[key.id] = key
        }
        many.teams["acme/ads"] = TenantRecord(org: "acme", team: "ads")
        take(5, 1, many)
        let before = try #require(keeper.current)
        many.keys["n7"]?.isRevoked = true
        many.teams["acme/ads"]?.limits = [try Limit.parse("5 concurrent", scope: .team)]
        take(5, 2, many)
        let after = try #require(keeper.current)
        #expect(after.grants["n8"] === before.grants["n8"])
        #expect(after.grants["n7"] !== before.grants["n7"])
        #expect(after.grants["n60"] !== before.grants["n60"], "the team has another limit")
        #expect(after.grants["n60"]?.limits?.limits.count == 1)
        many.teams["acme/ads"] = nil
        take(5, 3, many)
        #expect(keeper.current?.grants["n60"]?.limits == nil, "without its team a key has no rights")
    }

    @Test func `an identity that two keys claim opens neither`() {
        var two = cluster(routes: 2)
        two.keys["k1"]?.identity = "spiffe://example.org/a"
        take(5, 1, two)
        #expect(keeper.current?.identities["spiffe://example.org/a"]?.record.id == "k1")
        var other = KeyRecord(id: "k2")
        (other.org, other.team, other.identity) = ("acme", "search", "spiffe://example.org/a")
        two.keys["k2"] = other
        take(5, 2, two)
        #expect(keeper.current?.identities.isEmpty == true)
        two.keys["k2"]?.isRevoked = true
        take(5, 3, two)
        #expect(keeper.current?.identities["spiffe://example.org/a"]?.record.id == "k1")
    }

    @Test func `a node starts from its disk, and hears the coordinator's changes at once after that`() throws {
        take(5, 1, cluster(routes: 4))
        try waitOnThread("it is saved") { FileManager.default.fileExists(atPath: path) }
        keeper = makeKeeper()
        keeper.loadSaved()
        #expect(keeper.current?.cluster == cluster(routes: 4))
        take(5, 1, cluster(routes: 4))
        _ = keeper.take(Update(epoch: 5, sequence: 2, removed: [.init(kind: 1, name: "r3")]))
        #expect(keeper.current?.cluster.routes.count == 3)
        try Data("# epoch=5 sequence=1 crc32c=7\n[org x]\n".utf8).write(
            to: folder.appending(path: "damaged"))
        complaints = []
        let other = makeKeeper(folder.appending(path: "damaged").path)
        other.loadSaved()
        #expect(other.current == nil && complaints.count == 1, "\(complaints)")
    }

    @Test func `a heartbeat of what it has asks for nothing, one of anything else for the whole state`() {
        #expect(!keeper.take(Update(epoch: 5, sequence: 1)), "nothing was heard yet")
        take(5, 1, cluster(routes: 4))
        #expect(keeper.take(Update(epoch: 5, sequence: 1)))
        #expect(published.count == 1, "nothing changed")
        #expect(!keeper.take(Update(epoch: 5, sequence: 2)))
        #expect(!keeper.take(Update(epoch: 6, sequence: 1)))
        #expect(!keeper.take(Update(epoch: 5, sequence: 3, removed: [.init(kind: 1, name: "r0")])))
        #expect(keeper.take(Update(epoch: 4, sequence: 9)), "a leader of the past has nothing to say")
        #expect(keeper.current?.sequence == 1 && keeper.offeredVersion == (5, 1))
    }

    @Test func `a state that cannot be read is not asked for again and again`() {
        take(5, 1, cluster(routes: 4))
        var broken = records(cluster(routes: 4))
        broken[1].body += Array("\ncolour = red".utf8)
        keeper.take(Snapshot(epoch: 5, sequence: 2, records: broken))
        #expect(keeper.take(Update(epoch: 5, sequence: 2)), "it would be the same")
        #expect(!keeper.take(Update(epoch: 5, sequence: 3)))
    }

    @Test func `no number of a coordinator ends a node`() {
        take(.max, .max, cluster(routes: 4))
        #expect(keeper.take(Update(epoch: .max, sequence: .max)))
        #expect(keeper.take(Update(epoch: .max, sequence: 0, removed: [.init(kind: 1, name: "r0")])))
        take(5, .max, cluster(routes: 4))
        #expect(keeper.current?.epoch == 5)
        #expect(keeper.take(Update(epoch: 5, sequence: 0)))
    }

    @Test func `an epoch that no clock allows is forgotten when a coordinator has another`() {
        now = 1_790_000_000_000_000
        let today = UInt64(now / 1_000)
        take(1 << 52, 1, cluster(routes: 4))
        #expect(!keeper.take(Update(epoch: today, sequence: 1)), "asks for the whole state")
        take(today, 1, cluster(routes: 3))
        #expect(keeper.current?.epoch == today && keeper.highestEpoch == today)
        #expect(complaints.contains { $0.contains("later than any clock") })
        take(today - 1, 9, cluster(routes: 2))
        #expect(keeper.current?.cluster.routes.count == 3, "an earlier term is refused as ever")
        // A clock that stands in 1970 makes no honest term impossible.
        now = 0
        take(today - 1, 9, cluster(routes: 2))
        #expect(keeper.highestEpoch == today)
    }

    @Test func `a damaged head of the saved snapshot is refused like a damaged body`() throws {
        let content = "# epoch=5 sequence=1 confirmed=0\n" + cluster(routes: 4).text
        let good = StateFileText.sealed(Array(content.utf8))
        try Data(good).write(to: URL(fileURLWithPath: path))
        #expect(try SnapshotStore(path: path).load()?.snapshot.epoch == 5)
        let text = String(decoding: good, as: UTF8.self)
        for damaged in [
            text.replacing("epoch=5", with: "epoch=4503599627370496"), text.replacing("sequence=1", with: "sequence=2"),
            text.replacing("crc32c=", with: "crc32c=1"), text.replacing("# crc32c", with: "# crc32d"), "", "x",
        ] {
            try Data(damaged.utf8).write(to: URL(fileURLWithPath: path))
            complaints = []
            let other = makeKeeper()
            other.loadSaved()
            #expect(other.current == nil && other.highestEpoch == 0 && complaints.count == 1, "\(complaints)")
        }
    }
}

extension SnapshotKeeperTests {
    private func isSaved(at seconds: Int64) -> Bool {
        (try? SnapshotStore(path: path).load())??.confirmedAtSeconds == seconds
    }

    @Test func `a node does not begin with a snapshot that nobody confirmed for too long`() throws {
        now = 1_790_000_000_000_000
        take(5, 1, cluster(routes: 4))
        try waitOnThread("it is saved") { isSaved(at: 1_790_000_000) }
        now += 86_400_000_000
        keeper = makeKeeper()
        keeper.loadSaved()
        #expect(keeper.current?.epoch == 5 && keeper.refusal == nil, "a day is not too long")
        now += 1_000_000
        keeper = makeKeeper()
        complaints = []
        keeper.loadSaved()
        #expect(keeper.current == nil && complaints.count == 1)
        #expect(keeper.refusal?.contains("snapshot-max-age is 1d") == true, "\(keeper.refusal ?? "")")
        #expect(keeper.highestEpoch == 5, "terms of the past are refused all the same")
        take(5, 1, cluster(routes: 4, revoked: true))
        #expect(keeper.current?.cluster.keys["k1"]?.isRevoked == true && keeper.refusal == nil)
    }

    @Test func `a heartbeat confirms what is on disk, once in an hour`() throws {
        now = 1_790_000_000_000_000
        take(5, 1, cluster(routes: 4))
        now += 3_599_000_000
        #expect(keeper.take(Update(epoch: 5, sequence: 1)))
        now += 1_000_000
        #expect(keeper.take(Update(epoch: 5, sequence: 1)))
        try waitOnThread("it is saved") { isSaved(at: 1_790_003_600) }
        #expect(isSaved(at: 1_790_003_600))
        now += 5_000_000
        #expect(keeper.take(Update(epoch: 5, sequence: 1)))
        #expect(published.count == 1, "nothing changed")
    }

    @Test func `a mark from a clock that was ahead is written again when the clock is right`() throws {
        now = 1_890_000_000_000_000
        take(5, 1, cluster(routes: 4))
        try waitOnThread("it is saved") { isSaved(at: 1_890_000_000) }
        now = 1_790_000_000_000_000
        #expect(keeper.take(Update(epoch: 5, sequence: 1)))
        try waitOnThread("it is saved again") { isSaved(at: 1_790_000_000) }
        #expect(isSaved(at: 1_790_000_000))
    }
}

/// The form of a state file, as `StateFile` writes it.
private enum StateFileText {
    static func sealed(_ content: [UInt8]) -> [UInt8] {
        Array("# crc32c=\(CRC32C.checksum(content))\n".utf8) + content
    }
}
