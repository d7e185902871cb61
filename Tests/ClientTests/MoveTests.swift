// Nodes that ask to have connections elsewhere: what a client does about it, and what it never does.
import Client
import Core
import Foundation
import Net
import TestSupport
import Testing
import Wire

@Suite struct MoveTests {
    /// Answers at once, or says a first piece and waits for the gate.
    private static func serve(_ request: ServedRequest, until gate: Gate? = nil) {
        request.accepted()
        request.text("first")
        guard request.head.feature == "long", let gate else { return request.end() }
        func look() {
            guard gate.isOpen else {
                request.connection.channel.lane.schedule(after: .milliseconds(5)) { look() }
                return
            }
            request.text(", last")
            request.end()
        }
        look()
    }

    private static func long() -> ChatRequest {
        var request = ask()
        request.feature = "long"
        return request
    }

    @Test func `the new connection leads elsewhere and is ready before the old one is left, and no request notices`()
        async throws
    {
        let gate = Gate()
        let server = try ScriptedServer(onHello: { connection, _ in connection.accept(node: UInt32(connection.number)) }
        ) { MoveTests.serve($0, until: gate) }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        await withTaskGroup(of: String.self) { group in
            for _ in 0..<20 { group.addTask { await outcome(client, MoveTests.long()) } }
            try? await server.wait("all are there") { $0.requests.count == 20 }
            server.onLive { $0.first?.askToMove() }
            // Asked until the new connection serves.
            for _ in 0..<2_000 where server.seen.goAways == 0 {
                group.addTask { await outcome(client, ask()) }
                try? await Task.sleep(for: .milliseconds(2))
            }
            #expect(await client.readyConnections() == 1)
            group.addTask { await outcome(client, ask()) }
            gate.open()
            let outcomes = await group.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
            #expect(Set(outcomes.keys) == ["first", "first, last"] && outcomes["first, last"] == 20, "\(outcomes)")
        }
        #expect(server.seen.connections.last == 2)
        #expect(server.seen.hellos.count == 2 && server.seen.goAways == 1)
        try await server.wait("the old connection is left") { $0.closed == 1 }
        #expect(await outcome(client, ask()) == "first")
        await client.close()
    }

    @Test func `a connection that leads to the same node is given up, and the old one stays`() async throws {
        let server = try ScriptedServer { MoveTests.serve($0) }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        server.onLive { $0.first?.askToMove() }
        try await server.wait("the second connection is left") { $0.hellos.count == 2 && $0.closed == 1 }
        #expect(await outcome(client, ask()) == "first")
        #expect(server.seen.connections == [1] && server.seen.hellos.count == 2)
        // Asked again, it tries again.
        server.onLive { $0.first?.askToMove() }
        try await server.wait("the third connection is left") { $0.hellos.count == 3 && $0.closed == 2 }
        #expect(await client.readyConnections() == 1)
        await client.close()
    }

    @Test func `a greeting that is refused is given up, and the old connection stays`() async throws {
        let server = try ScriptedServer(
            onHello: { connection, _ in
                if connection.number == 1 { connection.accept() } else { connection.reject(.authFailed) }
            }, onRequest: { MoveTests.serve($0) })
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        server.onLive { $0.first?.askToMove() }
        try await server.wait("the refused one is gone") { $0.hellos.count == 2 && $0.closed == 1 }
        #expect(await outcome(client, ask()) == "first")
        #expect(await client.readyConnections() == 1)
        await client.close()
    }

    @Test func `four connections of which all are asked move one after another`() async throws {
        let open = Counter()
        let server = try ScriptedServer(
            onHello: { connection, _ in
                // The first four lead to node 1, those behind them to nodes of their own.
                let node = connection.number <= 4 ? 1 : UInt32(connection.number)
                if connection.number > 4 { open.add() }
                // Slow greetings would lie beside each other.
                connection.channel.lane.schedule(after: .milliseconds(connection.number > 4 ? 50 : 0)) {
                    if connection.number > 4 { open.remove() }
                    connection.accept(node: node)
                }
            }, onRequest: { MoveTests.serve($0) })
        let client = try SluiceClient(try options(server, connections: 4))
        try await client.ready(4)
        // A node that asks too often is asked no more of.
        for _ in 0..<3 {
            server.onLive { for connection in $0 where connection.number <= 4 { connection.askToMove() } }
        }
        try await server.wait("all four moved", seconds: 30) { $0.hellos.count == 8 && $0.closed == 4 }
        #expect(open.most == 1, "one at a time")
        #expect(await client.readyConnections() == 4)
        for _ in 0..<8 { #expect(await outcome(client, ask()) == "first") }
        #expect(Set(server.seen.connections) == [5, 6, 7, 8])
        #expect(server.seen.hellos.count == 8)
        await client.close()
    }

    @Test func `a connection that is sent away before it moved is replaced once`() async throws {
        let server = try ScriptedServer(onHello: { connection, _ in connection.accept(node: UInt32(connection.number)) }
        ) { MoveTests.serve($0) }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        try await Task.sleep(for: .milliseconds(300))
        server.onLive {
            $0.first?.askToMove()
            $0.first?.goAway()
        }
        try await server.wait("the old one is left") { $0.closed >= 1 }
        // Longer than any pause before a move.
        try await Task.sleep(for: .milliseconds(1_300))
        #expect(await outcome(client, ask()) == "first")
        #expect(server.seen.hellos.count == 2)
        await client.close()
    }

    @Test func `a client that is closed moves no more`() async throws {
        let server = try ScriptedServer { MoveTests.serve($0) }
        let client = try SluiceClient(try options(server))
        try await client.ready(1)
        server.onLive { $0.first?.askToMove() }
        _ = await outcome(client, ask())
        await client.close()
        try await server.wait("all are closed") { $0.closed == $0.hellos.count }
        try await Task.sleep(for: .milliseconds(1_200))
        #expect(server.seen.hellos.count <= 2)
    }
}

/// How many of something there are, and were at most; used on any thread.
private final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0
    private var highest = 0
    var most: Int { lock.withLock { highest } }
    func add() {
        lock.withLock {
            count += 1
            highest = max(highest, count)
        }
    }
    func remove() { lock.withLock { count -= 1 } }
}
