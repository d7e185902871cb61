// The pure parts of the shapes: the slot map, redirections and journeys, the times of questions, what sentinels say.

import Core
import Net
import Testing

@testable import Store

@Suite struct TopologyTests {
    private static let start = Instant(nanoseconds: 1_000_000_000)
    private static let asked = Endpoint.host("10.0.0.9", port: 7000)

    /// A range as CLUSTER SLOTS tells it.
    static func range(_ slots: ClosedRange<Int>, _ servers: (String, Int)...) -> RedisReply {
        .array(
            [.integer(Int64(slots.lowerBound)), .integer(Int64(slots.upperBound))]
                + servers.map { host, port in
                    .array([.bytes(Array(host.utf8)), .integer(Int64(port)), .bytes(Array("id".utf8)), .array([])])
                })
    }

    private static func map(_ ranges: RedisReply..., epoch: Int = 1) throws -> SlotMap {
        let info = RedisReply.bytes(Array("cluster_state:ok\r\ncluster_current_epoch:\(epoch)\r\n".utf8))
        return try SlotMap(.array(ranges), info: info, from: asked)
    }

    private static func slot(_ number: Int) throws -> RedisSlot { try #require(RedisSlot(number)) }

    @Test func aMapSaysWhoHasEachSlot() throws {
        let map = try Self.map(
            Self.range(0...5460, ("10.0.0.1", 7000), ("10.0.0.4", 7000)), Self.range(5461...5461, ("10.0.0.2", 7001)),
            Self.range(5462...16_383, ("10.0.0.1", 7000), ("10.0.0.5", 7000)), epoch: 12)
        #expect(map.epoch == 12 && map.isComplete)
        #expect(map.places.map(\.description) == ["10.0.0.1:7000", "10.0.0.2:7001"])
        #expect(map.replicas.map(\.description) == ["10.0.0.4:7000", "10.0.0.5:7000"])
        #expect(map.counts == [16_383, 1])
        let owners = try [0, 5460, 5461, 5462, 16_383].map { map.owner(of: try Self.slot($0)) }
        #expect(owners == [0, 0, 1, 0, 0])
    }

    @Test func slotsWithoutAnOwnerAreKnownAsSuch() throws {
        let map = try Self.map(Self.range(0...99, ("a", 1)), Self.range(101...16_383, ("?", 1)))
        #expect(!map.isComplete && map.counts == [100])
        let (before, after) = (try Self.slot(100), try Self.slot(101))
        #expect(map.owner(of: before) == nil && map.owner(of: after) == nil)
    }

    @Test func anAddressWithoutAHostIsThatOfTheServerThatSaysIt() throws {
        let left = RedisReply.array([.null, .integer(7003), .bytes([])])
        let map = try SlotMap(
            .array([.array([.integer(0), .integer(16_383), left])]), info: nil, from: Self.asked)
        #expect(map.places == [.host("10.0.0.9", port: 7003)] && map.epoch == 0)
    }

    @Test func aMovedSlotHasItsNewOwnerAtOnce() throws {
        var map = try Self.map(Self.range(0...16_383, ("a", 1)))
        try map.move(try Self.slot(7), to: .host("b", port: 2))
        let (moved, stayed) = (try Self.slot(7), try Self.slot(8))
        #expect(map.owner(of: moved) == 1 && map.owner(of: stayed) == 0)
        #expect(map.counts == [16_383, 1])
    }

    @Test(arguments: [
        RedisReply.status("OK"), .array([.integer(1)]), .array([.array([.integer(5), .integer(4), .array([])])]),
        .array([.array([.integer(0), .integer(16_384), .array([.bytes([97]), .integer(1)])])]),
        .array([.array([.integer(-1), .integer(4), .array([.bytes([97]), .integer(1)])])]),
        .array([.array([.integer(0), .integer(4), .array([.bytes([97]), .integer(70_000)])])]),
        .array([.array([.integer(0), .integer(4), .bytes([97])])]),
        .array((0...1024).map { TopologyTests.range($0...$0, ("h\($0)", 1)) }),
    ])
    func whatIsNoMapIsRefused(reply: RedisReply) {
        #expect(throws: StoreError.self) { try SlotMap(reply, info: nil, from: Self.asked) }
    }

    // MARK: - Redirections

    @Test func redirectionsAreReadFromTheirWords() throws {
        let slot = try Self.slot(3999)
        func read(_ text: String) -> Redirection? { Redirection(text, from: Self.asked) }
        #expect(read("MOVED 3999 127.0.0.1:6381") == .moved(slot, .host("127.0.0.1", port: 6381)))
        #expect(read("ASK 3999 redis-2.internal:6381") == .ask(slot, .host("redis-2.internal", port: 6381)))
        #expect(read("MOVED 3999 2001:db8::1:6381") == .moved(slot, .host("2001:db8::1", port: 6381)))
        #expect(read("MOVED 3999 :6381") == .moved(slot, .host("10.0.0.9", port: 6381)))
        #expect(read("TRYAGAIN Multiple keys request during rehashing of slot") == .tryAgain)
        for text in [
            "MOVED", "MOVED 3999", "MOVED 16384 a:1", "MOVED -1 a:1", "ASK x a:1", "ASK 1 a", "ASK 1 a:0", "ASK 1 ?:1",
            "MOVED 1 a:70000", "MOVED 1 a:1 b", "ERR MOVED 1 a:1", "CLUSTERDOWN The cluster is down", "",
        ] { #expect(read(text) == nil, "\(text)") }
    }

    @Test func aJourneyEndsAfterFiveHops() throws {
        var journey = Journey()
        let deadline = Self.start + .seconds(9)
        let (a, b) = (Endpoint.host("a", port: 1), Endpoint.host("b", port: 1))
        let slot = try Self.slot(1)
        for hop in 1...5 {
            let redirection: Redirection = hop % 2 == 0 ? .moved(slot, a) : .ask(slot, b)
            let step: Journey.Step = hop % 2 == 0 ? .go(a, asking: false) : .go(b, asking: true)
            #expect(journey.next(redirection, at: Self.start, deadline: deadline) == step)
        }
        #expect(journey.next(.moved(slot, a), at: Self.start, deadline: deadline) == .end(.degraded(.moving)))
    }

    @Test func tryAgainWaitsLongerEachTimeAndNeverPastTheDeadline() {
        var journey = Journey()
        var now = Self.start
        let deadline = now + .milliseconds(50)
        var pauses: [Int64] = []
        while case .again(let pause) = journey.next(.tryAgain, at: now, deadline: deadline) {
            pauses.append(pause.milliseconds)
            now = now + pause
        }
        #expect(pauses == [2, 4, 8, 16])
        #expect(journey.next(.tryAgain, at: now, deadline: deadline) == .end(.degraded(.moving)))
        #expect(
            journey.next(.tryAgain, at: now, deadline: now + .seconds(60)) == .again(after: .milliseconds(32)),
            "the error is that of the deadline, not of the journey")
        for _ in 0..<20 { _ = journey.next(.tryAgain, at: now, deadline: now + .seconds(60)) }
        #expect(journey.next(.tryAgain, at: now, deadline: now + .seconds(60)) == .again(after: .milliseconds(64)))
    }

    // MARK: - Times

    @Test func theMapIsAskedForOftenInTroubleSeldomElseAndNeverMoreThanTenTimesASecond() {
        var refresh = MapRefresh()
        #expect(refresh.due(at: Self.start, isTroubled: true) == Self.start)
        refresh.asked(at: Self.start)
        #expect(refresh.due(at: Self.start, isTroubled: false) == Self.start + .seconds(5))
        #expect(refresh.due(at: Self.start, isTroubled: true) == Self.start + .milliseconds(200))
        refresh.want()
        refresh.want()
        #expect(refresh.due(at: Self.start, isTroubled: true) == Self.start + .milliseconds(100))
        refresh.asked(at: Self.start + .seconds(1))
        #expect(refresh.due(at: Self.start, isTroubled: false) == Self.start + .seconds(6))
    }

    // MARK: - Sentinels

    private static func answer(_ host: String, _ epoch: Int64) -> SentinelView.Answer {
        SentinelView.Answer(primary: .host(host, port: 6379), epoch: epoch)
    }

    @Test func theNewestAnswerOfTheSentinelsCounts() {
        var view = SentinelView(sentinels: 3)
        #expect(view.current == nil)
        let changes = [("a", 1, 0), ("a", 1, 1), ("b", 2, 2), ("a", 1, 0), ("b", 2, 0)].map { host, epoch, sentinel in
            view.take(Self.answer(host, epoch), from: sentinel)
        }
        #expect(changes == [true, false, true, false, false], "one that knows of a failover is enough")
        #expect(view.current?.primary == .host("b", port: 6379))
    }

    @Test func aSentinelThatWasCutOffCannotTurnTimeBack() {
        var view = SentinelView(sentinels: 3)
        _ = view.take(Self.answer("b", 2), from: 1)
        _ = view.take(Self.answer("a", 1), from: 0)
        let isOther = view.take(nil, from: 1)
        #expect(!isOther && view.current?.primary == .host("b", port: 6379), "those who knew better are gone")
        let isAnew = view.take(Self.answer("a", 1), from: 2)
        #expect(isAnew, "but when most say so, it was set up anew")
        #expect(view.current?.primary == .host("a", port: 6379))
    }

    @Test func anAnswerIsReadFromNamesAndValues() throws {
        func reply(_ words: String...) -> RedisReply { .array(words.map { .bytes(Array($0.utf8)) }) }
        let answer = try SentinelView.Answer(
            reply("name", "quota", "ip", "10.0.0.1", "port", "6379", "flags", "master", "config-epoch", "7"))
        #expect(answer == SentinelView.Answer(primary: .host("10.0.0.1", port: 6379), epoch: 7))
        for wrong in [
            .status("OK"), .null, reply("ip", "a", "port", "0", "config-epoch", "1"), reply("ip", "a", "port", "1"),
            reply("port", "1", "config-epoch", "1"), reply("ip"),
        ] {
            #expect(throws: StoreError.self) { try SentinelView.Answer(wrong) }
        }
    }
}
