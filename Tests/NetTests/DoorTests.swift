// A door in a crowd: a stranger never costs somebody else a connection, and a balancer says whose connection it passes on.
import Core
import Foundation
import Net
import TestSupport
import Testing

@Suite struct DoorTests {
    typealias Rig = ListenerLimitTests.Rig

    /// A client of 127.0.0.1 that gets in and is answered, or why it is not.
    private func honest(_ rig: Rig, _ authority: TestAuthority) async throws -> Result<[UInt8], ConnectFailure> {
        try await ConnectionTests().exchange(
            rig.caller, rig.listener.address, tls: authority.client(), payload: [1, 2, 3])
    }

    @Test func `silent strangers who come back whenever they are closed cost nobody else a connection`() async throws {
        let authority = try TestAuthority()
        var limits = ListenerLimits()
        (limits.newcomers, limits.newcomersPerSource) = (12, 8)
        (limits.firstByteTime, limits.handshakeTime) = (.seconds(300), .seconds(300))
        let rig = try Rig(limits, tls: try authority.server())
        var strangers: [Stranger] = []
        for round in 0..<10 {
            // From two addresses: together they fill all places, and more.
            for number in 0..<16 {
                strangers.append(try Stranger(from: 2 + UInt32(number % 2), to: rig.listener.address.port))
            }
            #expect(try await honest(rig, authority).get() == [1, 2, 3], "round \(round)")
        }
        try await eventually("all were accepted") { await rig.counts().accepted == 170 }
        let counts = await rig.counts()
        #expect(counts.pending <= 12)
        #expect((counts.refusals[.crowded] ?? 0) + (counts.refusals[.source] ?? 0) == 160 - Int64(counts.pending))
        // The oldest went, the newest are there.
        try await eventually("the oldest are gone") { !strangers[0].stands }
        #expect(strangers[159].stands)
        rig.end()
    }

    @Test func `who comes back whenever it is closed does so ten times a second`() async throws {
        let authority = try TestAuthority()
        var limits = ListenerLimits()
        limits.newcomersPerSource = 4
        (limits.firstByteTime, limits.handshakeTime) = (.seconds(300), .seconds(300))
        let rig = try Rig(limits, tls: try authority.server())
        let start = ContinuousClock.now
        let port = rig.listener.address.port
        var strangers = try (0..<20).map { _ in try Stranger(from: 2, to: port) }
        while ContinuousClock.now - start < .milliseconds(500) {
            for index in strangers.indices where !strangers[index].stands {
                strangers[index] = try Stranger(from: 2, to: port)
            }
            await Task.yield()
        }
        let accepted = await rig.counts().accepted
        let rounds = (ContinuousClock.now - start) / .milliseconds(100)
        // In each tenth of a second those who had to make room come back once.
        #expect(Double(accepted) <= 20 * (rounds + 2))
        #expect(accepted > 20)
        rig.end()
    }

    @Test func `handshakes that one source begins in numbers do not delay those of another`() async throws {
        let authority = try TestAuthority()
        var limits = ListenerLimits()
        limits.handshakesPerSecond = 4
        limits.handshakeTime = .seconds(300)
        let rig = try Rig(limits, tls: try authority.server())
        // Each has the head of a record that never comes.
        let flood = try (0..<60).map { _ in
            try Stranger(from: 2, to: rig.listener.address.port, saying: [0x16, 0x03, 0x01, 0x02, 0x00])
        }
        try await eventually("all came") { await rig.counts().pending == 60 }
        let start = ContinuousClock.now
        #expect(try await honest(rig, authority).get() == [1, 2, 3])
        // In the order of arrival it would have had 56 before it, 14 seconds at this pace.
        #expect(ContinuousClock.now - start < .seconds(10))
        #expect(flood.allSatisfy { $0.stands })
        rig.end()
    }

