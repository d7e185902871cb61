// The proof behind `Scripts/prove ledger`: nodes are killed at random moments under load, and every account agrees afterwards.
import Core
import Foundation
import Synchronization
import Testing
import Wire

/// Runs when SLUICE_PROVE_LEDGER says how many requests.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["SLUICE_PROVE_LEDGER"] != nil))
struct LedgerProof {
    @Test func `nothing that was answered is lost, nothing is booked twice, and every account agrees`() async throws {
        let environment = ProcessInfo.processInfo.environment
        let wanted = environment["SLUICE_PROVE_LEDGER"].flatMap { Int($0) } ?? 20_000
        let seed = environment["SLUICE_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 1...1_000_000)
        print("# seed \(seed), \(wanted) requests")
        try await withCluster(
            "[ledger main]\nmax-records = 100M", org: "limit = $100000 / month\nlimit = 4096 concurrent"
        ) { cluster in
            let load = try Load(cluster, wanted: wanted, seed: seed)
            async let kills = load.killNodes(cluster)
            await load.run()
            let killed = try await kills
            tell("requests", load.asked.count, .atLeast(wanted))
            tell("kills", killed, .atLeast(10))
            try await awaitHolds(cluster)
            try await compare(load, cluster)
        }
    }

    private enum Bound { case atLeast(Int), exactly(Int) }

    private func tell(_ name: String, _ value: Int, _ bound: Bound) {
        let (number, isOK) =
            switch bound {
            case .atLeast(let least): (least, value >= least)
            case .exactly(let exact): (exact, value == exact)
            }
        print("ledger.\(name) \(value) \(number) \(isOK ? "ok" : "SHORT")")
        #expect(isOK, "\(name): \(value), not \(number)")
    }

    /// Waits until the holds of killed nodes have expired: a request's time of 5 s, a minute, and a step of 5 s. Requests sweep them.
    private func awaitHolds(_ cluster: TestCluster) async throws {
        let caller = try Caller(cluster)
        for scope in ["q:{acme}", "q:{acme}:t:search"] {
            let end = ContinuousClock.now + .seconds(90)
            var held = (requests: 1, money: 1)
            while held != (0, 0), ContinuousClock.now < end {
                _ = await caller.ask("sweep\nsim: tokens=1", timeout: .seconds(5))
                try await Task.sleep(for: .milliseconds(200))
                held = try await cluster.held(scope)
                if held != (0, 0) { try await Task.sleep(for: .seconds(2)) }
            }
            let name = scope == "q:{acme}" ? "org" : "team"
            tell("\(name)_requests_held", held.requests, .exactly(0))
            tell("\(name)_micro_usd_held", held.money, .exactly(0))
        }
    }

    private func compare(_ load: Load, _ cluster: TestCluster) async throws {
        var records: [String: RawRecord] = [:]
        var (double, money, tokens) = (0, 0, 0)
        try await cluster.eachLedgerRecord { record in
            money += record.money
            if records.updateValue(record, forKey: record.id) != nil { double += 1 }
        }
        // 1: what clients were told.
        var (lost, different) = (0, 0)
        for (id, end) in load.answered {
            guard let record = records[id] else {
                lost += 1
                continue
            }
            let isSame = record.input == Int(end.inputTokens) && record.output == Int(end.outputTokens)
            if !isSame || record.money != Int(end.costMicroUSD) { different += 1 }
        }
        tell("answered_requests_lost", lost, .exactly(0))
        tell("requests_booked_twice", double, .exactly(0))
        tell("answers_booked_differently", different, .exactly(0))
        // 2: what the provider served. Without a record are requests whose node died before it could know how they end: nobody
        // was told of them, and their holds have expired.
        var (served, orphans, orphanTokens, answeredOrphans) = (0, 0, 0, 0)
        for line in load.served(cluster.log("sim")) {
            served += line.tokens
            if let record = records[line.tag] {
                tokens += record.input + record.output
            } else {
                orphans += 1
                orphanTokens += line.tokens
                if load.answered[line.tag] != nil { answeredOrphans += 1 }
            }
        }
        print("# \(orphans) requests died with their nodes: the provider served \(orphanTokens) tokens for them")
        tell("provider_minus_ledger_tokens", served - orphanTokens - tokens, .exactly(0))
        tell("answered_without_record", answeredOrphans, .exactly(0))
        // 3: what budgets say, and what the tool says.
        tell("ledger_minus_spent_micro_usd", money - (try await cluster.spent("q:{acme}")), .exactly(0))
        let verified = try await cluster.tool(["ledger", "verify", "--json"])
        tell("verify_differences", Int(verified.json.elements?.first?["differences"]?.integer ?? -1), .exactly(0))
        if verified.status != 0 { print("# \(try await cluster.tool(["ledger", "verify"]).output)") }
    }
}

/// Requests of all kinds, and the deaths of nodes, at moments that a seed chooses.
private final class Load: Sendable {
    private struct State {
        var asked: Set<String> = []
        var answered: [String: End] = [:]
        var chance: Chance
    }

