// `sluice usage` and `sluice ledger verify` over what real requests left.
import Core
import Foundation
import Testing

@Suite struct UsageTests {
    @Test func `usage tells what answers said they cost, split as asked, in every format`() async throws {
        try await withCluster("limit = $5 / month\n[team acme/ads]\nlimit = $9 / day") { cluster in
            var cost = 0
            for (team, feature, count) in [("search", "chat", 3), ("search", "a/b, \"c\"", 1), ("ads", "", 2)] {
                let caller = try Caller(cluster, key: try await cluster.createKey(team: team))
                for _ in 0..<count {
                    let outcome = await caller.ask("hello\nsim: tokens=50 pace=0ms") { $0.feature = feature }
                    cost += Int(try #require(outcome.end).costMicroUSD)
                }
            }
            try await cluster.wait("the settlements") { try await cluster.held("q:{acme}:t:ads").requests == 0 }
            // The first answers of the cluster named no feature.
            let json = try await cluster.tool(["usage", "--by", "team,feature", "--format", "json"]).json
            let rows = json["rows"]?.elements ?? []
            func row(_ team: String, _ feature: String) -> JSONValue? {
                rows.first { $0["team"]?.text == team && $0["feature"]?.text == feature }
            }
            #expect(row("search", "chat")?["attempts"]?.integer == 3)
            #expect(row("search", "chat")?["output_tokens"]?.integer == 150)
            #expect(row("search", "a/b, \"c\"")?["output_tokens"]?.integer == 50)
            #expect(row("ads", "")?["attempts"]?.integer == 2)
            let first = row("search", "")?["micro_usd"]?.integer ?? 0
            #expect(rows.reduce(0) { $0 + ($1["micro_usd"]?.integer ?? 0) } == Int64(cost) + first)

            let csv = try await cluster.tool(["usage", "--by=feature,provider", "--format=csv", "--since=2d"]).output
            #expect(csv.hasPrefix("feature,provider,attempts,input_tokens,cached_tokens,"))
            #expect(csv.contains("\n\"a/b, \"\"c\"\"\",sim,1,"))
            let table = try await cluster.tool(["usage", "--by", "org,team"])
            #expect(table.status == 0 && table.output.hasPrefix("ORG "), "\(table.error)")
            #expect(table.output.contains("\nTOTAL "))
            let past = try await cluster.tool(["usage", "--since", "2026-01-01", "--until", "2026-01-02"])
            #expect(past.output == "nothing was used from 2026-01-01 00:00:00Z to 2026-01-02 00:00:00Z\n")
            let hours = try await cluster.tool(["usage", "--by", "hour,model", "--org", "nobody"])
            #expect(hours.output.hasPrefix("nothing was used"))
        }
    }

    @Test func `verify agrees with an untouched ledger, and finds each kind of damage`() async throws {
        try await withCluster("limit = $5 / month", org: "limit = $50 / month") { cluster in
            let caller = try Caller(cluster)
            for outcome in await caller.ask(20, "hello\nsim: tokens=50 pace=0ms") { #expect(outcome.end != nil) }
            try await cluster.wait("the settlements") { try await cluster.held("q:{acme}").requests == 0 }
            let good = try await cluster.tool(["ledger", "verify"])
            #expect(good.status == 0 && good.output.hasSuffix("everything agrees\n"), "\(good.output)\(good.error)")
            #expect(good.output.contains("\(try await cluster.ledger().count) records"))
            #expect(good.output.contains("spent on org acme this month"))
            #expect(good.output.contains("spent on team acme/search this month"))

            func copy(_ key: String, _ script: String) async throws -> TestCluster.Answer {
                _ = try await cluster.redis(["copy", key, "kept", "replace"])
                #expect(try await cluster.redis(["eval", script, "1", key]) != "")
                let answer = try await cluster.tool(["ledger", "verify"])
                _ = try await cluster.redis(["copy", "kept", key, "replace"])
                return answer
            }
            let stream = "q:{acme}:l"
            // A record that is gone, and one that stands twice.
            let last = "local e = redis.call('xrevrange', KEYS[1], '+', '-', 'COUNT', 1)[1]"
            let lost = try await copy(stream, "\(last) return redis.call('xdel', KEYS[1], e[1])")
            #expect(lost.status == 1 && lost.output.contains("DIFFERS"))
            let twice = try await copy(stream, "\(last) return redis.call('xadd', KEYS[1], '*', 'd', e[2][2])")
            #expect(twice.status == 1 && twice.output.contains("stands twice in the ledger"))
            // Sums that are one too many.
            let hour = try await cluster.redis(["keys", "q:{acme}:u:*"]).split(separator: "\n").last.map(String.init)
            let sum = try await copy(
                try #require(hour),
                """
                local f = redis.call('hkeys', KEYS[1])[1]
                local n = struct.unpack('<d', redis.call('hget', KEYS[1], f))
                local rest = string.sub(redis.call('hget', KEYS[1], f), 9)
                return redis.call('hset', KEYS[1], f, struct.pack('<d', n + 1) .. rest)
                """)
            #expect(sum.status == 1 && sum.output.contains("search/"), "\(sum.output)")
            // Money on a budget that no record knows.
            let spent = try await copy(
                "q:{acme}",
                """
                local start, count = struct.unpack('<dd', redis.call('hget', KEYS[1], 'fuM'))
                return redis.call('hset', KEYS[1], 'fuM', struct.pack('<dd', start, count + 7))
                """)
            #expect(spent.status == 1 && spent.output.contains("spent on org acme this month"))
            let again = try await cluster.tool(["ledger", "verify", "--json"])
            #expect(again.status == 0 && again.json.elements?.first?["differences"]?.integer == 0)
        }
    }
}
