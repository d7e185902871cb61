// Names: one lookup at a time, a memory that outlives failures, and addresses that are raced when the first does not answer.
import Core
import Foundation
import TestSupport
import Testing

@testable import Net

/// A resolver of the system that a test plays: says what it is told to, counts, and hangs on demand.
private final class FakeNames: @unchecked Sendable {
    private let lock = NSLock()
    private var asked: [String] = []
    private var answers: [String: [SocketAddress]] = [:]
    private let gate = DispatchSemaphore(value: 0)
    private var hangs = false

    var lookups: [String] { lock.withLock { asked } }
    func set(_ name: String, _ addresses: [SocketAddress]) { lock.withLock { answers[name] = addresses } }
    func hang() { lock.withLock { hangs = true } }
    func release(_ count: Int) {
        lock.withLock { hangs = false }
        for _ in 0..<count { gate.signal() }
    }

    func ask(_ name: String) -> [SocketAddress] {
        let waits = lock.withLock {
            asked.append(name)
            return hangs
        }
        if waits { gate.wait() }
        return lock.withLock { answers[name] ?? [] }
    }

    func resolver(_ change: (inout Resolver.Limits) -> Void = { _ in }) -> Resolver {
        var limits = Resolver.Limits()
        change(&limits)
        return Resolver(limits) { self.ask($0) }
    }
}

/// A port that takes no more connections: its queue is full, and the kernel drops what else arrives, as a dead host does.
private final class Blackhole {
    private let listener: Int32
    private var fillers: [Int32] = []

    init(_ address: SocketAddress) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let bound = address.withKernelForm { bind(listener, $0, $1) }
        guard bound == 0, listen(listener, 0) == 0 else { throw TestFailure("no blackhole at \(address)") }
        for _ in 0..<64 {
            let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            fillers.append(filler)
            _ = address.withKernelForm { connect(filler, $0, $1) }
            var waiting = pollfd(fd: filler, events: Int16(POLLOUT), revents: 0)
            if poll(&waiting, 1, 300) == 0 { return }
        }
        throw TestFailure("the port at \(address) never filled")
    }

    deinit { for descriptor in fillers + [listener] { close(descriptor) } }
}

@Suite(.serialized) struct ResolverTests {
    private let lane: Lane
    private let names = FakeNames()
    private let a = SocketAddress.ipv4(0x7F00_4D02, port: 0)
    private let b = SocketAddress.ipv4(0x7F00_4D03, port: 0)

    init() throws { lane = try Lane.start(count: 1, name: "names")[0] }

    private func resolve(_ resolver: Resolver, _ name: String = "db.example") async -> [SocketAddress] {
        await on(lane) { done in resolver.resolve(.host(name, port: 80), on: lane) { done($0) } }
    }

