// A route as its requests use it: shared by all of them, instead of copied for each.
import Policy
import Telemetry

/// One route of a snapshot; the same object as in the snapshots before while nothing about it changes.
final class ActiveRoute: Sendable {
    let record: RouteRecord
    /// The field by which each log line of its requests names it.
    let logField: [UInt8]

    /// The target on trial; nil for none.
    let canary: ActiveCanary?

    var name: String { record.name }

    init(_ record: RouteRecord, _ canary: ActiveCanary?) {
        self.record = record
        self.canary = canary
        logField = LogRecord.prepared { $0.field("gen_ai.request.model", record.name) }
    }
}
