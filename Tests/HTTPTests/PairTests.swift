// Two real machines talk to each other over a pipe that delivers any number of bytes at a time; each seed is a conversation.
import Core
import HTTP
import Testing

@Suite struct PairTests {
    /// One planned exchange.
    struct Plan {
        let request: [UInt8]
        let response: [UInt8]
        let pieces: [Int]
        let isHead: Bool
        let status: Int
    }

    static func plan(_ chance: inout Chance) -> Plan {
        func bytes(_ limit: UInt64) -> [UInt8] {
            (0..<Int(chance.below(limit))).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
        }
        let response = bytes(3_000)
        var pieces: [Int] = []
        // A streamed answer in chunks of any size, or a whole one.
        if chance.below(2) == 0 {
            var left = response.count
            while left > 0 {
                pieces.append(min(left, 1 + Int(chance.below(700))))
                left -= pieces[pieces.count - 1]
            }
            if pieces.isEmpty { pieces = [0] }
        }
        let status = [200, 200, 200, 404, 204][Int(chance.below(5))]
        return Plan(
            request: bytes(2_000), response: status == 204 ? [] : response, pieces: status == 204 ? [] : pieces,
            isHead: chance.below(8) == 0, status: status)
    }

    @Test(arguments: UInt64(1)...60) func `a conversation survives every delivery`(_ seed: UInt64) {
        var chance = Chance(seed: seed)
        let now = Instant(nanoseconds: 0)
        var client = HTTPClientConnection()
        var server = HTTPServerConnection(at: now)
        var up = ByteBuffer()
        var down = ByteBuffer()
        var atServer = ByteBuffer()
        var atClient = ByteBuffer()
        for round in 0..<12 {
            let plan = PairTests.plan(&chance)
            let method = plan.isHead ? "HEAD" : "POST"
            client.send(
                isHead: plan.isHead, head: { $0.append("\(method) /\(round) HTTP/1.1\r\nHost: pair\r\n") },
                body: { $0.append(plan.request) })
            var (seen, answer, status, ended) = ([UInt8](), [UInt8](), 0, false)
            var turns = 0
            while !ended, turns < 100_000 {
                turns += 1
                client.transmit(into: &up, at: now)
                PairTests.deliver(&up, &atServer, &chance)
                while server.wantsInput, let event = server.receive(&atServer, at: now) {
                    switch event {
                    case .request(let head): #expect(head.target == "/\(round)")
                    case .body(let slice): seen += atServer.array(of: slice)
                    case .end: PairTests.answer(plan, &server)
                    case .failed(let failure): Issue.record("seed \(seed): \(failure)")
                    }
                }
                server.transmit(into: &down, at: now)
                PairTests.deliver(&down, &atClient, &chance)
                while let event = client.receive(&atClient, at: now) {
                    switch event {
                    case .head(let head): status = head.status
                    case .body(let slice): answer += atClient.array(of: slice)
                    case .end(let reusable):
                        ended = true
                        #expect(reusable)
                    case .failed(let failure): Issue.record("seed \(seed): \(failure)")
                    }
                }
            }
            #expect(ended, "seed \(seed), round \(round)")
            #expect(seen == plan.request)
            #expect(status == plan.status)
            #expect(answer == (plan.isHead ? [] : plan.response))
            #expect(client.isIdle == true)
        }
    }

    static func answer(_ plan: Plan, _ server: inout HTTPServerConnection) {
        guard !plan.pieces.isEmpty else { return server.respond(status: plan.status, body: plan.response.span.bytes) }
        server.beginResponse(status: plan.status, headers: "Content-Type: application/octet-stream\r\n")
        var start = 0
        for size in plan.pieces {
            server.write(Array(plan.response[start..<(start + size)]).span.bytes)
            start += size
        }
        server.finish()
    }

    /// Moves a few bytes, or many, or all.
    static func deliver(_ source: inout ByteBuffer, _ target: inout ByteBuffer, _ chance: inout Chance) {
        guard source.count > 0 else { return }
        let limits: [UInt64] = [1, 7, 100, 4_000]
        let count = min(source.count, 1 + Int(chance.below(limits[Int(chance.below(4))])))
        target.append(source.bytes(of: source.slice(at: 0, count: count)))
        source.consume(count)
    }
}
