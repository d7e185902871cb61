// A lane's side of a Redis Cluster in virtual time: the map, MOVED, ASK, circles, deadlines, lost primaries.

import Core
import Net
import Testing

@testable import Store

@Suite struct ClusterRoutingTests {
    private static let hosts = ["a", "b", "c"].map { Endpoint.host($0, port: 7000) }

    /// CLUSTER SLOTS: even thirds.
    private static func slots(_ owners: [String] = ["a", "b", "c"]) -> RedisReply {
        .array([
            TopologyTests.range(0...5460, (owners[0], 7000), ("r", 7000)),
            TopologyTests.range(5461...10_922, (owners[1], 7000)),
            TopologyTests.range(10_923...16_383, (owners[2], 7000)),
        ])
    }

    /// A server that knows the map and else answers by `body`.
    private static func server(
        slots: @escaping () -> RedisReply = { ClusterRoutingTests.slots() }, epoch: @escaping () -> Int = { 1 },
        body: @escaping VirtualRedis.Server = { _ in .status("OK") }
    ) -> VirtualRedis.Server {
        { command in
            guard command[0] == "CLUSTER" else { return body(command) }
            if command[1] == "INFO" { return .bytes(Array("cluster_current_epoch:\(epoch())\r\n".utf8)) }
            return slots()
        }
    }

    private static func open(
        _ network: VirtualRedis, seeds: [Endpoint] = [hosts[0]], _ change: (inout RedisConfiguration) -> Void = { _ in }
    ) -> Redis {
        var configuration = RedisConfiguration()
        change(&configuration)
        let redis = Redis(.cluster(seeds), network: network, configuration: configuration, seed: 1)
        redis.start()
        return redis
    }

    /// A network of three whose answers `body` gives, and a Redis that is ready.
    private static func three(_ body: @escaping (_ host: String, _ command: [String]) -> RedisReply?) -> (
        VirtualRedis, Redis
    ) {
        let network = VirtualRedis()
        for endpoint in hosts {
            guard case .host(let host, _) = endpoint else { continue }
            network.servers[endpoint] = server(body: { body(host, $0) })
        }
        let redis = open(network)
        network.run(.seconds(1)) { !redis.isImpaired }
        network.clearLog()
        return (network, redis)
    }

    private static func get(_ key: String, _ redis: Redis, _ network: VirtualRedis) -> Result<RedisReply, StoreError>? {
        var answer: Result<RedisReply, StoreError>?
        redis.send(RedisCommand("GET", key)) { answer = $0 }
        network.run(.seconds(1)) { answer != nil }
        return answer
    }

    /// What the network saw but for questions about the map.
    private static func seen(_ network: VirtualRedis) -> [String] { network.log.filter { !$0.contains("CLUSTER") } }

    // "foo" is slot 12182 (c), "bar" 5061 (a), "hello" 866 (a), "somekey" 11058 (c), "b1" … are found by their slots.

    @Test func eachCommandGoesToTheOwnerOfItsKey() {
        let (network, redis) = Self.three { host, _ in .status(host) }
        #expect(Self.get("foo", redis, network) == .success(.status("c")))
        #expect(Self.get("bar", redis, network) == .success(.status("a")))
        #expect(Self.get("x{foo}y", redis, network) == .success(.status("c")))
        #expect(redis.primaries.map(\.address) == ["a:7000", "b:7000", "c:7000"])
        #expect(redis.primaries.map(\.slots).reduce(0, +) == 16_384)
        #expect(redis.lastFailure == nil && redis.metrics.connects.value == 3)
    }

    @Test func beforeTheMapIsKnownCommandsFailAtOnceAndSeedsAreTriedInTurn() {
        let network = VirtualRedis()
        let redis = Self.open(network, seeds: [.host("gone", port: 1), Self.hosts[1]])
        var answer: Result<RedisReply, StoreError>?
        redis.send(RedisCommand("GET", "foo")) { answer = $0 }
        guard case .failure(.notConnected) = answer else {
            return #expect(Bool(false), "\(String(describing: answer))")
        }
        network.run(.seconds(1))
        #expect(redis.isImpaired && redis.lastFailure?.contains("refused") == true)
        for endpoint in Self.hosts { network.servers[endpoint] = Self.server() }
        #expect(network.run(.seconds(1)) { !redis.isImpaired })
    }

