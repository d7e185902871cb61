// The degradation ladder: what is reached by which pressure, how it is climbed, and how a lane comes down.
import Core
import Policy
import Testing

@Suite struct LoadLadderTests {
    /// Reads `count` times the same.
    private func read(_ ladder: inout LoadLadder, _ count: Int, lag: Int64 = 0, memory: Int64 = 0) {
        for _ in 0..<count { _ = ladder.read(lag: .milliseconds(lag), residentBytes: memory) }
    }

    /// Shares of the limit, and what they lead to.
    static let steps: [(Int64, LoadRung)] = [
        (69, .calm), (70, .batchShed), (74, .batchShed), (75, .queuesShort), (79, .queuesShort), (80, .answersShort),
        (84, .answersShort), (85, .interactiveOnly), (91, .interactiveOnly), (92, .closed), (300, .closed),
    ]

    @Test(arguments: steps)
    func `memory reaches each rung at its share of the limit, at once`(_ memory: Int64, _ rung: LoadRung) {
        var ladder = LoadLadder(memoryLimit: 100, lagLimit: .milliseconds(100))
        #expect(ladder.read(lag: .zero, residentBytes: memory) == (rung != .calm))
        #expect(ladder.rung == rung)
    }

    @Test func `without a limit memory is no pressure`() {
        var ladder = LoadLadder(memoryLimit: nil, lagLimit: .milliseconds(100))
        read(&ladder, 20, memory: .max)
        #expect(ladder.rung == .calm && ladder.pressure == 0)
    }

    @Test func `lag counts when five readings in a row show it, and as far as the least of them does`() {
        var ladder = LoadLadder(memoryLimit: nil, lagLimit: .milliseconds(100))
        read(&ladder, 4, lag: 5_000)
        #expect(ladder.rung == .calm)
        read(&ladder, 1, lag: 72)
        #expect(ladder.rung == .batchShed)
        read(&ladder, 5, lag: 80)
        #expect(ladder.rung == .answersShort)
        var jumping = LoadLadder(memoryLimit: nil, lagLimit: .milliseconds(100))
        for _ in 0..<100 {
            read(&jumping, 4, lag: 5_000)
            read(&jumping, 1, lag: 10)
            #expect(jumping.rung == .calm)
        }
    }

    @Test func `however late a lane is, interactive requests are served`() {
        var ladder = LoadLadder(memoryLimit: nil, lagLimit: .milliseconds(100))
        read(&ladder, 50, lag: 60_000)
        #expect(ladder.rung == .interactiveOnly)
        #expect(ladder.retryAfter(.interactive) == nil)
        #expect(ladder.retryAfter(.background) == .milliseconds(500))
        #expect(ladder.retryAfter(.batch) == .seconds(2))
    }

    @Test func `it comes down a rung each half second, and within three seconds from the top`() {
        var ladder = LoadLadder(memoryLimit: 100, lagLimit: .milliseconds(100))
        read(&ladder, 1, memory: 100)
        for rung in LoadRung.allCases.reversed().dropFirst() {
            read(&ladder, 4)
            #expect(ladder.rung.rawValue == rung.rawValue + 1)
            read(&ladder, 1)
            #expect(ladder.rung == rung)
        }
        read(&ladder, 100)
        #expect(ladder.rung == .calm)
    }

    @Test func `just below its rung it stays, and each return begins the wait anew`() {
        var ladder = LoadLadder(memoryLimit: 100, lagLimit: .milliseconds(100))
        read(&ladder, 1, memory: 70)
        read(&ladder, 100, memory: 67)
        #expect(ladder.rung == .batchShed)
        for _ in 0..<20 {
            read(&ladder, 4, memory: 10)
            read(&ladder, 1, memory: 70)
        }
        #expect(ladder.rung == .batchShed)
        read(&ladder, 5, memory: 10)
        #expect(ladder.rung == .calm)
    }

    @Test func `the time to come again is when the rung can be left`() {
        var ladder = LoadLadder(memoryLimit: 100, lagLimit: .milliseconds(100))
        for priority in PriorityClass.allCases { #expect(ladder.retryAfter(priority) == nil) }
        read(&ladder, 1, memory: 95)
        let times = PriorityClass.allCases.map { ladder.retryAfter($0) }
        #expect(times == [.milliseconds(500), .seconds(1), .milliseconds(2_500)])
        for (priority, time) in zip(PriorityClass.allCases, times) {
            var later = ladder
            read(&later, Int((time ?? .zero) / LoadLadder.interval))
            #expect(later.retryAfter(priority) == nil)
        }
    }
}
