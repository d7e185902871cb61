// A lane's side of Sentinel in virtual time: who is asked, whom it believes, how soon it follows.

import Core
import Net
import Testing

@testable import Store

@Suite struct SentinelRoutingTests {
    private static let sentinels = ["s1", "s2", "s3"].map { Endpoint.host($0, port: 26_379) }

    private static func sentinel(_ answer: @escaping () -> (host: String, epoch: Int)) -> VirtualRedis.Server {
        { _ in
            let (host, epoch) = answer()
            return .array(["ip", host, "port", "6379", "config-epoch", "\(epoch)"].map { .bytes(Array($0.utf8)) })
        }
    }

    private static func server(role: @escaping () -> String) -> VirtualRedis.Server {
        { $0[0] == "ROLE" ? .array([.bytes(Array(role().utf8)), .integer(0)]) : .status("OK") }
    }

    private static func place(_ host: String) -> Endpoint { .host(host, port: 6379) }

    private static func open(_ network: VirtualRedis) -> Redis {
        let redis = Redis(
            .sentinel(sentinels, primary: "quota", RedisConfiguration()), network: network,
            configuration: RedisConfiguration(), seed: 1)
        redis.start()
        return redis
    }

    @Test func aSwitchIsFollowedWithinASecondThoughTheOldPrimaryStillAnswers() {
        let network = VirtualRedis()
        var told = (host: "a", epoch: 1)
        for endpoint in Self.sentinels { network.servers[endpoint] = Self.sentinel { told } }
        network.servers[Self.place("a")] = Self.server { "master" }
        network.servers[Self.place("b")] = Self.server { "master" }
        let redis = Self.open(network)
        #expect(network.run(.milliseconds(100)) { !redis.isImpaired }, "nothing is waited for at the start")
        #expect(redis.primaries.map(\.address) == ["a:6379"])
        var changes: [Bool] = []
        redis.onReady = { changes.append($0) }
        told = ("b", 2)
        let begun = network.now
        #expect(network.run(.seconds(2)) { !changes.isEmpty })
        #expect(network.now - begun <= .milliseconds(600), "asked twice a second, and connected at once")
        #expect(changes == [true] && redis.primaries.map(\.address) == ["b:6379"])
    }

    @Test func oneSentinelThatStaysBehindIsNotBelieved() {
        let network = VirtualRedis()
        network.servers[Self.sentinels[0]] = Self.sentinel { ("a", 1) }
        for endpoint in Self.sentinels[1...] { network.servers[endpoint] = Self.sentinel { ("b", 2) } }
        network.servers[Self.place("a")] = Self.server { "master" }
        network.servers[Self.place("b")] = Self.server { "master" }
        let redis = Self.open(network)
        network.run(.seconds(2))
        #expect(redis.primaries.map(\.address) == ["b:6379"] && !redis.isImpaired)
        for endpoint in Self.sentinels[1...] { network.servers[endpoint] = nil }
        network.run(.seconds(5))
        #expect(redis.primaries.map(\.address) == ["b:6379"] && !redis.isImpaired)
        #expect(redis.metrics.connects.value == 1 || redis.metrics.connects.value == 2)
    }

    @Test func aReplicaIsNotUsedUntilItIsThePrimary() {
        let network = VirtualRedis()
        var role = "slave"
        for endpoint in Self.sentinels { network.servers[endpoint] = Self.sentinel { ("a", 1) } }
        network.servers[Self.place("a")] = Self.server { role }
        let redis = Self.open(network)
        network.run(.seconds(3))
        #expect(redis.isImpaired && redis.lastFailure == "the server is a slave, not the primary")
        role = "master"
        #expect(network.run(.seconds(2)) { !redis.isImpaired })
    }

    @Test func withoutSentinelsTheKnownPrimaryIsKeptAndTheReasonIsSaidWhenThereIsNone() {
        let network = VirtualRedis()
        let redis = Self.open(network)
        network.run(.seconds(2))
        #expect(redis.lastFailure?.contains("no sentinel names the primary 'quota': ") == true)
        #expect(redis.lastFailure?.contains("refused") == true)
        network.servers[Self.sentinels[2]] = Self.sentinel { ("a", 1) }
        network.servers[Self.place("a")] = Self.server { "master" }
        #expect(network.run(.seconds(3)) { !redis.isImpaired }, "one sentinel is enough")
        network.servers[Self.sentinels[2]] = nil
        network.run(.seconds(5))
        #expect(!redis.isImpaired)
    }
}