    @Test func movedIsFollowedOnceAndRememberedAtOnce() {
        let (network, redis) = Self.three { host, _ in
            host == "c" ? .error("MOVED 12182 b:7000") : .status(host)
        }
        #expect(Self.get("foo", redis, network) == .success(.status("b")))
        #expect(Self.seen(network) == ["c GET foo", "b GET foo"])
        #expect(redis.metrics.redirections.value == 1)
        network.clearLog()
        #expect(Self.get("foo", redis, network) == .success(.status("b")))
        #expect(Self.seen(network) == ["b GET foo"])
        #expect(redis.metrics.errors.value == 0)
    }

    @Test func askGoesBehindAskingThisOnce() {
        let (network, redis) = Self.three { host, command in
            if command[0] == "ASKING" { return .status("OK") }
            return host == "c" ? .error("ASK 12182 b:7000") : .status(host)
        }
        for _ in 0..<2 {
            network.clearLog()
            #expect(Self.get("foo", redis, network) == .success(.status("b")))
            #expect(Self.seen(network) == ["c GET foo", "b ASKING", "b GET foo"])
        }
    }

    @Test func askLeadsToAServerThatNoMapNames() {
        let (network, redis) = Self.three { host, _ in .error("ASK 12182 new:7000") }
        network.servers[.host("new", port: 7000)] = Self.server(body: { _ in .status("new") })
        #expect(Self.get("foo", redis, network) == .success(.status("new")), "it waits for the connection")
        #expect(Self.get("foo", redis, network) == .success(.status("new")))
        #expect(redis.metrics.connects.value == 4)
        network.run(.seconds(20))
        network.servers[.host("new", port: 7000)] = nil
        #expect(!redis.isImpaired && redis.lastFailure == nil, "a guest that is not needed any more is let go")
    }

    @Test func aCircleEndsInAnError() {
        let (network, redis) = Self.three { host, _ in .error("MOVED 12182 \(host == "b" ? "c" : "b"):7000") }
        #expect(Self.get("foo", redis, network) == .failure(.degraded(.moving)))
        #expect(Self.seen(network).count == 6)
    }

    @Test func aServerThatSendsCommandsToEndlessAddressesIsNotFollowedForEver() {
        var serial = 0
        let (network, redis) = Self.three { host, _ in
            serial += 1
            return .error("ASK 12182 nobody\(serial):7000")
        }
        let answer = Self.get("foo", redis, network)
        #expect(answer == .failure(.timeout), "nobody is there, and the deadline passes")
        #expect(redis.commandsUnderWay == 0)
    }

    @Test func oneDeadlineHoldsOverAllHops() {
        let (network, redis) = Self.three { host, command in
            if host == "b" { return nil }
            return .error("MOVED 12182 b:7000")
        }
        let begun = network.now
        #expect(Self.get("foo", redis, network) == .failure(.timeout))
        #expect(network.now - begun == .milliseconds(50))
    }

    @Test func tryAgainIsTriedAgainUntilTheSlotHasMoved() {
        var isMoved = false
        let (network, redis) = Self.three { host, _ in
            isMoved ? .status(host) : .error("TRYAGAIN Multiple keys request during rehashing of slot")
        }
        #expect(Self.get("foo", redis, network) == .failure(.degraded(.moving)))
        #expect(Self.seen(network).count == 5, "at once, after 2, 4, 8 and 16 ms")
        _ = network.after(.milliseconds(10)) { isMoved = true }
        #expect(Self.get("foo", redis, network) == .success(.status("c")))
    }

    @Test func aStormOfRedirectionsAsksForTheMapTenTimesASecond() {
        let (network, redis) = Self.three { host, _ in .error("MOVED 12182 \(host == "b" ? "c" : "b"):7000") }
        let end = network.now + .seconds(2)
        while network.now < end {
            redis.send(RedisCommand("GET", "foo")) { _ in }
            network.run(.milliseconds(1))
        }
        let questions = network.log.filter { $0.hasSuffix("CLUSTER SLOTS") }.count
        #expect((10...21).contains(questions), "\(questions) questions in 2 s")
    }

