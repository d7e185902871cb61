// Everything at once, from a seed: whatever a server does, each request has one outcome, and none is answered twice.
import Client
import Core
import Foundation
import Net
import Synchronization
import TestSupport
import Testing
import Wire

@Suite struct ChaosTests {
    /// Keys that ran, as the cluster's reservations remember them.
    private final class Ran: Sendable {
        private let keys = Mutex<Set<Identifier128>>([])
        /// False when the key ran before.
        func begin(_ key: Identifier128) -> Bool { keys.withLock { $0.insert(key).inserted } }
        var count: Int { keys.withLock { $0.count } }
    }

    /// The server's side of the chance, on its lane.
    private final class Dice: @unchecked Sendable {
        var chance: Chance
        init(_ seed: UInt64) { chance = Chance(seed: seed) }
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func everyRequestHasOneOutcome(_ seed: UInt64) async throws {
        let ran = Ran()
        let dice = Dice(seed)
        let codes = ErrorCode.allCases.filter { $0.scope == .stream && $0 != .unrecognized }
        let server = try ScriptedServer { request in
            func end() {
                guard request.connection.channel.isOpen, request.isOpen else { return }
                guard ran.begin(request.head.idempotencyKey) else { return request.fail(StreamError(code: .duplicate)) }
                request.text("done")
                request.end()
            }
            switch dice.chance.below(100) {
            case 0..<60: end()
            case 60..<80:
                request.accepted()
                let pause = Duration.milliseconds(Int64(dice.chance.below(30)))
                request.connection.channel.lane.schedule(after: pause) { end() }
            case 80..<95: request.fail(StreamError(code: codes[Int(dice.chance.below(UInt64(codes.count)))]))
            case 95..<97: break
            case 97: request.connection.goAway()
            case 98: request.cut()
            default:
                request.accepted()
                request.cut()
            }
        }
        let client = try SluiceClient(try options(server, connections: 4))
        try await client.ready(4)
        let outcomes = await withTaskGroup(of: [String].self) { group in
            for caller in 0..<30 {
                group.addTask {
                    var outcomes: [String] = []
                    for number in 0..<20 {
                        // Some callers lose interest.
                        let task = Task { await outcome(client, ask(deadline: .seconds(2))) }
                        if (caller + number) % 20 == 0 { task.cancel() }
                        outcomes.append(await task.value)
                    }
                    return outcomes
                }
            }
            return await group.reduce(into: [String]()) { $0 += $1 }
        }
        let answered = outcomes.count { $0 == "done" }
        #expect(outcomes.count == 600)
        #expect(answered <= ran.count, "no answer without a run")
        #expect(answered > 300, "seed \(seed): \(answered) of \(ran.count), \(Set(outcomes))")
        await client.close()
    }
}
