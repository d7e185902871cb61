// Wishes of a server: who hears them, and what becomes of one that waits.
import Core
import Testing

@testable import Wire

@Suite struct HintTests {
    private static let wish = Hint(load: 9, wantsRebalance: true)

    @Test func `a wish reaches a client that has the capability`() {
        let pair = Pair.open()
        #expect(pair.takesWishes)
        pair.server.sendHint(Self.wish)
        pair.run()
        pair.server.sendHint(Hint(load: 8))
        pair.run()
        #expect(pair.seen == ["hint 9 rebalance", "hint 8"], "it is of the moment")
    }

    @Test func `a client without the capability hears none`() {
        let pair = Pair.open(hello: Hello(apiKey: Pair.key, capabilities: []))
        #expect(!pair.takesWishes)
        pair.server.sendHint(Self.wish)
        pair.run()
        #expect(pair.seen == [])
    }

    @Test func `a wish that waits is not lost to news behind it`() {
        let pair = Pair.open()
        pair.server.sendHint(Self.wish)
        pair.server.sendHint(Hint(load: 70, budget: .near))
        pair.run()
        #expect(pair.seen == ["hint 70 rebalance"])
        pair.server.sendHint(Hint(load: 70))
        pair.run()
        #expect(pair.seen.last == "hint 70")
    }

    @Test func `who is told to go away is asked for nothing`() {
        let pair = Pair.open()
        pair.server.sendGoAway(reason: .drain, drain: .seconds(5))
        #expect(!pair.takesWishes)
        pair.run()
        #expect(!pair.takesWishes)
        let early = Pair()
        #expect(!early.takesWishes, "before HELLO")
    }

    @Test func `streams finish on a connection whose client moved`() {
        let pair = Pair.open()
        let stream = pair.ask()
        pair.run()
        pair.server.sendHint(Self.wish)
        pair.run()
        pair.client.sendGoAway()
        pair.run()
        pair.delta(stream, "last")
        pair.server.end(stream: stream, End(outputTokens: 1))
        pair.server.release(stream: stream)
        pair.run()
        #expect(pair.seen.prefix(3) == ["hint 9 rebalance", "delta 1 0 text last", "end 1 stop 1"])
        #expect(pair.served.contains("goAway done"))
    }
}
