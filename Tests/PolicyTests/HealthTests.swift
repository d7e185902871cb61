// What is known of a target: from traffic, from probes, with time; and what its weight becomes.
import Core
import Policy
import Testing

@Suite struct HealthTests {
    private static func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64((seconds + 1_000) * 1e9)) }

    private static func news(_ good: Int, _ bad: Int, isShut: Bool = false) -> TargetNews {
        var news = TargetNews()
        (news.successes, news.failures, news.isShut) = (good, bad, isShut)
        return news
    }

    /// Plays a transcript: seconds, what is told, and the verdict after it.
    private struct Transcript {
        var judge = TargetJudge(at: HealthTests.at(0))

        mutating func traffic(
            _ second: Double, _ good: Int, _ bad: Int, isShut: Bool = false, _ verdict: HealthVerdict,
            line: Int = #line
        ) {
            judge.take(HealthTests.news(good, bad, isShut: isShut), at: HealthTests.at(second))
            #expect(judge.verdict == verdict, "line \(line)")
        }

        mutating func probe(
            _ second: Double, _ result: ProbeResult, isChat: Bool = false, _ verdict: HealthVerdict, line: Int = #line
        ) {
            judge.take(result, isChat: isChat, every: .seconds(30), at: HealthTests.at(second))
            #expect(judge.verdict == verdict, "line \(line)")
        }

        mutating func wait(until second: Double, _ verdict: HealthVerdict, line: Int = #line) {
            judge.advance(to: HealthTests.at(second))
            #expect(judge.verdict == verdict, "line \(line)")
        }
    }

    @Test func `without traffic one failed probe is enough, two good ones in a row bring it back`() {
        var play = Transcript()
        play.probe(0, .up, .healthy)
        play.probe(30, .failing("connect"), .failing)
        #expect(play.judge.why == "probe: connect")
        play.probe(60, .up, .failing)
        play.probe(90, .failing("connect"), .failing)
        play.probe(120, .up, .failing)
        play.probe(150, .up, .healthy)
        #expect(play.judge.why.isEmpty)
    }

    @Test func `a probe that says nothing changes nothing, and begins the row anew`() {
        var play = Transcript()
        play.probe(0, .unknown("no list"), .unknown)
        play.probe(30, .failing("server_error"), .failing)
        play.probe(60, .up, .failing)
        play.probe(90, .unknown("no list"), .failing)
        play.probe(120, .up, .failing)
        play.probe(150, .up, .healthy)
    }

    @Test func `traffic is believed before probes`() {
        var play = Transcript()
        play.traffic(0, 10, 0, .healthy)
        // A key that may chat, but not list models.
        play.probe(1, .failing("authentication"), .healthy)
        play.traffic(2, 0, 9, .healthy)
        play.traffic(3, 0, 1, .failing)
        #expect(play.judge.why == "10 of 20 requests failed")
        play.probe(4, .up, .failing)
        play.probe(5, .up, .failing)
    }

    @Test func `five failures without one success are enough where little is asked`() {
        var play = Transcript()
        for second in 0..<4 { play.traffic(Double(second) * 10, 0, 1, .unknown) }
        play.traffic(40, 0, 1, .failing)
        #expect(play.judge.why == "all of 5 requests failed")
    }

    @Test func `an open breaker fails a target at once, whatever it answered before`() {
        var play = Transcript()
        play.traffic(0, 1_000, 0, .healthy)
        play.traffic(1, 40, 10, isShut: true, .failing)
        #expect(play.judge.why == "its circuit breaker is open")
    }

    @Test func `what failed by its traffic comes back by traffic, not by a list of models`() {
        var play = Transcript()
        play.traffic(0, 0, 10, .failing)
        play.traffic(4, 3, 0, .failing)
        // At most a fifth of the last 10 to 15 s fails, and ten seconds have passed.
        play.traffic(21, 2, 0, .failing)
        play.traffic(22, 1, 0, .healthy)

        play = Transcript()
        play.traffic(0, 0, 10, .failing)
        play.probe(30, .up, .failing)
        play.probe(45, .up, .failing)
        // Nobody uses it any more: then the list is all there is.
        play.probe(75, .up, .healthy)
    }

    @Test func `chats of its own model bring it back before its traffic does`() {
        var play = Transcript()
        play.traffic(0, 0, 10, .failing)
        play.probe(16, .up, isChat: true, .failing)
        play.probe(17, .up, isChat: true, .healthy)
    }

    @Test func `what is known grows old`() {
        var play = Transcript()
        play.traffic(0, 10, 0, .healthy)
        play.wait(until: 59, .healthy)
        play.wait(until: 60, .unknown)
        play.probe(61, .up, .healthy)
        play.wait(until: 150, .healthy)
        play.wait(until: 151, .unknown)
        play.probe(160, .failing("timeout"), .failing)
        play.wait(until: 459, .failing)
        play.wait(until: 460, .unknown)
        #expect(play.judge.percent(at: HealthTests.at(460)) == 10, "also then its requests return by degrees")
    }

    @Test func `a target that fails a little keeps the verdict that it had`() {
        var play = Transcript()
        play.traffic(0, 70, 30, .unknown)
        play = Transcript()
        play.traffic(0, 100, 0, .healthy)
        for second in 1...120 {
            play.traffic(Double(second), 70, 30, .healthy)
            play.wait(until: Double(second), .healthy)
        }
    }

    @Test func `requests return by degrees`() {
        var play = Transcript()
        play.probe(0, .failing("connect"), .failing)
        #expect(play.judge.percent(at: HealthTests.at(1)) == 1)
        play.probe(30, .up, .failing)
        play.probe(60, .up, .healthy)
        let expected: [(Double, Int)] = [(60, 10), (64.9, 10), (65, 25), (70, 50), (74.9, 50), (75, 100)]
        for (second, percent) in expected {
            play.wait(until: second, .healthy)
            #expect(play.judge.percent(at: HealthTests.at(second)) == percent, "\(second)")
        }
    }

    @Test func `the window forgets after a minute, slot by slot`() {
        var window = TrafficWindow()
        window.note(successes: 1, failures: 2, throttled: 3, at: HealthTests.at(2))
        window.note(successes: 10, failures: 0, throttled: 0, at: HealthTests.at(7))
        func sums(_ slots: Int, _ second: Double) -> TrafficWindow.Sums {
            window.sums(slots: slots, at: HealthTests.at(second))
        }
        // Times must not go back: each look may forget.
        let (first, second) = (sums(3, 14), sums(3, 15))
        #expect(first.telling == 13 && second.telling == 10)
        let (whole, later, end) = (sums(12, 59), sums(12, 60), sums(12, 65))
        #expect(whole == TrafficWindow.Sums(successes: 11, failures: 2, throttled: 3))
        #expect(later.telling == 10 && end == TrafficWindow.Sums())
    }

    // MARK: - All targets

    @Test func `a probe tells of all targets of its provider, and of a model that is missing only of that one`() {
        var board = HealthBoard()
        board.follow(["a/x", "a/y", "ab/x"], at: HealthTests.at(0))
        board.take(.up, of: "a", model: "x", every: .seconds(30), at: HealthTests.at(1))
        var flips = board.advance(to: HealthTests.at(1))
        #expect(flips.map(\.target) == ["a/x", "a/y"] && flips.allSatisfy { $0.to == .healthy })
        board.take(
            .failing("not_found"), of: "a", model: "x", concernsModelAlone: true, every: .seconds(30),
            at: HealthTests.at(31))
        flips = board.advance(to: HealthTests.at(31))
        #expect(flips == [HealthFlip(target: "a/x", from: .healthy, to: .failing, why: "probe: not_found")])
        #expect(board.advance(to: HealthTests.at(32)).isEmpty, "each change is told once")
        board.take(HealthTests.news(5, 0), of: "nobody/x", at: HealthTests.at(33))
        #expect(board.targets.count == 3, "what no route names takes no memory")
        board.follow(["a/x", "b/z"], at: HealthTests.at(34))
        #expect(board.targets.keys.sorted() == ["a/x", "b/z"] && board.targets["a/x"]?.verdict == .failing)
    }

    @Test func `a route is served by nobody only when all its targets are known to fail`() {
        var board = HealthBoard()
        var route = RouteRecord(name: "r")
        route.targets = [
            RouteTarget(provider: "a", model: "m", weight: 1), RouteTarget(provider: "b", model: "m", weight: 1),
            RouteTarget(provider: "c", model: "m", weight: 0),
        ]
        board.follow(["a/m", "b/m", "c/m"], at: HealthTests.at(0))
        board.take(.failing("x"), of: "a", every: .seconds(30), at: HealthTests.at(1))
        #expect(!board.isServedByNobody(route))
        board.take(.failing("x"), of: "b", every: .seconds(30), at: HealthTests.at(1))
        #expect(board.isServedByNobody(route))
    }

    // MARK: - Weights

    private static let (good, bad) = (
        TargetStanding(isHealthy: true, percent: 100), TargetStanding(isHealthy: false, percent: 1)
    )

    private static func weights(_ targets: [(weight: Int, group: Int)], _ standings: [TargetStanding]) -> [Int] {
        var route = RouteRecord(name: "r")
        route.targets = targets.enumerated().map {
            RouteTarget(provider: "p\($0)", model: "m", weight: $1.weight, group: $1.group)
        }
        let names = Dictionary(uniqueKeysWithValues: standings.enumerated().map { ("p\($0)/m", $1) })
        return route.weighed { names[$0] ?? .unknown }.targets.map(\.weight)
    }

    @Test func `a failing target keeps a hundredth where another one of its group works`() {
        let (good, bad) = (HealthTests.good, HealthTests.bad)
        #expect(HealthTests.weights([(90, 1), (10, 1)], [bad, good]) == [90, 1_000])
        #expect(HealthTests.weights([(1, 1), (1, 1)], [bad, good]) == [1, 100])
        #expect(HealthTests.weights([(0, 1), (7, 1), (3, 1)], [bad, bad, good]) == [0, 7, 300])
        #expect(HealthTests.weights([(1_000_000, 1), (5, 1)], [bad, good]) == [10_000, 5], "as high as may be")
    }

    @Test func `nothing changes where nobody else is known to work, or all do`() {
        let (good, bad) = (HealthTests.good, HealthTests.bad)
        #expect(HealthTests.weights([(90, 1), (10, 1)], [bad, bad]) == [90, 10])
        #expect(HealthTests.weights([(90, 1), (10, 1)], [bad, .unknown]) == [90, 10])
        #expect(HealthTests.weights([(90, 1), (10, 1)], [good, good]) == [90, 10])
        #expect(HealthTests.weights([(90, 1), (10, 1)], [good, .unknown]) == [90, 10])
        // The next group has nothing to do with it.
        #expect(HealthTests.weights([(90, 1), (10, 2)], [bad, good]) == [90, 10])
        #expect(HealthTests.weights([(90, 1), (0, 1)], [bad, good]) == [90, 0])
    }

    @Test func `one that recovers has its part; when it is the only one, all`() {
        let (good, bad) = (HealthTests.good, HealthTests.bad)
        let back = TargetStanding(isHealthy: true, percent: 10)
        #expect(HealthTests.weights([(90, 1), (10, 1)], [back, good]) == [900, 1_000])
        #expect(HealthTests.weights([(50, 1), (50, 1)], [back, bad]) == [5_000, 50])
        #expect(HealthTests.weights([(50, 1), (50, 1)], [back, back]) == [50, 50])
    }

    // MARK: - Counting

    @Test func `tallies of lanes add up exactly, and their median is an eighth off at most`() {
        var sum = TargetTally()
        for lane in 0..<3 {
            var tally = TargetTally()
            for _ in 0...lane { tally.note(.success) }
            tally.note(.failure)
            tally.note(.throttled)
            sum.merge(tally)
        }
        #expect(sum.successes == 6 && sum.failures == 3 && sum.throttled == 3 && sum.total == 12)
        #expect(sum.medianMicroseconds == 0)
        var chance = Chance(seed: 5)
        for _ in 0..<300 {
            let typical = 1 + Int64(chance.below(60_000_000))
            var tally = TargetTally()
            for factor in [0, 1, 1, 1, 1_000] { tally.note(firstToken: .microseconds(typical * Int64(factor))) }
            let median = Double(tally.medianMicroseconds)
            #expect(abs(median - Double(typical)) <= max(1, Double(typical) / 8), "\(typical): \(median)")
        }
    }
}
