// How long a test waits for a condition, on machines of any speed.
import Foundation

/// What went wrong in a test's own surroundings.
package struct TestFailure: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// Waits until the condition holds: enough for `seconds` on a machine that has nothing else to do.
package func eventually(
    _ what: String, seconds: Double = 20, pause: Duration = .milliseconds(10),
    _ condition: () async throws -> Bool, otherwise: () -> String = { "" }
) async throws {
    var patience = Patience(seconds: seconds)
    repeat {
        if try await condition() { return }
        try await Task.sleep(for: pause)
    } while patience.lasts(pause)
    throw TestFailure("\(what): not so after \(seconds) s \(otherwise())")
}

/// Waits until a number is above `floor` and stays the same for half a second of looks: what runs has come to a rest. The number.
package func atRest(
    _ what: String, above floor: Int = 0, seconds: Double = 20, _ read: () async throws -> Int
) async throws -> Int {
    var (last, looks) = (Int.min, 0)
    try await eventually(what, seconds: seconds, pause: .milliseconds(50)) {
        let now = try await read()
        looks = now == last && now > floor ? looks + 1 : 0
        last = now
        return looks == 10
    }
    return last
}

/// The same as `eventually`, on a thread that may block.
package func waitOnThread(
    _ what: String, seconds: Double = 20, pause: Duration = .milliseconds(10), _ condition: () throws -> Bool,
    otherwise: () -> String = { "" }
) throws {
    var patience = Patience(seconds: seconds)
    repeat {
        if try condition() { return }
        Thread.sleep(forTimeInterval: Double(pause.components.attoseconds) / 1e18 + Double(pause.components.seconds))
    } while patience.lasts(pause)
    throw TestFailure("\(what): not so after \(seconds) s \(otherwise())")
}

/// A limit for a condition that a test looks at again and again. It counts the pauses that the test asked for, not the time that went by: a machine
/// that is busy with other things makes a wait longer, and fails no test.
package struct Patience {
    private var left: Duration
    /// The end for a machine that hangs.
    private let end: ContinuousClock.Instant

    /// Enough for `seconds` on a machine that has nothing else to do.
    package init(seconds: Double) {
        left = .seconds(seconds)
        end = ContinuousClock.now + .seconds(max(60, 10 * seconds))
    }

    /// Counts a pause; false when there was enough of them.
    package mutating func lasts(_ pause: Duration) -> Bool {
        left -= pause
        return left > .zero && ContinuousClock.now < end
    }
}
