// What real requests leave in the ledger, for every way in which they end.
import Core
import Foundation
import Testing
import Wire

@Suite struct LedgerTests {
    @Test("c10: each way of ending is recorded with where its figures come from; what nobody bills is not recorded")
    func waysOfEnding() async throws {
        try await withCluster("limit = $5 / month") { cluster in
            let caller = try Caller(cluster, node: 1)
            func ask(_ prompt: String, feature: String, isStream: Bool = true) async -> Caller.Outcome {
                await caller.ask(prompt, timeout: .seconds(3)) {
                    $0.feature = feature
                    if !isStream { $0.flags.remove(.stream) }
                }
            }
            let exact = try #require(
                await ask("a\nsim: tokens=20 cached=3 reasoning=4", feature: "exact").end)
            _ = await ask("a\nsim: tokens=20 error=no-usage", feature: "counted")
            _ = await ask("a\nsim: tokens=20 error=cut-after=7", feature: "partial")
            _ = await ask("a\nsim: error=hang", feature: "estimated")
            _ = await ask("a\nsim: error=hang", feature: "estimated-whole", isStream: false)
            _ = await ask("a\nsim: error=500", feature: "failed")
            _ = await ask("a\nsim: error=429", feature: "throttled")
            try await cluster.wait("the settlements") {
                try await cluster.held("q:{acme}").requests == 0
            }
            let records = try await cluster.ledger().filter { !$0.feature.isEmpty }
            #expect(
                records.map { "\($0.feature) \($0.provenance)" } == [
                    "exact 1", "counted 2", "partial 3", "estimated 4", "estimated-whole 4",
                ])
            guard records.count == 5 else { return }
            #expect(records.allSatisfy { $0.team == "search" && $0.model == "gpt-6-luna" && $0.provider == "sim" })
            #expect(records.map(\.outcome)[0...1] == ["OK", "OK"])
            #expect(Set(records[2...].map(\.outcome)).isDisjoint(with: ["OK"]), "\(records)")
            #expect(records[0].output == 24 && records[0].cached == 3 && records[0].reasoning == 4)
            #expect(records[0].money == Int(exact.costMicroUSD) && records[0].output == Int(exact.outputTokens))
            // By bytes and pieces: about what the simulator sent.
            #expect((14...40).contains(records[1].output), "\(records[1])")
            #expect((4...14).contains(records[2].output), "\(records[2])")
            #expect(records[3].output == 0 && records[3].input > 0)
            #expect(records[4].output > 0, "a whole answer may have been made")
            #expect(Set(records.map(\.version)).count == 1 && records[0].version.count == 16)
            // The first answers of the cluster are there, too: all money that was booked.
            let all = try await cluster.ledger().reduce(0) { $0 + $1.money }
            #expect(try await cluster.spent("q:{acme}:t:search") == all)
        }
    }
}

/// A ledger record as a program in any language reads it: by the table in Docs/ledger.md.
struct RawRecord: Sendable {
    let at: Int
    let id: String
    let input: Int
    let cached: Int
    let output: Int
    let reasoning: Int
    let money: Int
    let provenance: Int
    let version: String
    let team: String
    let feature: String
    let model: String
    let provider: String
    let outcome: String
}

extension TestCluster {
    /// The ledger of the org acme, through nothing but redis-cli.
    func ledger() async throws -> [RawRecord] {
        let script = """
            local out = {}
            for _, entry in ipairs(redis.call('xrange', KEYS[1], '-', '+')) do
              local hex = {}
              for i = 1, #entry[2][2] do hex[i] = string.format('%02x', string.byte(entry[2][2], i)) end
              out[#out + 1] = table.concat(hex)
            end
            return out
            """
        let text = try await redis(["eval", script, "1", "q:{acme}:l"])
        return text.split(separator: "\n").compactMap { RawRecord(hex: String($0)) }
    }
}

extension RawRecord {
    init?(hex: String) {
        guard let bytes = Hexadecimal.bytes(hex), bytes.count > 62 else { return nil }
        func number(_ offset: Int, _ count: Int) -> Int {
            bytes[offset..<offset + count].reduce(0) { $0 << 8 | Int($1) }
        }
        var names: [String] = []
        var position = 62
        while position < bytes.count {
            let end = position + 1 + Int(bytes[position])
            guard end <= bytes.count else { return nil }
            names.append(String(decoding: bytes[position + 1..<end], as: UTF8.self))
            position = end
        }
        guard names.count == 6 else { return nil }
        at = number(0, 7)
        id = Hexadecimal.text(Array(bytes[7..<23]))
        (input, cached, output, reasoning) = (number(23, 3), number(26, 3), number(32, 3), number(35, 3))
        (money, provenance) = (number(38, 6), number(45, 1))
        version = Hexadecimal.text(Array(bytes[46..<54]))
        (team, feature, model, provider, outcome) = (names[0], names[2], names[3], names[4], names[5])
    }
}