    @Test func `who has shaken hands and says nothing is a newcomer until its greeting`() async throws {
        let authority = try TestAuthority()
        var limits = ListenerLimits()
        limits.newcomersPerSource = 2
        limits.establishment = .greeting
        let rig = try Rig(limits, tls: try authority.server()) { channel in
            channel.onEvent = { channel, _ in
                channel.greeted()
                channel.wake()
            }
        }
        let greeted = try await call(rig, authority)
        await say([1], on: greeted)
        try await eventually("one is established") {
            let counts = await rig.counts()
            return counts.pending == 0 && counts.open == 1
        }
        let first = try await call(rig, authority)
        try await eventually("the first silent one waits") { await rig.counts().pending == 1 }
        let second = try await call(rig, authority)
        let third = try await call(rig, authority)
        try await eventually("the oldest of them is closed") { await first.stands() == false }
        #expect(await rig.counts().refusals[.source] == 1)
        for caller in [greeted, second, third] { #expect(await caller.stands()) }
        rig.end()
    }

    /// A TLS connection that is kept.
    private func call(_ rig: Rig, _ authority: TestAuthority) async throws -> ListenerLimitTests.Caller {
        let (address, tls) = (rig.listener.address, try authority.client())
        let result: Result<Channel<CollectMachine>, ConnectFailure> = await on(rig.caller) { done in
            Connector.connect(
                on: rig.caller, to: .host("127.0.0.1", port: address.port), tls: tls, serverName: "localhost",
                machine: { _ in CollectMachine() }, then: done)
        }
        let caller = ListenerLimitTests.Caller(channel: OnLane(try result.get()), lane: rig.caller)
        await caller.watch()
        return caller
    }

    private func say(_ bytes: [UInt8], on caller: ListenerLimitTests.Caller) async {
        await on(caller.lane) { done in
            caller.channel.value.machine.toSend.append(bytes)
            caller.channel.value.wake()
            done(())
        }
    }

    @Test func `where all connections are taken, newcomers among them go before somebody is refused`() async throws {
        var limits = ListenerLimits()
        limits.connections = 3
        limits.establishment = .greeting
        limits.firstByteTime = .seconds(300)
        let rig = try Rig(limits) { channel in
            channel.onEvent = { channel, _ in
                channel.greeted()
                channel.wake()
            }
        }
        let port = rig.listener.address.port
        var inside = [try Stranger(from: 1, to: port, saying: [1]), try Stranger(from: 1, to: port, saying: [1])]
        let silent = try Stranger(from: 2, to: port)
        try await eventually("three are there") {
            let counts = await rig.counts()
            return counts.open == 3 && counts.pending == 1
        }
        inside.append(try Stranger(from: 1, to: port, saying: [1]))
        try await eventually("the silent one made room") { !silent.stands }
        try await eventually("three are established") { await rig.counts().pending == 0 }
        let late = try Stranger(from: 1, to: port, saying: [1])
        try await eventually("there is no room left") { !late.stands }
        #expect(await rig.counts().refusals[.connections] == 1)
        for stranger in inside { #expect(stranger.stands) }
        rig.end()
    }

    @Test func `an admin port always has a place: who asked longest ago goes, and who never asked before`() async throws
    {
        var limits = ListenerLimits.admin
        (limits.connections, limits.newcomers, limits.newcomersPerSource) = (4, 4, 4)
        limits.firstByteTime = .seconds(300)
        let rig = try Rig(limits) { channel in
            channel.onEvent = { channel, _ in
                channel.greeted()
                channel.wake()
            }
        }
        let port = rig.listener.address.port
        func asks(_ stranger: Stranger) async throws {
            stranger.say([7])
            try await eventually("it is answered") { stranger.hear() == [7] }
        }
        let (first, second) = (try Stranger(from: 1, to: port), try Stranger(from: 1, to: port))
        try await asks(first)
        try await asks(second)
        try await asks(first)
        let idle = [try Stranger(from: 1, to: port), try Stranger(from: 1, to: port)]
        try await eventually("four are there") { await rig.counts().open == 4 }
        let probe = try Stranger(from: 1, to: port)
        try await asks(probe)
        try await eventually("one that never asked made room") { !idle[0].stands }
        let more = try Stranger(from: 1, to: port)
        try await asks(more)
        try await eventually("so did the other") { !idle[1].stands }
        let last = try Stranger(from: 1, to: port)
        try await asks(last)
        try await eventually("then the one that asked longest ago") { !second.stands }
        for stranger in [first, probe, more, last] { #expect(stranger.stands) }
        rig.end()
    }

    // MARK: - Behind a balancer

    /// A listener that takes 127.0.0.3 for a balancer, and echoes; with whom it believes to speak.
    private func behindBalancer(_ seen: SeenPeers, perSource: Int = 64) throws -> Rig {
        var limits = ListenerLimits()
        limits.isBalancer = { $0.host == "127.0.0.3" }
        limits.newcomersPerSource = perSource
        limits.establishment = .greeting
        return try Rig(limits) { channel in
            seen.add(channel.peer.address)
            channel.onEvent = { channel, _ in
                channel.greeted()
                channel.wake()
            }
        }
    }

    /// Addresses that a server saw.
    private final class SeenPeers: @unchecked Sendable {
        private let lock = NSLock()
        private var list: [String] = []
        func add(_ address: SocketAddress) { lock.withLock { list.append("\(address)") } }
        var all: [String] { lock.withLock { list } }
    }

    @Test func `a balancer says whose connection it is, in every split`() async throws {
        let seen = SeenPeers()
        let rig = try behindBalancer(seen)
        let header = ProxyHeaderTests.header(0x21, 0x11, ProxyHeaderTests.four)
        for cut in 1...header.count {
            let balancer = try Stranger(from: 3, to: rig.listener.address.port, saying: Array(header[..<cut]))
            await Task.yield()
            balancer.say(Array(header[cut...]) + Array("hello".utf8))
            var heard: [UInt8] = []
            try await eventually("an answer") {
                heard += balancer.hear() ?? []
                return heard == Array("hello".utf8)
            }
        }
        #expect(seen.all == [String](repeating: "192.0.2.7:50000", count: header.count))
        let itself = try Stranger(
            from: 3, to: rig.listener.address.port, saying: ProxyHeaderTests.header(0x20, 0, []) + [9])
        try await eventually("an answer for the balancer itself") { itself.hear() == [9] }
        #expect(seen.all.last?.hasPrefix("127.0.0.3:") == true)
        rig.end()
    }

    @Test func `a balancer must name its client, and nobody else can name one`() async throws {
        let seen = SeenPeers()
        let rig = try behindBalancer(seen)
        let port = rig.listener.address.port
        let balancer = try Stranger(from: 3, to: port, saying: Array("hello, I am the client myself".utf8))
        try await eventually("it is closed") { !balancer.stands }
        #expect(await rig.counts().refusals[.proxyHeader] == 1)
        let header = ProxyHeaderTests.header(0x21, 0x11, ProxyHeaderTests.four)
        let liar = try Stranger(from: 2, to: port, saying: header)
        try await eventually("its header is what it says") { liar.hear() == header }
        #expect(seen.all.count == 1 && seen.all[0].hasPrefix("127.0.0.2:"))
        rig.end()
    }

    @Test func `limits per source hold for clients behind a balancer, each on its own`() async throws {
        let rig = try behindBalancer(SeenPeers(), perSource: 2)
        func client(_ last: UInt8) throws -> Stranger {
            var addresses = ProxyHeaderTests.four
            addresses[3] = last
            return try Stranger(
                from: 3, to: rig.listener.address.port, saying: ProxyHeaderTests.header(0x21, 0x11, addresses))
        }
        let honest = try client(1)
        let flood = try (0..<20).map { _ in try client(2) }
        try await eventually("the flood has two places") { await rig.counts().refusals[.source] == 18 }
        honest.say([5])
        try await eventually("the other client is served") { honest.hear() == [5] }
        #expect(flood[18].stands && flood[19].stands)
        rig.end()
    }

    @Test func `a balancer whose header does not come is not waited for`() async throws {
        let seen = SeenPeers()
        var limits = ListenerLimits()
        limits.isBalancer = { _ in true }
        limits.firstByteTime = .milliseconds(200)
        let rig = try Rig(limits) { seen.add($0.peer.address) }
        let half = try Stranger(from: 3, to: rig.listener.address.port, saying: Array(ProxyHeaderTests.signature[..<5]))
        try await eventually("it is closed") { !half.stands }
        #expect(await rig.counts().refusals[.silent] == 1)
        #expect(seen.all.isEmpty)
        rig.end()
    }
}
