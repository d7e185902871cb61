// The store on a real lane: Unix socket, TCP and TLS to a real Redis.

import Core
import Foundation
import Net
import Policy
import Synchronization
import TestSupport
import Testing

@testable import Store

@Suite(.serialized) struct LaneTests {
    /// Runs `body` on a lane of its own and waits until it calls `done`.
    private static func onLane(
        seconds: Double = 10, _ body: @escaping @Sendable (Lane, @escaping @Sendable (String) -> Void) -> Void
    ) throws -> String {
        let lane = try #require(try Lane.start(count: 1, name: "store").first)
        let answer = Mutex<String?>(nil)
        let finished = DispatchSemaphore(value: 0)
        lane.execute {
            body(lane) { text in
                let isFirst = answer.withLock { known in
                    defer { known = known ?? text }
                    return known == nil
                }
                if isFirst { finished.signal() }
            }
        }
        let result = finished.wait(timeout: .now() + seconds)
        lane.stop()
        lane.join()
        return result == .success ? answer.withLock { $0 } ?? "" : "no answer"
    }

    /// Reserves and settles `pairs` requests with `depth` under way; answers "granted settled errors".
    private static func pairs(_ pairs: Int, depth: Int, endpoint: Endpoint, tls: TLSContext? = nil) throws -> String {
        let limits = try LimitSet(
            version: 1,
            limits: [
                try Limit(scope: .org, unit: .requests, amount: 100_000_000),
                try Limit.concurrency(100_000, scope: .org),
                try Limit(scope: .key, unit: .totalTokens, amount: 1 << 30),
            ])
        return try onLane { lane, done in
            var configuration = RedisConfiguration()
            configuration.commandTimeout = .seconds(2)
            let connection = RedisConnection(
                lane: lane, endpoint: endpoint, tls: tls, serverName: "localhost", configuration: configuration, seed: 1
            )
            let load = PairLoad(connection, limits: limits, pairs: pairs, depth: depth) { text in
                connection.close()
                done(text)
            }
            connection.onReady = { _ in load.start() }
            connection.start()
        }
    }

    @Test func aUnixSocket() throws {
        let server = try RedisServer()
        #expect(try Self.pairs(500, depth: 32, endpoint: .unix(server.socketPath)).hasPrefix("500 500 0"))
        withExtendedLifetime(server) {}
    }

    @Test func tcp() throws {
        let port = HeldPort.next()
        let server = try RedisServer(["--port", "\(port)"])
        #expect(try Self.pairs(500, depth: 32, endpoint: .host("127.0.0.1", port: port)).hasPrefix("500 500 0"))
        withExtendedLifetime(server) {}
    }

    @Test func tlsWithAClientCertificateAndARefusalOfStrangers() throws {
        let port = HeldPort.next()
        let certificates = try TestAuthority()
        let server = try RedisServer([
            "--tls-port", "\(port)", "--tls-cert-file", certificates.path("server.pem"), "--tls-key-file",
            certificates.path("server.key"),
            "--tls-ca-cert-file", certificates.path("ca.pem"),
        ])
        let trusted = try TLSContext.client(
            trust: .file(certificates.path("ca.pem")), certificate: certificates.path("server.pem"),
            key: certificates.path("server.key"),
            protocols: [])
        let endpoint = Endpoint.host("127.0.0.1", port: port)
        #expect(try Self.pairs(500, depth: 32, endpoint: endpoint, tls: trusted).hasPrefix("500 500 0"))

        let other = try TestAuthority()
        let stranger = try TLSContext.client(trust: .file(other.path("ca.pem")), protocols: [])
        let failure = try Self.onLane { lane, done in
            let connection = RedisConnection(
                lane: lane, endpoint: endpoint, tls: stranger, serverName: "localhost",
                configuration: RedisConfiguration(), seed: 1)
            connection.onStateChange = { state in
                guard state == .waiting else { return }
                let reason = connection.lastFailure ?? ""
                connection.close()
                done(reason)
            }
            connection.start()
        }
        #expect(failure.contains("certificate"), "a server of another authority: \(failure)")
        withExtendedLifetime(server) {}
    }

    @Test func nobodyListens() throws {
        let port = HeldPort.next()
        let failure = try Self.onLane { lane, done in
            let connection = RedisConnection(
                lane: lane, endpoint: .host("127.0.0.1", port: port), configuration: RedisConfiguration(), seed: 1)
            connection.onStateChange = { state in
                guard state == .waiting else { return }
                let reason = connection.lastFailure ?? ""
                connection.close()
                done(reason)
            }
            connection.start()
        }
        #expect(failure.contains("connect"), "\(failure)")
    }

    @Test func aFrozenServerGivesATimeoutWithin60MillisecondsOnALane() throws {
        // A busy machine may wake a lane late; it is not late each time.
        var times: [Double] = []
        while times.count < 50, (times.min() ?? .infinity) >= 60 { times.append(try Self.timeout()) }
        #expect(times.allSatisfy { $0 >= 49 } && (times.min() ?? .infinity) < 60, "\(times) ms")
    }

