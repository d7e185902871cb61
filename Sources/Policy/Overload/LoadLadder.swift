// When a lane climbs the degradation ladder, and when it comes down.
import Core

/// One lane's place on the ladder. Pure: it is given what was measured, at a fixed cadence.
///
/// It climbs at once, and comes down one rung at a time, after half a second below the rung: who goes slowly does not swing.
public struct LoadLadder: Sendable {
    /// How often it wants to be read.
    public static let interval = Duration.milliseconds(100)
    /// Lag counts as far as each of so many readings in a row showed it: one long turn is no overload, a standing delay is
    /// (as in CoDel, RFC 8289).
    static let readings = 5

    /// Where the lane stands.
    public private(set) var rung = LoadRung.calm
    /// How near the limits are; 1 is a limit.
    public private(set) var pressure = 0.0
    private let memoryLimit: Int64?
    private let lagLimit: Duration
    private var lags = [Duration](repeating: .zero, count: readings)
    private var place = 0
    private var below = 0

    /// A ladder at rest. `memoryLimit`: resident bytes of the process; nil for none. `lagLimit`: how late a lane may be.
    public init(memoryLimit: Int64?, lagLimit: Duration) {
        precondition(lagLimit > .zero && memoryLimit ?? 1 > 0, "limits are positive")
        self.memoryLimit = memoryLimit
        self.lagLimit = lagLimit
    }

    /// Takes a reading.
    ///
    /// - Returns: true when the rung changed.
    public mutating func read(lag: Duration, residentBytes: Int64) -> Bool {
        lags[place] = max(.zero, lag)
        place = (place + 1) % lags.count
        let standing = lags.min() ?? .zero
        let late = Double(standing.nanoseconds) / Double(lagLimit.nanoseconds)
        let full = memoryLimit.map { Double(residentBytes) / Double($0) } ?? 0
        // A slow lane still serves interactive requests; one without memory serves nobody.
        pressure = max(full, min(late, LoadRung.closed.threshold.nextDown))
        let before = rung
        let reached = LoadRung.reached(by: pressure)
        if reached >= rung {
            rung = reached
            below = 0
        } else if pressure > rung.threshold - 0.05 {
            below = 0
        } else {
            below += 1
            if below >= LoadLadder.readings, let lower = LoadRung(rawValue: rung.rawValue - 1) {
                rung = lower
                below = 0
            }
        }
        return rung != before
    }

    /// The earliest time at which a request of the class can be served again; nil when it can be now.
    public func retryAfter(_ priority: PriorityClass) -> Duration? {
        let refusing = LoadRung.refusing(priority)
        guard rung >= refusing else { return nil }
        let rungs = Int(rung.rawValue - refusing.rawValue) + 1
        return LoadLadder.interval * (rungs * LoadLadder.readings)
    }
}
