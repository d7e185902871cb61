// A lane that hangs is seen from another lane, and so is its return.
import Core
import Foundation
import Net
import TestSupport
import Testing

@Suite struct LaneWatchTests {
    /// What the watch said, in its order.
    private final class Said: @unchecked Sendable {
        private let lock = NSLock()
        private var words: [String] = []
        func add(_ word: String) { lock.withLock { words.append(word) } }
        var all: [String] { lock.withLock { words } }
    }

    private struct Watching: @unchecked Sendable { let watch: LaneWatch }

    @Test func `a lane that makes no turn is named until it makes one, and only it`() async throws {
        let lanes = try Lane.start(count: 3, name: "watched")
        let own = try Lane.start(count: 1, name: "watching")[0]
        defer { for lane in lanes + [own] { lane.stop() } }
        let said = Said()
        let watching: Watching = await withCheckedContinuation { continuation in
            own.execute {
                let watch = LaneWatch(lanes, from: own)
                watch.onChange = { lane, hangs in said.add("\(lane) \(hangs ? "hangs" : "runs")") }
                // Longer than the second in which a lane without work makes its turn, over all its looks.
                watch.begin(every: .milliseconds(300))
                continuation.resume(returning: Watching(watch: watch))
            }
        }
        func hung() async -> [Int] {
            await withCheckedContinuation { continuation in
                own.execute { continuation.resume(returning: watching.watch.hung) }
            }
        }
        let (begun, gate) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        lanes[1].execute {
            begun.signal()
            gate.wait()
        }
        try await eventually("it is seen", seconds: 60) { await hung() == [1] }
        gate.signal()
        try await eventually("its return is seen", seconds: 60) { await hung().isEmpty }
        #expect(said.all == ["1 hangs", "1 runs"])
    }
}
