// The proof behind `Scripts/prove redis-cluster` and `redis-sentinel`: a primary is killed under load; who notices, how long, what is lost.
import Core
import Foundation
import Synchronization
import Testing
import Wire

/// Runs when SLUICE_PROVE_REDIS names the shape: `cluster` or `sentinel`.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["SLUICE_PROVE_REDIS"] != nil))
struct RedisProof {
    /// What `Scripts/lib/redis-shape` sets: ms until a server counts as failed.
    private static let nodeTimeout = 2000
    /// The budget of the org whose primary dies, in millionths of a dollar: it is used up some seconds after the failover.
    private static let budget = 50_000

    private let kind: TestCluster.RedisKind
    private let name: String

    init() throws {
        let word = ProcessInfo.processInfo.environment["SLUICE_PROVE_REDIS"] ?? ""
        kind = try #require(TestCluster.RedisKind(rawValue: word), "cluster or sentinel, not '\(word)'")
        name = "redis-\(word)"
    }

    /// The longest time without answers that the guide states (Docs/operating.md).
    private var longestOutage: Int { kind == .cluster ? Self.nodeTimeout * 3 / 2 + 3000 : Self.nodeTimeout + 5000 }

    @Test func `a primary killed under load costs its own orgs seconds, others nothing, and no limit its meaning`()
        async throws
    {
        let org = "limit = $0.05 / month\nlimit = 64 concurrent"
        try await withCluster(RedisShapeTests.orgSections, org: org, redis: kind) { cluster in
            let victim = try OrgLoad(cluster, org: "acme", key: cluster.key)
            let others = try await neighbours(cluster)
            let all = [victim] + others
            let spentBefore = try await cluster.spent("q:{acme}")
            for load in all { load.begin() }
            try await Task.sleep(for: .seconds(3))
            try await cluster.killRedis(cluster.redisOwner(of: "{acme}"))
            let died = ContinuousClock.now
            try await cluster.wait("answers for the killed primary's org", seconds: 60) {
                victim.answers.contains { $0.at > died } && victim.refusals.contains { $0 > died }
            }
            try await Task.sleep(for: .seconds(3))
            for load in others { await load.end() }
            try await cluster.wait("the budget's end", seconds: 120) { victim.isExhausted }
            await victim.end()
            print(
                "# \(victim.answers.count) answers and \(victim.refusals.count) refusals for the org of the killed primary, "
            )
            print("# \(others.map(\.answers.count)) answers for orgs on other primaries")
            tellOutage(victim, others, died)
            try await tellAccounts(victim, spentBefore, cluster)
        }
    }

    /// One org on each other primary.
    private func neighbours(_ cluster: TestCluster) async throws -> [OrgLoad] {
        guard kind == .cluster else { return [] }
        var taken = [try await cluster.redisOwner(of: "{acme}")]
        var loads: [OrgLoad] = []
        for org in (1...6).map({ "o\($0)" }) {
            let owner = try await cluster.redisOwner(of: "{\(org)}")
            guard !taken.contains(owner) else { continue }
            taken.append(owner)
            let key = try await cluster.createKey(org: org, team: "t")
            let caller = try Caller(cluster, key: key)
            try await cluster.wait("the key of \(org)") { await caller.ask("hi").end != nil }
            loads.append(try OrgLoad(cluster, org: org, key: key))
        }
        try #require(loads.count == 2)
        return loads
    }

    private func tellOutage(_ victim: OrgLoad, _ others: [OrgLoad], _ died: ContinuousClock.Instant) {
        let lastRefusal = victim.refusals.max() ?? died
        // Requests that were admitted before still end; then come refusals, and then the next answer.
        tell("time_without_answers_ms", milliseconds(victim.longestGap(after: died - .seconds(1))), longestOutage)
        tell("last_refusal_after_ms", milliseconds(lastRefusal - died), longestOutage)
        tell("requests_failed_otherwise", victim.otherFailures, 0)
        guard kind == .cluster else { return }
        tell("other_orgs_failed", others.reduce(0) { $0 + $1.refusals.count + $1.otherFailures }, 0)
        tell("other_orgs_longest_gap_ms", others.map { milliseconds($0.longestGap(after: died)) }.max() ?? 0, 1000)
    }

