// What a coordinator believes of the lease by its own clock.
import Core
import Policy
import Testing

struct LeaseViewTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private func reply(mine: Bool, epoch: UInt64 = 5, leftMilliseconds left: Int64 = 10_000) -> LeaseReply {
        LeaseReply(isMine: mine, epoch: epoch, left: left * 1_000, at: 0, name: mine ? "a" : "b", place: "p")
    }

    @Test func `a lease is believed for seven seconds from the question, not from the answer`() {
        var view = LeaseView()
        #expect(!view.holds(at: at(0)))
        #expect(view.take(reply(mine: true), asked: at(1_000)) == .granted(epoch: 5))
        #expect(view.holds(at: at(7_999)) && !view.holds(at: at(8_000)))
        #expect(view.take(reply(mine: true), asked: at(9_000)) == .none, "nobody led in between: the same term")
        #expect(view.holds(at: at(15_999)))
        #expect(view.take(reply(mine: true, epoch: 9), asked: at(9_500)) == .granted(epoch: 9))
    }

    @Test func `a process that was stopped finds its lease run out before it hears of anybody`() {
        var view = LeaseView()
        _ = view.take(reply(mine: true), asked: at(0))
        #expect(!view.holds(at: at(15_000)))
        #expect(view.take(reply(mine: false, epoch: 6), asked: at(15_000)) == .lost)
        #expect(view.take(reply(mine: false, epoch: 6), asked: at(15_500)) == .none, "told once")
        #expect(view.epoch == 5 && view.rival?.name == "b")
    }

    @Test func `another leader counts as alive for four seconds after it renewed`() {
        var view = LeaseView()
        _ = view.take(reply(mine: false, leftMilliseconds: 9_000), asked: at(20_000))
        #expect(view.rival?.renewedAt == at(19_000) && view.rival?.endsAt == at(29_000))
        #expect(view.isLedElsewhere(at: at(22_999)) && !view.isLedElsewhere(at: at(23_000)))
        _ = view.take(reply(mine: false, leftMilliseconds: 0), asked: at(29_100))
        #expect(view.rival == nil)
    }

    @Test func `it is asked for again in time: to renew, after an error, and right after the end of another's`() {
        var view = LeaseView()
        #expect(view.pause(failed: true, at: at(0)) == .milliseconds(500))
        _ = view.take(reply(mine: false, leftMilliseconds: 10_000), asked: at(0))
        #expect(view.pause(failed: false, at: at(0)) == .seconds(1))
        _ = view.take(reply(mine: false, leftMilliseconds: 300), asked: at(0))
        #expect(view.pause(failed: false, at: at(0)) == .milliseconds(320))
        #expect(view.pause(failed: false, at: at(5_000)) == .milliseconds(20), "never in a circle without a pause")
        _ = view.take(reply(mine: true), asked: at(0))
        #expect(view.pause(failed: false, at: at(0)) == .seconds(3))
    }
}