    /// Milliseconds until a command that a frozen server does not answer fails.
    private static func timeout() throws -> Double {
        let server = try RedisServer()
        let waited = try onLane { lane, done in
            let connection = RedisConnection(
                lane: lane, endpoint: .unix(server.socketPath), configuration: RedisConfiguration(), seed: 1)
            connection.onReady = { _ in
                server.signal(SIGSTOP)
                let start = ContinuousClock.now
                connection.send(RedisCommand("PING")) { result in
                    let waited = ContinuousClock.now - start
                    server.signal(SIGCONT)
                    connection.close()
                    done(result == .failure(.timeout) ? "\(waited.nanoseconds)" : "\(result)")
                }
            }
            connection.start()
        }
        return try #require(Double(waited), "\(waited)") / 1e6
    }

    @Test func aLaneThatIsLateDoesNotTakeRedisForLate() throws {
        let server = try RedisServer()
        let outcome = try Self.onLane { lane, done in
            let connection = RedisConnection(
                lane: lane, endpoint: .unix(server.socketPath), configuration: RedisConfiguration(), seed: 1)
            var answers = 0
            var failures = 0
            connection.onReady = { _ in
                func answered(_ result: Result<RedisReply, StoreError>) {
                    if case .success = result { answers += 1 } else { failures += 1 }
                    guard answers + failures == 6 else { return }
                    connection.close()
                    done("\(answers) answered, degraded: \(connection.metrics.timeouts.value)")
                }
                @Sendable func freeze() { usleep(120_000) }
                // Queued at the beginning of a long turn: on the wire only at its end.
                for _ in 0..<3 { connection.send(RedisCommand("PING"), then: answered) }
                freeze()
                // On the wire before a long turn: the reply is there, and the lane is not.
                lane.schedule(after: .milliseconds(1)) {
                    for _ in 0..<3 { connection.send(RedisCommand("PING"), then: answered) }
                    lane.execute { freeze() }
                }
            }
            connection.start()
        }
        #expect(outcome == "6 answered, degraded: 0")
        withExtendedLifetime(server) {}
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["SLUICE_MEASURE"] != nil))
    func cpuOfTheClientPerCommandAtDepth32() throws {
        let server = try RedisServer()
        for depth in [1, 32, 256] {
            print("depth \(depth):", try Self.pairs(20_000, depth: depth, endpoint: .unix(server.socketPath)))
        }
    }
}

extension RedisConnection {
    /// A connection of `lane` to the Redis at `endpoint`; not started.
    convenience init(
        lane: Lane, endpoint: Endpoint, tls: TLSContext? = nil, serverName: String? = nil,
        configuration: RedisConfiguration, seed: UInt64
    ) {
        self.init(
            dialer: LaneDialer(lane: lane, endpoint: endpoint, tls: tls, serverName: serverName),
            configuration: configuration, seed: seed)
    }
}

/// Keeps `depth` pairs of reserve and settle under way until `pairs` are done.
private final class PairLoad {
    private let store: QuotaStore
    private let limits: LimitSet
    private let pairs: Int
    private let depth: Int
    private let done: (String) -> Void
    private var started = 0
    private var granted = 0
    private var settled = 0
    private var errors = 0
    private var cpu: Double = 0

    init(
        _ connection: RedisConnection, limits: LimitSet, pairs: Int, depth: Int, done: @escaping (String) -> Void
    ) {
        store = QuotaStore(Redis(connection))
        self.limits = limits
        self.pairs = pairs
        self.depth = depth
        self.done = done
    }

    func start() {
        cpu = Self.threadCPU()
        for _ in 0..<depth { next() }
    }

    private func next() {
        guard started < pairs else { return }
        started += 1
        let call = ReserveCall(
            id: Identifier128(high: UInt64(started), low: UInt64(depth)),
            tenant: Tenant(org: "acme", team: "search", key: "k1"),
            estimate: QuotaUse(inputTokens: 10, outputTokens: 10, microUSD: 10), holdMilliseconds: 60_000,
            limits: limits)
        store.reserve(call) { [self] result in
            if case .success(.granted) = result { granted += 1 } else { errors += 1 }
            let use = QuotaUse(inputTokens: 10, outputTokens: 7, microUSD: 9)
            store.settle(SettleCall(of: call, use: use)) { [self] result in
                if case .success(.settled) = result { settled += 1 } else { errors += 1 }
                if settled + errors >= pairs {
                    let spent = (Self.threadCPU() - cpu) * 1e6 / Double(2 * pairs)
                    done("\(granted) \(settled) \(errors), CPU a command: \(spent) µs")
                } else {
                    next()
                }
            }
        }
    }

    private static func threadCPU() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