    private func tellAccounts(_ victim: OrgLoad, _ spentBefore: Int, _ cluster: TestCluster) async throws {
        try await cluster.wait("all settlements", seconds: 60) {
            for node in [1, 2] where try await cluster.metric("sluice_settlements_waiting", node: node) > 0 {
                return false
            }
            return true
        }
        var given = 0
        for node in [1, 2] { given += Int(try await cluster.metric("sluice_settlements_lost_total", node: node)) }
        tell("settlements_given_up", given, 0)
        let told = victim.answers.reduce(0) { $0 + $1.money }
        let spent = try await cluster.spent("q:{acme}") - spentBefore
        print("# clients were told of \(told) micro-USD, booked are \(spent), the budget is \(Self.budget)")
        // What the replica had not received yet: of the work of a month, at most a hundredth of the limit.
        tell("settlements_lost_micro_usd", max(0, told - spent), Self.budget / 100)
        tell("budget_overshoot_micro_usd", max(0, spentBefore + told - Self.budget), Self.budget / 100)
        let verified = try await cluster.tool(["ledger", "verify", "--org", "acme", "--json"])
        tell("verify_differences", Int(verified.json.elements?.first?["differences"]?.integer ?? -1), 0)
        if verified.status != 0 { print("# \(try await cluster.tool(["ledger", "verify", "--org", "acme"]).output)") }
    }

    private func tell(_ what: String, _ value: Int, _ most: Int) {
        let isOK = (0...most).contains(value)
        print("\(name).\(what) \(value) \(most) \(isOK ? "ok" : "SHORT")")
        #expect(isOK, "\(what): \(value), not at most \(most)")
    }

    private func milliseconds(_ time: Duration) -> Int { Int(time.milliseconds) }
}

/// Eight callers of one org that ask again and again.
private final class OrgLoad: Sendable {
    struct Answer { let at: ContinuousClock.Instant, money: Int }

    private struct State {
        var answers: [Answer] = []
        var refusals: [ContinuousClock.Instant] = []
        var otherFailures = 0
        var exhausted = 0
        var isOver = false
        var task: Task<Void, Never>?
    }

    private let state = Mutex(State())
    private let caller: Caller
    private let org: String

    var answers: [Answer] { state.withLock { $0.answers } }
    /// Moments at which requests were refused because Redis could not be used.
    var refusals: [ContinuousClock.Instant] { state.withLock { $0.refusals } }
    var otherFailures: Int { state.withLock { $0.otherFailures } }
    var isExhausted: Bool { state.withLock { $0.exhausted >= 20 } }

    init(_ cluster: TestCluster, org: String, key: String) throws {
        caller = try Caller(cluster, key: key, connections: 4)
        self.org = org
    }

    func begin() {
        let task = Task {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<8 { group.addTask { while await self.askOne() {} } }
            }
        }
        state.withLock { $0.task = task }
    }

    func end() async {
        let task = state.withLock { state in
            state.isOver = true
            return state.task
        }
        await task?.value
    }

    private func askOne() async -> Bool {
        if state.withLock({ $0.isOver }) { return false }
        let outcome = await caller.ask("count\nsim: tokens=20 pace=1ms", timeout: .seconds(5)) {
            $0.maxOutputTokens = 20
        }
        state.withLock { state in
            if let end = outcome.end {
                state.answers.append(Answer(at: outcome.endedAt, money: Int(end.costMicroUSD)))
                state.exhausted = 0
            } else if outcome.refusal?.code == .stateUnavailable {
                state.refusals.append(outcome.endedAt)
            } else if outcome.refusal?.code == .budgetExhausted {
                state.exhausted += 1
            } else {
                state.otherFailures += 1
                print("# \(org): \(outcome.result)")
            }
        }
        // Clients that are refused come again soon, but not at once.
        if outcome.end == nil { try? await Task.sleep(for: .milliseconds(20)) }
        return true
    }

    /// The longest time between two answers.
    func longestGap(after start: ContinuousClock.Instant) -> Duration {
        let times = answers.map(\.at).filter { $0 >= start }.sorted()
        return zip(times, times.dropFirst()).map { $1 - $0 }.max() ?? .seconds(600)
    }
}
