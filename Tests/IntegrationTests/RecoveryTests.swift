// A provider that works again is used again: how soon, whoever asks, and whatever became of the request that found out.
import Core
import Foundation
import Testing
import Wire

@Suite struct RecoveryTests {
    /// Each round has a target of its own: a second failure of one would wait longer.
    private static let targets = 5

    private static func sections(_ base: Int) -> String {
        """
        [provider broken]
        kind = openai
        base-url = http://127.0.0.1:\(base)/v1
        allow-plain-http = yes
        connect-timeout = 500ms

        """
            + (0..<targets).map {
                "[route r\($0)]\ntarget = broken/model-\($0)\nattempts = 1\n"
            }.joined(separator: "\n")
    }

    /// How a target's record in Redis stands: 0 closed, 1 open, 2 half-open; and until when it is open, by the tests' clock.
    private static func record(
        _ cluster: TestCluster, _ place: Int
    ) async throws -> (state: Int, opens: ContinuousClock.Instant) {
        let text = try await cluster.redis([
            "eval",
            """
            local record = redis.call('GET', KEYS[1])
            if not record then return '0 0' end
            local state, _, opens = struct.unpack('<ddd', record)
            local time = redis.call('TIME')
            return string.format('%.0f %.0f', state, opens - time[1] * 1000000 - time[2])
            """, "1", "brk:{breakers}:broken:model-\(place)",
        ])
        let words = text.split(whereSeparator: \.isWhitespace).compactMap { Int64($0) }
        guard words.count == 2 else { throw ClusterFailure(description: "no record: \(text)") }
        return (Int(words[0]), ContinuousClock.now + .microseconds(words[1]))
    }

    /// Lets the provider fail through both nodes until the target's breaker is open; when it lets a probe through.
    private static func open(
        _ cluster: TestCluster, _ callers: [Caller], _ place: Int
    ) async throws -> ContinuousClock.Instant {
        var found: (state: Int, opens: ContinuousClock.Instant) = (0, .now)
        try await cluster.wait("the breaker of model-\(place)", seconds: 60) {
            for _ in 0..<5 {
                for caller in callers { _ = await caller.ask("hi") { $0.model = "r\(place)" } }
            }
            found = try await record(cluster, place)
            return found.state == 1
        }
        return found.opens
    }

    /// Asks in turn, as often as clients do, until an answer comes; how long after `opens` that was.
    private static func served(
        _ callers: [Caller], _ place: Int, after opens: ContinuousClock.Instant
    ) async throws -> Duration {
        for turn in 0..<100 {
            let next = ContinuousClock.now + .milliseconds(500)
            let outcome = await callers[turn % callers.count].ask("hi") { $0.model = "r\(place)" }
            if outcome.end != nil { return outcome.endedAt - opens }
            try await Task.sleep(until: next, clock: .continuous)
        }
        return .seconds(100)
    }

    /// A client of each node.
    private static func callers(_ cluster: TestCluster) async throws -> [Caller] {
        let callers = [try Caller(cluster, node: 1), try Caller(cluster, node: 2)]
        for caller in callers { try await caller.connected() }
        return callers
    }

    /// Few rounds where all tests run; twenty, or as many as are asked for, in the proof.
    private static var rounds: Int {
        let environment = ProcessInfo.processInfo.environment
        if let asked = environment["SLUICE_RECOVERY_ROUNDS"].flatMap({ Int($0) }) { return asked }
        return environment["SLUICE_PROVE_ANSWERS"] == nil ? targets : 20
    }

    @Test("a recovered provider serves again within a second of its breaker's time, whichever node has traffic")
    func recovery() async throws {
        var (good, all) = (0, 0)
        while all < Self.rounds {
            try await withSecondProvider(Self.sections) { cluster, set in
                let callers = try await Self.callers(cluster)
                try await set("error=500")
                var opens: [ContinuousClock.Instant] = []
                for place in 0..<Self.targets { opens.append(try await Self.open(cluster, callers, place)) }
                try await set("error=none")
                // Both nodes have seen that they may not ask; then one of them, or both, have all the traffic.
                let late = try await withThrowingTaskGroup(of: Duration.self) { group in
                    for (place, opens) in opens.enumerated() {
                        let asking = [[callers[0]], [callers[1]], callers][(place + all) % 3]
                        group.addTask { try await Self.served(asking, place, after: opens) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                for time in late {
                    all += 1
                    if time <= .seconds(1) { good += 1 } else { print("served \(time) after its breaker's time") }
                }
            }
        }
        print("answers.recovery_rounds_ok \(good) \(all) \(good == all ? "ok" : "SHORT")")
        #expect(good == all)
    }

    @Test("d1: a probe that ends by its client's deadline, by a 400, or with its node leaves the next one free")
    func aProbeIsFreed() async throws {
        try await withSecondProvider(Self.sections) { cluster, set in
            let callers = try await Self.callers(cluster)
            try await set("error=500")
            var opens: [ContinuousClock.Instant] = []
            for place in 0..<3 { opens.append(try await Self.open(cluster, callers, place)) }
            try await Task.sleep(until: opens.max() ?? .now, clock: .continuous)

            // A provider that hangs, and a client that does not wait so long.
            try await set("error=hang")
            let hung = await callers[0].ask("hi", timeout: .milliseconds(300)) { $0.model = "r0" }
            #expect(hung.refusal?.code == .deadline, "it was sent: \(hung.result)")
            // A node that dies while its probe is under way.
            async let lost = callers[0].ask("hi", timeout: .seconds(30)) { $0.model = "r1" }
            try await cluster.wait("the probe of model-1") { try await Self.record(cluster, 1).state == 2 }
            try await cluster.kill("node-1")
            let died = ContinuousClock.now
            #expect(await lost.end == nil)
            try await set("error=400")
            let refused = await callers[1].ask("hi") { $0.model = "r2" }
            #expect(refused.refusal?.code == .upstreamRejected, "\(refused.result)")

            try await set("error=none")
            // Another node hears of it with its next look, a quarter of a second later.
            for place in [0, 2] {
                let late = try await Self.served([callers[1]], place, after: .now)
                #expect(late < .seconds(1), "the probe of model-\(place) is free: \(late)")
            }
            // The lease of the dead node, 3 s, and half a second between two requests.
            let late = try await Self.served([callers[1]], 1, after: died)
            #expect(late < .seconds(4), "\(late)")
        }
    }
}
