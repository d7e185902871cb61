// What all nodes saw of a target in the last minute, as the coordinator hears of it each second.
import Core

/// Ends of attempts in twelve slots of five seconds.
public struct TrafficWindow: Sendable, Equatable {
    /// Sums of a time.
    public struct Sums: Sendable, Equatable {
        /// Attempts that were answered.
        public var successes = 0
        /// Attempts that failed by the target's fault.
        public var failures = 0
        /// Attempts that it turned away for a while.
        public var throttled = 0

        /// Sums of their parts.
        public init(successes: Int = 0, failures: Int = 0, throttled: Int = 0) {
            (self.successes, self.failures, self.throttled) = (successes, failures, throttled)
        }

        /// Attempts that say whether it works.
        public var telling: Int { successes + failures }
    }

    private static let width: Int64 = 5_000_000_000
    private static let slotCount = 12
    private var slots = [Sums](repeating: Sums(), count: TrafficWindow.slotCount)
    /// The number of the newest slot since the clock's zero.
    private var newest: Int64 = .min

    /// A window that saw nothing.
    public init() {}

    /// Adds what a node reported.
    public mutating func note(successes: Int, failures: Int, throttled: Int, at now: Instant) {
        advance(to: now)
        let place = TrafficWindow.place(of: newest)
        slots[place].successes = TrafficWindow.sum(slots[place].successes, successes)
        slots[place].failures = TrafficWindow.sum(slots[place].failures, failures)
        slots[place].throttled = TrafficWindow.sum(slots[place].throttled, throttled)
    }

    /// The last so many slots, the present one among them: 3 for the last 10 to 15 s, 12 for the last minute.
    public mutating func sums(slots count: Int = 12, at now: Instant) -> Sums {
        advance(to: now)
        var sums = Sums()
        for back in 0..<Int64(count) {
            let slot = slots[TrafficWindow.place(of: newest - back)]
            sums.successes += slot.successes
            sums.failures += slot.failures
            sums.throttled += slot.throttled
        }
        return sums
    }

    private mutating func advance(to now: Instant) {
        let number = now.nanoseconds / TrafficWindow.width
        guard number > newest else { return }
        if newest == .min || number - newest >= Int64(TrafficWindow.slotCount) {
            slots = [Sums](repeating: Sums(), count: TrafficWindow.slotCount)
        } else {
            for gone in newest + 1...number { slots[TrafficWindow.place(of: gone)] = Sums() }
        }
        newest = number
    }

    /// More than all nodes can do in five seconds: what a node tells beyond it is not believed, and sums of slots stay far from overflow.
    private static let slotLimit = 1 << 40

    private static func sum(_ known: Int, _ news: Int) -> Int { known + max(0, min(news, slotLimit - known)) }

    private static func place(of number: Int64) -> Int {
        let count = Int64(slotCount)
        return Int((number % count + count) % count)
    }
}
