// A whole cluster on Redis Cluster and on Sentinel: everything works, and a primary that dies takes only its own orgs along.
import Core
import Foundation
import Synchronization
import Testing
import Wire

@Suite struct RedisShapeTests {
    /// Names whose keys lie on the same primary as `q:{acme}`, and on others.
    private static func orgs(_ cluster: TestCluster) async throws -> (same: String?, other: String?) {
        let home = try await cluster.redisOwner(of: "{acme}")
        var found: (same: String?, other: String?) = (nil, nil)
        for name in ["o1", "o2", "o3", "o4", "o5", "o6"] {
            if try await cluster.redisOwner(of: "{\(name)}") == home { found.same = name } else { found.other = name }
        }
        return found
    }

    static let orgSections = (1...6).map {
        "[org o\($0)]\nlimit = 1M requests / minute\nlimit = $100 / month\n[team o\($0)/t]\n"
    }.joined()

    @Test func `on Redis Cluster everything works, and a dead primary disturbs no other org`() async throws {
        try await withCluster(Self.orgSections, org: "limit = $100 / month\nlimit = 64 concurrent", redis: .cluster) {
            cluster in
            let other = try #require(try await Self.orgs(cluster).other)
            let key = try await cluster.createKey(org: other, team: "t")
            let (alone, aloneThere) = (Told(), Told())
            let here = try Caller(cluster, node: 1, onHint: { alone.add($0.keepsLimitsAlone) })
            let there = try Caller(cluster, key: key, node: 1, onHint: { aloneThere.add($0.keepsLimitsAlone) })
            try await here.connected()
            try await cluster.wait("the other org's key") { await there.ask("hi").end != nil }
            for _ in 0..<20 {
                #expect(await here.ask("hi").end != nil)
                #expect(await there.ask("hi").end != nil)
            }
            let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
            #expect(
                page.split(separator: "\n").filter { $0.hasPrefix("sluice_redis_primary_ready{") && $0.hasSuffix(" 1") }
                    .count == 3)
            let usage = try await cluster.tool(["usage", "--org", other, "--format", "json"])
            #expect(usage.status == 0 && usage.output.contains("\"team\":\"t\""), "\(usage.output)\(usage.error)")
            #expect(try await cluster.tool(["ledger", "verify", "--org", other]).status == 0)

            let home = try await cluster.redisOwner(of: "{acme}")
            try cluster.killRedis(home)
            let died = ContinuousClock.now
            var (refused, undisturbed) = (0, 0)
            while true {
                let outcome = await here.ask("hi")
                if outcome.end != nil, refused > 0 { break }
                if let refusal = outcome.refusal {
                    #expect(refusal.code == .stateUnavailable && refusal.retry == .safeElsewhere)
                    refused += 1
                }
                #expect(await there.ask("hi").end != nil)
                undisturbed += 1
                try #require(ContinuousClock.now - died < .seconds(60), "no replica took over")
            }
            #expect(refused > 0 && undisturbed > 10)
            // Clients hear that limits are not shared, and that they are again; those of other orgs hear nothing of it.
            try await cluster.wait("the hints") { alone.all.contains(true) && alone.all.last == false }
            #expect(!aloneThere.all.contains(true))
            #expect(try await cluster.redisOwner(of: "{acme}") != home)
            try await cluster.wait("all holds to end") { try await cluster.held("q:{acme}").requests == 0 }
            try await cluster.wait("all is well on both nodes") {
                let pages = await [1, 2].asyncMap { await cluster.http(cluster.at("nodeAdmin") + $0, "/readyz").body }
                return pages.allSatisfy { !$0.contains("Redis") }
            }
        }
    }

    /// What hints said.
    private final class Told: Sendable {
        private let words = Mutex<[Bool]>([])
        var all: [Bool] { words.withLock { $0 } }
        func add(_ word: Bool) { words.withLock { $0.append(word) } }
    }

    @Test func `with Sentinel requests go on when a replica has taken over`() async throws {
        try await withCluster(org: "limit = $100 / month\nlimit = 64 concurrent", redis: .sentinel) { cluster in
            let caller = try Caller(cluster)
            try await caller.connected()
            #expect(await caller.ask("hi").end != nil)
            let first = try await cluster.redisOwner(of: "")
            try cluster.killRedis(first)
            try await cluster.wait("a refusal") { await caller.ask("hi").refusal?.code == .stateUnavailable }
            for node in [1, 2] {
                let local = try Caller(cluster, node: node)
                try await cluster.wait("work on node \(node)", seconds: 60) { await local.ask("hi").end != nil }
            }
            #expect(try await cluster.redisOwner(of: "") != first)
            let key = try await cluster.createKey(team: "search")
            #expect(key.hasPrefix("slk_"), "keys can be made again")
        }
    }
}

extension Sequence where Self: Sendable, Element: Sendable {
    /// `map` for what waits.
    fileprivate func asyncMap<T>(_ transform: (Element) async throws -> T) async rethrows -> [T] {
        var results: [T] = []
        for element in self { results.append(try await transform(element)) }
        return results
    }
}