    private let state: Mutex<State>
    private let caller: Caller
    private let wanted: Int
    private let isOver = Mutex(false)

    var asked: Set<String> { state.withLock { $0.asked } }
    var answered: [String: End] { state.withLock { $0.answered } }

    init(_ cluster: TestCluster, wanted: Int, seed: UInt64) throws {
        state = Mutex(State(chance: Chance(seed: seed)))
        caller = try Caller(cluster, connections: 8)
        self.wanted = wanted
    }

    private func below(_ limit: UInt64) -> Int { state.withLock { Int($0.chance.next() % limit) } }

    /// Asks with 64 at once until all are asked.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<64 {
                group.addTask { while await self.askOne() {} }
            }
        }
        isOver.withLock { $0 = true }
    }

    private func askOne() async -> Bool {
        let next = state.withLock { state -> Identifier128? in
            guard state.asked.count < wanted else { return nil }
            let id = state.chance.identifier()
            state.asked.insert(id.hex)
            return id
        }
        guard let id = next else { return false }
        let tag = id.hex
        let tokens = 1 + below(60)
        let pace = below(4)
        let isStream = below(4) != 0
        let extra = below(5) == 0 ? " cached=3 reasoning=7" : ""
        let words = String(repeating: "word ", count: below(30))
        let prompt = "\(words)\nsim: tokens=\(tokens) pace=\(pace)ms tag=\(tag)\(extra)"
        let outcome = await caller.ask(prompt, timeout: .seconds(5)) {
            $0.idempotencyKey = id
            if !isStream { $0.flags.remove(.stream) }
        }
        if let end = outcome.end {
            state.withLock { $0.answered[tag] = end }
        } else if outcome.refusal != nil {
            // A cluster that has just lost a node says so; asking at once again would only heat.
            try? await Task.sleep(for: .milliseconds(20))
        }
        return true
    }

    /// Kills one node after another with SIGKILL, each at a moment of its own, and starts it again. Returns how many died.
    func killNodes(_ cluster: TestCluster) async throws -> Int {
        var kills = 0
        while !isOver.withLock({ $0 }) {
            try await Task.sleep(for: .milliseconds(200 + below(800)))
            let node = 1 + below(2)
            try await cluster.kill("node-\(node)")
            kills += 1
            try await cluster.launch("node-\(node)")
            try await cluster.waitReady(node)
        }
        return kills
    }

    /// What the provider served: one line a tagged answer.
    func served(_ log: String) -> [(tag: String, tokens: Int)] {
        log.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 5, words[0] == "served", let input = Int(words[2]), let output = Int(words[3]) else {
                return nil
            }
            return (String(words[1]), input + output)
        }
    }
}

extension TestCluster {
    /// Every record of the org acme, a part at a time.
    fileprivate func eachLedgerRecord(_ body: (RawRecord) -> Void) async throws {
        let script = """
            local out, last = {}, ''
            for _, entry in ipairs(redis.call('xrange', KEYS[1], ARGV[1], '+', 'COUNT', 5000)) do
              local hex = {}
              for i = 1, #entry[2][2] do hex[i] = string.format('%02x', string.byte(entry[2][2], i)) end
              out[#out + 1] = table.concat(hex)
              last = entry[1]
            end
            out[#out + 1] = last
            return out
            """
        var from = "-"
        while true {
            let lines = try await redis(["eval", script, "1", "q:{acme}:l", from]).split(separator: "\n")
            for line in lines.dropLast() { if let record = RawRecord(hex: String(line)) { body(record) } }
            guard lines.count > 1, let last = lines.last else { return }
            from = "(" + last
        }
    }
}
