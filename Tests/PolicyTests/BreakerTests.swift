// A lane's window of failures, and the shared record's way from closed to open and back.

import Core
import Policy
import Testing

struct BreakerTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func aWindowTripsWithTwentySamplesOfWhichHalfFailed() {
        var window = FailureWindow()
        for step in 0..<19 {
            #expect(window.note(step % 2 == 0 ? .success : .failure, at: at(Int64(step))) == false)
        }
        #expect(window.note(.failure, at: at(20)) == true)
        #expect(window.counts(at: at(20)) == (10, 10))
    }

    @Test func fewFailuresAmongManySuccessesDoNotTrip() {
        var window = FailureWindow()
        for step in 0..<1_000 {
            #expect(window.note(step % 3 == 0 ? .failure : .success, at: at(Int64(step))) == false)
        }
    }

    @Test func fiveFailuresInARowTripAndAnAnswerBreaksTheRow() {
        var window = FailureWindow()
        for _ in 0..<4 { #expect(window.note(.failure, at: at(0)) == false) }
        #expect(window.note(.success, at: at(0)) == false)
        for _ in 0..<4 { #expect(window.note(.failure, at: at(1)) == false) }
        #expect(window.note(.failure, at: at(1)) == true)
    }

    @Test func theWindowForgetsAfterTenSeconds() {
        var window = FailureWindow()
        for _ in 0..<15 { _ = window.note(.failure, at: at(500)) }
        #expect(window.counts(at: at(9_999)).failures == 15)
        #expect(window.counts(at: at(10_000)).failures == 0)
        for _ in 0..<15 { _ = window.note(.failure, at: at(11_000)) }
        #expect(window.counts(at: at(3_600_000)) == (0, 0))
    }

    private static let now: Int64 = 1_800_000_000_000_000

    private func trip(_ model: inout BreakerModel, at now: Int64) -> BreakerReply {
        model.run(
            .report(epoch: model.record.epoch, node: 1, successes: 0, failures: 20, isTripped: true), jitter: 0, at: now
        )
    }

    @Test func oneNodeWithFewSamplesDoesNotOpenTheBreakerOfAllButASecondNodeDoes() {
        var model = BreakerModel()
        let first = BreakerCall.report(epoch: 0, node: 1, successes: 0, failures: 5, isTripped: true)
        let second = BreakerCall.report(epoch: 0, node: 2, successes: 0, failures: 5, isTripped: true)
        #expect(model.run(first, jitter: 0, at: Self.now).verdict == .counted)
        #expect(model.run(first, jitter: 0, at: Self.now + 1).verdict == .counted)
        #expect(model.run(second, jitter: 0, at: Self.now + 2).verdict == .opened)
        #expect(model.run(second, jitter: 0, at: Self.now + 3).verdict == .stale, "its epoch is over")
    }

    @Test func waitsDoubleFromFiveToSixtySeconds() {
        var model = BreakerModel()
        var now = Self.now
        var reply = trip(&model, at: now)
        for seconds: Int64 in [5, 10, 20, 40, 60, 60, 60] {
            #expect(reply.record.until - now == seconds * 1_000_000)
            #expect(model.run(.admit, jitter: 0, at: reply.record.until - 1).verdict == .noProbe)
            now = reply.record.until
            let probe = model.run(.admit, jitter: 0, at: now)
            #expect(probe.verdict == .probe)
            reply = model.run(.probed(epoch: probe.record.epoch, isGood: false), jitter: 0, at: now)
            #expect(reply.verdict == .opened)
        }
    }

    @Test func threeGoodProbesCloseItAndRequestsReturnByDegrees() {
        var model = BreakerModel()
        var now = trip(&model, at: Self.now).record.until
        for expected: BreakerVerdict in [.better, .better, .closed] {
            let probe = model.run(.admit, jitter: 0, at: now)
            #expect(probe.verdict == .probe)
            #expect(model.run(.admit, jitter: 0, at: now).verdict == .noProbe, "one probe at a time")
            #expect(probe.record.share(at: now) == 0)
            now += 1_000
            let end = model.run(.probed(epoch: probe.record.epoch, isGood: true), jitter: 0, at: now)
            #expect(end.verdict == expected)
        }
        let shares = [0, 4, 7, 10].map { model.record.share(at: now + $0 * 1_000_000) }
        #expect(shares == [10, 25, 50, 100])
        #expect(trip(&model, at: now + 1_000_000).record.step == 1, "a relapse waits longer")
    }

    @Test func aProbeWhoseProberDiedIsGivenToAnotherAndItsLateNewsIsIgnored() {
        var model = BreakerModel()
        let now = trip(&model, at: Self.now).record.until
        let dead = model.run(.admit, jitter: 0, at: now)
        #expect(model.run(.admit, jitter: 0, at: dead.record.leaseUntil - 1).verdict == .noProbe)
        let next = model.run(.admit, jitter: 0, at: dead.record.leaseUntil)
        #expect(next.verdict == .probe)
        #expect(next.record.epoch > dead.record.epoch)
        let late = model.run(.probed(epoch: dead.record.epoch, isGood: false), jitter: 0, at: next.atMicroseconds + 1)
        #expect(late.verdict == .stale)
    }

    @Test("d1: a probe whose request says nothing is free for the next one, and costs nothing of the row")
    func aReleasedProbeIsFree() {
        var model = BreakerModel()
        let now = trip(&model, at: Self.now).record.until
        let good = model.run(.admit, jitter: 0, at: now)
        #expect(model.run(.probed(epoch: good.record.epoch, isGood: true), jitter: 0, at: now).verdict == .better)
        let probe = model.run(.admit, jitter: 0, at: now + 1)
        #expect(model.run(.release(epoch: good.record.epoch), jitter: 0, at: now + 2).verdict == .stale)
        #expect(model.run(.release(epoch: probe.record.epoch), jitter: 0, at: now + 3).verdict == .released)
        #expect(model.run(.probed(epoch: probe.record.epoch, isGood: false), jitter: 0, at: now + 4).verdict == .stale)
        let next = model.run(.admit, jitter: 0, at: now + 5)
        #expect(next.verdict == .probe && next.record.successes == 1)
    }

    @Test("d1: a probe is its node's while the node renews it, and another's soon after its death")
    func aRenewedProbeIsKept() {
        var model = BreakerModel()
        var now = trip(&model, at: Self.now).record.until
        let probe = model.run(.admit, jitter: 0, at: now)
        for _ in 0..<30 {
            now += 1_000_000
            #expect(model.run(.renew(epoch: probe.record.epoch), jitter: 0, at: now).verdict == .renewed)
            #expect(model.run(.admit, jitter: 0, at: now + 999_999).verdict == .noProbe)
        }
        #expect(model.record.leaseUntil - now < BreakerTimes.standard.open, "the node dies")
        #expect(model.run(.admit, jitter: 0, at: model.record.leaseUntil).verdict == .probe)
        #expect(model.run(.renew(epoch: probe.record.epoch), jitter: 0, at: now + 9_000_000).verdict == .stale)
    }

    @Test func anOrderHoldsUntilItsEnd() {
        var model = BreakerModel()
        _ = trip(&model, at: Self.now)
        let closed = model.run(.order(.closed, microseconds: 600_000_000), jitter: 0, at: Self.now)
        #expect(closed.record.share(at: Self.now + 599_999_999) == 100)
        #expect(closed.record.share(at: Self.now + 600_000_000) == 0, "it is still open by itself")
        #expect(model.run(.admit, jitter: 0, at: Self.now + 599_999_999).verdict == .noProbe)
        let auto = model.run(.order(.auto, microseconds: 0), jitter: 0, at: Self.now + 1)
        #expect(auto.record.order(at: Self.now + 1) == .auto)
        let open = model.run(.order(.open, microseconds: .max / 2), jitter: 0, at: Self.now)
        #expect(open.record.orderUntil == Self.now + BreakerModel.orderLimit)
    }
}
