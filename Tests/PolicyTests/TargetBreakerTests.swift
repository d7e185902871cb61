// A lane's side of a circuit breaker: what it decides alone, what the cluster decides, who probes, how requests return.
import Core
import Testing

@testable import Policy

@Suite struct TargetBreakerTests {
    private static func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }
    /// Redis' clock at the lane's zero.
    private static let zero: Int64 = 1_800_000_000_000_000

    private static func fail(_ breaker: inout TargetBreaker, _ count: Int, at second: Double) {
        for _ in 0..<count { _ = breaker.ended(.failure, .usual, jitter: 0, at: at(second)) }
    }

    /// A record as Redis tells it `second` seconds after the zero.
    private static func learn(
        _ breaker: inout TargetBreaker, at second: Double, _ edit: (inout BreakerRecord) -> Void
    ) {
        var record = breaker.record
        record.epoch += 1
        edit(&record)
        breaker.learn(record, shared: zero + Int64(second * 1e6), at: at(second))
    }

    private static func shared(_ second: Double) -> Int64 { zero + Int64(second * 1e6) }

    @Test func `a lane shuts a failing target off at once, lets one request look after a wait, and doubles the wait`() {
        var breaker = TargetBreaker()
        Self.fail(&breaker, 4, at: 0)
        #expect(breaker.passage(at: Self.at(0), isAlone: false) == .free)
        Self.fail(&breaker, 1, at: 0)
        #expect(breaker.passage(at: Self.at(0.9), isAlone: false) == .blocked(until: Self.at(1)))
        var now = 1.0
        for wait in [2.0, 4, 8, 16, 32, 60, 60] {
            #expect(breaker.passage(at: Self.at(now), isAlone: false) == .probe)
            let answer1 = breaker.enter(at: Self.at(now), isAlone: false)
            #expect(answer1 == .go(.ownProbe))
            guard case .blocked = breaker.passage(at: Self.at(now), isAlone: false) else {
                return #expect(Bool(false), "one request looks, alone")
            }
            _ = breaker.ended(.failure, .ownProbe, jitter: 0, at: Self.at(now))
            #expect(breaker.passage(at: Self.at(now), isAlone: false) == .blocked(until: Self.at(now + wait)))
            now += wait
        }
        _ = breaker.enter(at: Self.at(now), isAlone: false)
        _ = breaker.ended(.success, .ownProbe, jitter: 0, at: Self.at(now))
        #expect(breaker.passage(at: Self.at(now), isAlone: false) == .free)
        Self.fail(&breaker, 4, at: now)
        #expect(breaker.passage(at: Self.at(now), isAlone: false) == .free, "it begins anew")
    }

    @Test func `the cluster hears of failures and of a trip, and of nothing while all is well`() {
        var breaker = TargetBreaker()
        for _ in 0..<50 { _ = breaker.ended(.success, .usual, jitter: 0, at: Self.at(1)) }
        let answer2 = breaker.report(node: 3, at: Self.at(1))
        #expect(answer2 == nil)
        Self.fail(&breaker, 5, at: 2)
        let report = BreakerCall.report(epoch: 0, node: 3, successes: 50, failures: 5, isTripped: true)
        let answer3 = breaker.report(node: 3, at: Self.at(2))
        #expect(answer3 == report)
        let answer4 = breaker.report(node: 3, at: Self.at(2))
        #expect(answer4 == nil, "once")
        for _ in 0..<9 { _ = breaker.ended(.success, .usual, jitter: 0, at: Self.at(3)) }
        let answer5 = breaker.report(node: 3, at: Self.at(20))
        #expect(answer5 == nil)
        Self.fail(&breaker, 1, at: 21)
        let later = BreakerCall.report(epoch: 0, node: 3, successes: 0, failures: 1, isTripped: false)
        let answer6 = breaker.report(node: 3, at: Self.at(21))
        #expect(answer6 == later, "what was well long ago does not count")
    }

    private static func open(until second: Double) -> TargetBreaker {
        var breaker = TargetBreaker()
        learn(&breaker, at: 0) { ($0.state, $0.until) = (.open, shared(second)) }
        return breaker
    }

    @Test func `an open breaker asks the cluster for its probe only with a request in hand`() {
        var breaker = Self.open(until: 5)
        #expect(breaker.passage(at: Self.at(4.9), isAlone: false) == .blocked(until: Self.at(5)))
        let early = breaker.enter(at: Self.at(4.9), isAlone: false)
        #expect(early == .blocked)
        #expect(breaker.passage(at: Self.at(60), isAlone: false) == .probe, "nobody held it meanwhile")
        let first = breaker.enter(at: Self.at(60), isAlone: false)
        #expect(first == .ask)
        let second = breaker.enter(at: Self.at(60), isAlone: false)
        #expect(second == .blocked, "one asks at a time")
        breaker.denied()
        let third = breaker.enter(at: Self.at(60), isAlone: false)
        #expect(third == .ask, "the cluster said no, or nothing")
        Self.learn(&breaker, at: 60) { ($0.state, $0.leaseUntil) = (.halfOpen, Self.shared(63)) }
        let ticket = breaker.granted(at: Self.at(60))
        #expect(ticket == .sharedProbe(epoch: 2))
        #expect(breaker.passage(at: Self.at(61), isAlone: false) == .blocked(until: Self.at(62)), "one probe an epoch")
        let isShared = breaker.ended(.success, ticket, jitter: 0, at: Self.at(62))
        #expect(isShared, "the cluster must hear of it")
        Self.learn(&breaker, at: 62) { ($0.epoch, $0.leaseUntil, $0.successes) = ($0.epoch - 1, 0, 1) }
        #expect(breaker.passage(at: Self.at(62), isAlone: false) == .probe, "the next one, immediately")
    }

    @Test func `d1: a probe that says nothing is released, and one under way is renewed each second`() {
        var breaker = Self.open(until: 5)
        _ = breaker.enter(at: Self.at(5), isAlone: false)
        Self.learn(&breaker, at: 5) { ($0.state, $0.leaseUntil) = (.halfOpen, Self.shared(8)) }
        let ticket = breaker.granted(at: Self.at(5))
        let early = breaker.renewal(at: Self.at(5.9))
        #expect(early == nil)
        let due = breaker.renewal(at: Self.at(6))
        #expect(due == .renew(epoch: 2))
        let again = breaker.renewal(at: Self.at(6.5))
        #expect(again == nil)
        let released = breaker.giveBack(ticket)
        #expect(released == .release(epoch: 2))
        let twice = breaker.giveBack(ticket)
        #expect(twice == nil)
        let over = breaker.renewal(at: Self.at(9))
        #expect(over == nil)
        Self.learn(&breaker, at: 9) { ($0.state, $0.leaseUntil) = (.halfOpen, Self.shared(12)) }
        let late = breaker.giveBack(ticket)
        #expect(late == nil, "another has the probe")
        let own = TargetBreaker.Ticket.ownProbe
        let nothing = breaker.giveBack(own)
        #expect(nothing == nil)
    }

    @Test func `the probe of a lane that decides alone is free again when its request says nothing`() {
        var breaker = TargetBreaker()
        Self.fail(&breaker, 5, at: 0)
        let first = breaker.enter(at: Self.at(1), isAlone: false)
        #expect(first == .go(.ownProbe))
        let second = breaker.enter(at: Self.at(1), isAlone: false)
        #expect(second == .blocked)
        _ = breaker.giveBack(.ownProbe)
        let third = breaker.enter(at: Self.at(1), isAlone: false)
        #expect(third == .go(.ownProbe))
    }

    @Test func `requests return by degrees after a recovery`() {
        var breaker = TargetBreaker()
        Self.learn(&breaker, at: 0) { ($0.state, $0.recoveredAt) = (.closed, Self.shared(0)) }
        let shares = [0.0, 4, 7, 10].map { breaker.passage(at: Self.at($0), isAlone: false) }
        #expect(shares == [.sparing(10), .sparing(25), .sparing(50), .free])
    }

    @Test func `an operator's order stands above all, and ends by itself`() {
        var breaker = TargetBreaker()
        Self.learn(&breaker, at: 0) { ($0.order, $0.orderUntil) = (.open, Self.shared(60)) }
        #expect(breaker.passage(at: Self.at(1), isAlone: true) == .blocked(until: Self.at(60)))
        let answer13 = breaker.enter(at: Self.at(1), isAlone: false)
        #expect(answer13 == .blocked)
        #expect(breaker.passage(at: Self.at(60), isAlone: false) == .free)
        Self.learn(&breaker, at: 61) {
            ($0.order, $0.orderUntil, $0.state, $0.until) = (.closed, Self.shared(90), .open, Self.shared(99))
        }
        #expect(breaker.passage(at: Self.at(62), isAlone: false) == .free)
        #expect(breaker.passage(at: Self.at(91), isAlone: false) == .blocked(until: Self.at(99)))
    }

    @Test func `without Redis each lane finds out for itself, one request at a time`() {
        var breaker = TargetBreaker()
        Self.learn(&breaker, at: 0) { ($0.state, $0.until) = (.open, Self.shared(5)) }
        #expect(breaker.passage(at: Self.at(4), isAlone: true) == .blocked(until: Self.at(5)))
        let answer14 = breaker.enter(at: Self.at(5), isAlone: true)
        #expect(answer14 == .go(.ownProbe))
        #expect(breaker.passage(at: Self.at(5), isAlone: true) == .blocked(until: Self.at(6)))
    }
}
