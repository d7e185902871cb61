// Averages and rates that forget.
import Core
import Testing

@testable import Telemetry

@Suite struct RateTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func halfIsForgottenAfterEachHalfLife() {
        #expect(Decay.share(after: .seconds(10), halfLife: .seconds(10)) == 0.5)
        #expect(Decay.share(after: .seconds(40), halfLife: .seconds(10)) == 0.0625)
        #expect(abs(Decay.share(after: .seconds(5), halfLife: .seconds(10)) - 0.5.squareRoot()) < 1e-9)
        #expect(abs(Decay.share(after: .milliseconds(9999), halfLife: .seconds(10)) - 0.500034658) < 1e-9)
        #expect(Decay.share(after: .seconds(-1), halfLife: .seconds(10)) == 1)
        #expect(Decay.share(after: .seconds(1_000_000), halfLife: .milliseconds(1)) == 0)
    }

    @Test func anAverageIsRightFromItsFirstObservationOn() throws {
        var average = MovingAverage(halfLife: .seconds(1))
        #expect(average.value == nil)
        average.record(8, at: at(0))
        #expect(average.value == 8)
        average.record(2, at: at(1000))
        // 8 weighs one half by now: (4 + 2) / 1.5.
        #expect(abs(try #require(average.value) - 4) < 1e-9)
        #expect(abs(average.weight(at: at(2000)) - 0.75) < 1e-9)
    }

    @Test func aConstantRateIsToldWhileTheEstimatorIsYoung() {
        var rate = RateEstimator(halfLife: .seconds(10), from: at(0))
        #expect(rate.perSecond(at: at(0)) == 0)
        for step in 1...1000 {
            rate.record(at: at(Int64(step) * 10))
            if step >= 100 { #expect(abs(rate.perSecond(at: at(Int64(step) * 10)) - 100) < 1.2) }
        }
    }

    @Test func aRateFadesWhenNothingHappens() {
        var rate = RateEstimator(halfLife: .seconds(1), from: at(0))
        for step in 1...2000 { rate.record(at: at(Int64(step) * 10)) }
        #expect(abs(rate.perSecond(at: at(20_000)) - 100) < 1)
        #expect(abs(rate.perSecond(at: at(21_000)) - 50) < 1)
        #expect(rate.perSecond(at: at(60_000)) < 0.001)
    }

    @Test func timeThatRunsBackwardsCountsAsNoTime() {
        var rate = RateEstimator(halfLife: .seconds(1), from: at(1000))
        rate.record(at: at(2000))
        let before = rate.perSecond(at: at(2000))
        rate.record(0, at: at(500))
        #expect(rate.perSecond(at: at(0)) == before)
    }
}