    @Test func `a name is asked for once, whoever waits`() async throws {
        names.set("db.example", [a])
        names.hang()
        let resolver = names.resolver()
        let answers = await withTaskGroup(of: [SocketAddress].self) { group in
            for _ in 0..<50 { group.addTask { await resolve(resolver) } }
            group.addTask {
                try? await eventually("a lookup") { !names.lookups.isEmpty }
                names.release(1)
                return [a.with(port: 80)]
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers == Array(repeating: [a.with(port: 80)], count: 51))
        #expect(names.lookups == ["db.example"])
        lane.stop()
    }

    @Test func `after a failure a name has its rest`() async throws {
        let resolver = names.resolver { $0.pause = .seconds(600) }
        for _ in 0..<20 { #expect(await resolve(resolver) == []) }
        #expect(names.lookups.count == 1)
        let impatient = names.resolver { $0.pause = .milliseconds(50) }
        #expect(await resolve(impatient) == [])
        names.set("db.example", [a])
        try await eventually("another lookup") { await resolve(impatient) == [a.with(port: 80)] }
        #expect(names.lookups.count == 3)
        lane.stop()
    }

    @Test func `addresses of before serve while a name cannot be resolved, but not for ever`() async throws {
        names.set("db.example", [a])
        let resolver = names.resolver {
            $0.fresh = .zero
            $0.pause = .zero
            $0.stale = .seconds(2)
        }
        #expect(await resolve(resolver) == [a.with(port: 80)])
        names.set("db.example", [])
        #expect(await resolve(resolver) == [a.with(port: 80)])
        #expect(names.lookups.count == 2)
        try await eventually("they are forgotten") { await resolve(resolver) == [] }
        lane.stop()
    }

    @Test func `addresses of before serve while nobody answers the lookup`() async throws {
        names.set("db.example", [a])
        let resolver = names.resolver { $0.pause = .zero }
        #expect(await resolve(resolver) == [a.with(port: 80)])
        names.hang()
        resolver.distrust(.host("db.example", port: 80))
        #expect(await resolve(resolver) == [a.with(port: 80)])
        #expect(names.lookups.count == 2)
        names.release(1)
        lane.stop()
    }

    @Test func `lookups and names that wait for one are bounded`() async throws {
        names.hang()
        let resolver = names.resolver {
            $0.lookups = 2
            $0.queue = 3
        }
        for number in 0..<5 {
            lane.execute { resolver.resolve(.host("slow-\(number).example", port: 80), on: lane) { _ in } }
        }
        try await eventually("two lookups") { names.lookups.count == 2 }
        #expect(await resolve(resolver, "one-too-many.example") == [])
        #expect(names.lookups.count == 2)
        names.release(5)
        try await eventually("five lookups") { names.lookups.count == 5 }
        #expect(!names.lookups.contains("one-too-many.example"))
        lane.stop()
    }

    @Test func `the system finds this machine`() async {
        let found = await on(lane) { done in Resolver.shared.resolve(.host("localhost", port: 9), on: lane) { done($0) }
        }
        #expect(found.contains(.ipv4(0x7F00_0001, port: 9)))
        lane.stop()
    }

    @Test func `families of addresses are tried in turn`() {
        let six = (1...3).map { SocketAddress.ipv6([UInt8](repeating: 0, count: 15) + [$0], port: 1) }
        let four = (1...2).map { SocketAddress.ipv4($0, port: 1) }
        #expect(Connector.order(six + four) == [six[0], four[0], six[1], four[1], six[2]])
        #expect(Connector.order(four + six) == [four[0], six[0], four[1], six[1], six[2]])
        #expect(Connector.order([]) == [])
        #expect(Connector.order((0..<99).map { .ipv4($0, port: 1) }).count == Connector.addressLimit)
    }

    // MARK: - Real sockets

    private func echo(at host: UInt32, tls: TLSContext? = nil) throws -> Listener<EchoMachine> {
        try Listener(
            lane: lane, address: .ipv4(host, port: 0), tls: tls, machine: { _ in EchoMachine() },
            onAccept: { channel in channel.onEvent = { channel, _ in channel.wake() } })
    }

    /// Where the connection leads, or why there is none, and how long that took.
    private func connect(
        _ resolver: Resolver, port: UInt16, tls: TLSContext? = nil, timeout: Duration = .seconds(20)
    ) async -> (Result<SocketAddress, ConnectFailure>, Duration) {
        let clock = ContinuousClock()
        let start = clock.now
        let result: Result<SocketAddress, ConnectFailure> = await on(lane) { done in
            Connector.connect(
                on: lane, to: .host("db.example", port: port), tls: tls, serverName: tls == nil ? nil : "localhost",
                timeout: timeout, resolver: resolver, machine: { _ in CollectMachine() }
            ) { (result: Result<Channel<CollectMachine>, ConnectFailure>) in
                done(
                    result.map { channel in
                        let address = channel.peer.address
                        channel.close()
                        return address
                    })
            }
        }
        return (result, clock.now - start)
    }

    @Test func `an address that does not answer costs a quarter of a second, not the connection`() async throws {
        let good = try echo(at: 0x7F00_4D03)
        let port = good.address.port
        let hole = try Blackhole(a.with(port: port))
        names.set("db.example", [a, b])
        let (result, time) = await connect(names.resolver(), port: port)
        #expect(result == .success(b.with(port: port)))
        #expect(time >= Connector.stagger && time < .seconds(10), "\(time)")
        withExtendedLifetime(hole) {}
        lane.stop()
    }

    @Test func `an address that refuses costs nothing, and one alone that does not answer its time`() async throws {
        let good = try echo(at: 0x7F00_4D03)
        let port = good.address.port
        names.set("db.example", [.ipv4(0x7F00_4D04, port: 0), a, b])
        let (result, _) = await connect(names.resolver(), port: port)
        #expect(result == .success(b.with(port: port)))
        let hole = try Blackhole(a.with(port: port))
        names.set("db.example", [a])
        let (none, time) = await connect(names.resolver(), port: port, timeout: .milliseconds(600))
        #expect(none == .failure(.timeout) && time >= .milliseconds(600))
        withExtendedLifetime(hole) {}
        lane.stop()
    }

    @Test func `a server that accepts and says nothing is passed by, too`() async throws {
        let authority = try TestAuthority()
        let good = try echo(at: 0x7F00_4D03, tls: authority.server())
        let port = good.address.port
        // The kernel takes the connection, and nobody speaks TLS.
        let silent = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(silent) }
        #expect(a.with(port: port).withKernelForm { bind(silent, $0, $1) } == 0 && listen(silent, 8) == 0)
        names.set("db.example", [a, b])
        let (result, time) = await connect(names.resolver(), port: port, tls: try authority.client())
        #expect(result == .success(b.with(port: port)))
        #expect(time >= Connector.stagger * 4, "a handshake under way has a second: \(time)")
        lane.stop()
    }

    /// A name that moved from a server at `a`, to which one connection was made, to one at `b`.
    private func movedName() async throws -> (new: Listener<EchoMachine>, old: Listener<EchoMachine>, Resolver) {
        let new = try echo(at: 0x7F00_4D03)
        let port = new.address.port
        let old = try Listener(
            lane: lane, address: a.with(port: port), tls: nil, machine: { _ in EchoMachine() }, onAccept: { _ in })
        let resolver = names.resolver { $0.pause = .zero }
        names.set("db.example", [a])
        #expect(await connect(resolver, port: port).0 == .success(a.with(port: port)))
        names.set("db.example", [b])
        return (new, old, resolver)
    }

    @Test("h7: a name that moved is looked up again when its old address fails")
    func moved() async throws {
        let (new, old, resolver) = try await movedName()
        let port = new.address.port
        // The old server still answers, and what is known is half a minute old at most.
        #expect(await connect(resolver, port: port).0 == .success(a.with(port: port)))
        _ = await on(lane) { done in
            old.close()
            done(true)
        }
        guard case .failure(.refused) = await connect(resolver, port: port).0 else {
            Issue.record("nobody listens there")
            return
        }
        #expect(await connect(resolver, port: port).0 == .success(b.with(port: port)))
        lane.stop()
    }

    @Test("h7: what replaces a broken connection asks again, though the old address still answers")
    func reconnects() async throws {
        let (new, old, resolver) = try await movedName()
        let port = new.address.port
        resolver.distrust(.host("db.example", port: port))
        #expect(await connect(resolver, port: port).0 == .success(b.with(port: port)))
        withExtendedLifetime(old) {}
        lane.stop()
    }

    @Test("h7: a pool leaves a connection that is too old for another use")
    func drains() async throws {
        let server = try echo(at: 0x7F00_0001)
        let counts: [Int64] = await on(lane) { done in
            var limits = PoolLimits()
            limits.age = .milliseconds(50)
            let pool = ConnectionPool<CollectMachine>(
                lane: lane, endpoint: .host("127.0.0.1", port: server.address.port), tls: nil, limits: limits,
                machine: { _ in CollectMachine() })
            pool.lease { first in
                guard case .success(let channel) = first else { return done([]) }
                pool.giveBack(channel)
                pool.lease { second in
                    guard case .success(let channel) = second else { return done([]) }
                    lane.schedule(after: .milliseconds(60)) {
                        pool.giveBack(channel)
                        pool.lease { _ in done([pool.made, pool.reused, Int64(pool.idleCount)]) }
                    }
                }
            }
        }
        #expect(counts == [2, 1, 0])
        lane.stop()
    }
}