    @Test func aLostPrimaryTakesOnlyItsOwnKeysAlongUntilAReplicaTakesOver() {
        let network = VirtualRedis()
        var owners = ["a", "b", "c"]
        var epoch = 1
        let make = { Self.server(slots: { Self.slots(owners) }, epoch: { epoch }) }
        for endpoint in Self.hosts + [.host("r", port: 7000)] { network.servers[endpoint] = make() }
        let redis = Self.open(network)
        var changes: [Bool] = []
        redis.onReady = { changes.append($0) }
        network.run(.seconds(1)) { !redis.isImpaired }
        #expect(changes == [false, false, false])
        network.servers[Self.hosts[0]] = nil
        guard case .failure(let error)? = Self.get("bar", redis, network) else { return #expect(Bool(false)) }
        #expect("\(error)".contains("died"), "what belongs to it fails at once: \(error)")
        #expect(Self.get("foo", redis, network) == .success(.status("OK")))
        #expect(redis.isImpaired && redis.primaries.map(\.isReady) == [false, true, true])
        #expect(!redis.isDegraded(org: "foo") && redis.isDegraded(org: "bar"))
        network.run(.seconds(3))
        (owners, epoch) = (["r", "b", "c"], 2)
        let begun = network.now
        #expect(network.run(.seconds(1)) { !redis.isImpaired })
        #expect(network.now - begun <= .milliseconds(210), "the map is asked five times a second")
        #expect(Self.get("bar", redis, network) == .success(.status("OK")))
        #expect(changes == [false, false, false, true], "its data may be older")
        #expect(redis.metrics.disconnects.value >= 1, "what a connection counted outlives it")
    }

    @Test func aServerWhoseDataWereDeletedIsTakenForAnother() {
        let network = VirtualRedis()
        for endpoint in Self.hosts { network.servers[endpoint] = Self.server() }
        let redis = Self.open(network)
        var changes: [Bool] = []
        redis.onReady = { changes.append($0) }
        network.run(.seconds(3))
        #expect(changes == [false, false, false])
        #expect(network.markers.count == 3, "each primary has one in a slot of its own")
        network.markers[Self.hosts[1]] = nil
        network.run(.milliseconds(1_100))
        #expect(changes == [false, false, false, true])
        // Somebody else missed it first.
        network.markers[Self.hosts[2]] = "another"
        network.run(.milliseconds(1_100))
        #expect(changes == [false, false, false, true, true])
        network.run(.seconds(10))
        #expect(changes.count == 5)
    }

    @Test func aMapOfAnOlderEpochIsNotBelieved() {
        let network = VirtualRedis()
        for endpoint in Self.hosts { network.servers[endpoint] = Self.server(epoch: { 5 }) }
        // One that was cut off: it still believes in a primary that is no more.
        network.servers[Self.hosts[1]] = Self.server(slots: { Self.slots(["old", "b", "c"]) }, epoch: { 4 })
        let redis = Self.open(network)
        network.run(.seconds(30))
        #expect(redis.primaries.map(\.address) == ["a:7000", "b:7000", "c:7000"] && !redis.isImpaired)
    }

    @Test func whenAllPrimariesAreGoneReplicasAndSeedsAreAsked() {
        let (network, redis) = Self.three { host, _ in .status(host) }
        network.servers = [.host("r", port: 7000): Self.server(slots: { Self.slots(["r", "r", "r"]) }, epoch: { 9 })]
        network.run(.seconds(10)) { !redis.isImpaired }
        #expect(redis.primaries.map(\.address) == ["r:7000"])
        #expect(Self.get("foo", redis, network) == .success(.status("OK")))
    }

    @Test func clusterDownIsTheAnswerWhileNobodyHasTheSlot() {
        let network = VirtualRedis()
        for endpoint in Self.hosts {
            network.servers[endpoint] = Self.server(
                slots: {
                    .array([
                        TopologyTests.range(0...5460, ("a", 7000)), TopologyTests.range(5461...10_922, ("b", 7000)),
                    ])
                }, body: { _ in .error("CLUSTERDOWN Hash slot not served") })
        }
        let redis = Self.open(network)
        network.run(.seconds(1))
        #expect(Self.get("foo", redis, network) == .failure(.degraded(.clusterDown)), "nobody is asked")
        #expect(Self.get("bar", redis, network) == .failure(.degraded(.clusterDown)), "a says so")
    }

    @Test func closingEndsWhatWaits() {
        let (network, redis) = Self.three { _, _ in .error("TRYAGAIN x") }
        var answers: [Result<RedisReply, StoreError>] = []
        redis.send(RedisCommand("GET", "foo")) { answers.append($0) }
        network.run(.milliseconds(1))
        redis.close()
        network.run(.milliseconds(100))
        #expect(answers == [.failure(.notConnected(reason: "closed"))])
    }
}
