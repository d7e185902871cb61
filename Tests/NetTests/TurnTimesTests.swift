// How a lane remembers its longest turns.
import Core
import Testing

@testable import Net

@Suite struct TurnTimesTests {
    private static func instant(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func theLongestTurnIsRememberedHoweverOftenItIsRead() {
        var times = TurnTimes()
        times.record(from: Self.instant(0), to: Self.instant(120))
        for second in 1...29 {
            let now = Int64(second) * 1_000
            times.record(from: Self.instant(now), to: Self.instant(now + 1))
            #expect(times.longest(at: Self.instant(now + 1)) == .milliseconds(120), "after \(second) s")
        }
        times.record(from: Self.instant(31_000), to: Self.instant(31_002))
        #expect(times.longest(at: Self.instant(31_002)) == .milliseconds(120), "the window before counts")
        times.record(from: Self.instant(62_000), to: Self.instant(62_003))
        #expect(times.longest(at: Self.instant(62_003)) == .milliseconds(3))
        #expect(times.all.count == 32 && times.all.largest == 120_000_000)
    }

    @Test func onlyWhatIsBeyondTheUsualIsLate() {
        var times = TurnTimes()
        times.record(from: Self.instant(0), to: Self.instant(5))
        #expect(times.lateness == .zero)
        times.record(from: Self.instant(10), to: Self.instant(60))
        #expect(times.lateness == .milliseconds(45))
    }
}
