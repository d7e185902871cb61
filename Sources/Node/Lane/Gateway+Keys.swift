// What a lane keeps of each key that has connections.
import Core
import Net
import Telemetry

extension Gateway {
    /// The load of a key, made when there is none.
    func load(of key: String) -> KeyLoad {
        if let load = loads[key] { return load }
        let load = KeyLoad(key, share: LaneShare())
        loads[key] = load
        if loads.count == 1 { reviewLoads() }
        return load
    }

    /// Each minute: tells what was refused beyond what was logged, and forgets keys that nobody uses.
    private func reviewLoads() {
        lane.schedule(after: RefusalLog.window) { [self] in
            tellRefusals()
            loads = loads.filter { !$0.value.isAtRest }
            if !loads.isEmpty { reviewLoads() }
        }
    }

    /// One line for each key and outcome of which not every refusal was logged.
    func tellRefusals() {
        for load in loads.values where !load.refusals.isEmpty {
            load.refusals.end { outcome, refused, logged in
                guard settings.logLevel <= .warning else { return }
                var record = LogRecord(
                    .warning, "requests_refused", at: lane.wallClockMicroseconds, into: &lines)
                record.field("node", settings.index)
                record.field("key", load.key)
                record.field("outcome", outcome)
                record.field("requests", refused)
                record.field("logged", logged)
                record.end(returning: &lines)
                linesWritten()
            }
        }
    }
}
