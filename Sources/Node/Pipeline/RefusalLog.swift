// Which refused requests of a key have a log line of their own: all at first, then a sample; the rest is counted.
import Core
import Telemetry

/// Refusals of one key on one lane in the present minute.
struct RefusalLog {
    private struct Count {
        let outcome: String
        var refused = 0
        var logged = 0
    }

    /// One for each outcome that occurred; the outcomes are a closed set of about thirty.
    private var counts: [Count] = []

    /// Lines of one outcome in full, each minute.
    static let inFull = 100
    /// Then one of so many, and of ten times as many with each further power of ten: some 90 lines each, however fast they come.
    static let sample = 100
    /// After so long all begins anew.
    static let window = Duration.seconds(60)

    /// True when nothing was refused in this minute.
    var isEmpty: Bool { counts.isEmpty }

    /// Counts a refusal; true when it is logged.
    mutating func logs(_ outcome: String) -> Bool {
        var place = 0
        while place < counts.count, counts[place].outcome != outcome { place += 1 }
        if place == counts.count { counts.append(Count(outcome: outcome)) }
        counts[place].refused += 1
        let number = counts[place].refused
        guard number <= RefusalLog.inFull || number % RefusalLog.step(at: number) == 0 else { return false }
        counts[place].logged += 1
        return true
    }

    private static func step(at number: Int) -> Int {
        var step = sample
        while number / step >= 100 { step *= 10 }
        return step
    }

    /// The minute is over: what had not all its lines is handed to `tell`.
    mutating func end(_ tell: (_ outcome: String, _ refused: Int, _ logged: Int) -> Void) {
        for count in counts where count.refused > count.logged { tell(count.outcome, count.refused, count.logged) }
        counts.removeAll(keepingCapacity: true)
    }
}
